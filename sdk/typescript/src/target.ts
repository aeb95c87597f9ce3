import { Resolver } from "node:dns";

import { invalidArgument, textOf } from "./errors.js";

/** Where a proxy is. */
export interface Target {
  /** A name or an address, without brackets. */
  readonly host: string;
  readonly port: number;
  /** The name server to ask, "host" or "host:port"; undefined for the system's. */
  readonly nameServer: string | undefined;
}

/**
 * Takes a target apart: "host:port", or "dns://name-server/host:port" as in other languages. What can never work is
 * refused.
 */
export function parseTarget(target: string): Target {
  const invalid = (problem: string) =>
    invalidArgument(`the target ${JSON.stringify(textOf(target))} ${problem}: give "host:port", or "dns:///host:port"`);
  if (typeof target !== "string") {
    throw invalid("is no string");
  }
  if (target === "") {
    throw invalid("is empty");
  }
  const [, nameServer, address = target] = /^dns:\/\/([^/]*)\/(.*)$/.exec(target) ?? [];
  if (address.includes("://")) {
    throw invalid("is a URL");
  }
  const parts = /^(\[[0-9a-fA-F:.]+\]|[^\s:/?#@[\]\\]*):([^:]*)$/.exec(address);
  if (parts === null) {
    throw invalid("is not an address");
  }
  const [, host = "", port = ""] = parts;
  if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65535) {
    throw invalid("has no port from 1 to 65535");
  }
  if (host === "") {
    throw invalid("has no host");
  }
  if (!URL.canParse(`http://${address}`)) {
    throw invalid("has a host that can't be");
  }
  if (nameServer !== undefined && nameServer !== "" && !isNameServer(nameServer)) {
    throw invalid("has a name server that is no IP address");
  }
  const bare = host.replace(/^\[|\]$/g, "");
  return { host: bare, port: Number(port), nameServer: nameServer === "" ? undefined : nameServer };
}

function isNameServer(address: string): boolean {
  try {
    new Resolver().setServers([address]);
    return true;
  } catch {
    return false;
  }
}
