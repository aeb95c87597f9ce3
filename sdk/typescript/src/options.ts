import { X509Certificate } from "node:crypto";
import { hostname } from "node:os";
import { type ConnectionOptions, createSecureContext } from "node:tls";

import { invalidOption, textOf } from "./errors.js";
import { guarded, type Logger, noLogger } from "./log.js";

/** Options of a call. */
export interface CallOptions {
  /** Ends the call. Default: none. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of a client. What is left out has its default, which is right for most. */
export interface ClientOptions {
  /**
   * Encrypts the connections with TLS: `true` with the system's roots, or Node's options of a TLS connection (`ca`,
   * `cert`, `key`, `servername`, …). Default: no TLS, plaintext.
   */
  readonly tls?: boolean | ConnectionOptions | undefined;
  /**
   * Names this client in the logs and metrics of the server, in at most 512 bytes. Need not be unique. Default: the
   * host's name.
   */
  readonly clientName?: string | undefined;
  /**
   * How long the client waits before it connects again, in milliseconds: a random time up to a limit that doubles from
   * `min` (above 0) to `max`. Default: 100 and 10,000.
   */
  readonly reconnectBackoff?: { readonly min?: number | undefined; readonly max?: number | undefined } | undefined;
  /**
   * Bounds what the client has taken over to produce and that isn't answered yet, whether it is on the wire or not: so
   * many messages, and so many bytes of keys, values and headers. What is produced above that waits for room. A message
   * that is alone may be larger than that. Default: 1,000 messages (as many as a server reads ahead by default) and 64
   * MiB.
   */
  readonly maxOutstanding?: { readonly messages?: number | undefined; readonly bytes?: number | undefined } | undefined;
  /**
   * The largest message (key, value and headers) that the client sends, in bytes; larger ones fail with
   * `Code.MessageTooLarge`. It is there for the messages of others: the server has a limit of its own (16 MiB by
   * default) and answers each message above it, but a message above twice that limit, and above 64 MiB, breaks the
   * stream that all share. Raise it only together with the server's. Default: 60 MiB. At most 1 GiB.
   */
  readonly maxMessageBytes?: number | undefined;
  /** Where to log. Default: nothing is logged. */
  readonly logger?: Logger | undefined;
}

/** The options of a client, all of them, in range. */
export interface ClientConfig {
  readonly tls: ConnectionOptions | undefined;
  readonly clientName: string;
  readonly reconnectBackoff: { readonly min: number; readonly max: number };
  readonly maxOutstanding: { readonly messages: number; readonly bytes: number };
  readonly maxMessageBytes: number;
  readonly logger: Logger;
}

const MiB = 2 ** 20;

/** Adds the defaults to options, and refuses what is out of range. */
export function clientConfig(given: ClientOptions | undefined): ClientConfig {
  const options: ClientOptions = requireOptions("options", given) ?? {};
  requireOptions("reconnectBackoff", options.reconnectBackoff);
  requireOptions("maxOutstanding", options.maxOutstanding);
  const clientName = options.clientName ?? hostname().toWellFormed();
  const tls = options.tls ?? false;
  const logger = options.logger ?? noLogger;
  const reconnectBackoff = {
    min: options.reconnectBackoff?.min ?? 100,
    max: options.reconnectBackoff?.max ?? 10_000,
  };
  const maxOutstanding = {
    messages: options.maxOutstanding?.messages ?? 1000,
    bytes: options.maxOutstanding?.bytes ?? 64 * MiB,
  };
  const maxMessageBytes = options.maxMessageBytes ?? 60 * MiB;
  requireName(clientName);
  requireBackoff("reconnectBackoff", reconnectBackoff);
  check(reconnectBackoff.min > 0, "reconnectBackoff", `min, ${String(reconnectBackoff.min)} ms, is not above 0`);
  requireInteger("maxOutstanding.messages", maxOutstanding.messages, 1, Number.MAX_SAFE_INTEGER);
  requireInteger("maxOutstanding.bytes", maxOutstanding.bytes, 1, Number.MAX_SAFE_INTEGER);
  requireInteger("maxMessageBytes", maxMessageBytes, 1, 1024 * MiB);
  requireTLS(tls);
  check(isLogger(logger), "logger", "has no methods info and warn");
  return {
    tls: tls === true ? {} : tls === false ? undefined : tls,
    clientName,
    reconnectBackoff,
    maxOutstanding,
    maxMessageBytes,
    logger: guarded(logger),
  };
}

function requireName(name: string): void {
  check(typeof name === "string", "clientName", "is no string");
  check(name.isWellFormed(), "clientName", `${JSON.stringify(name)} is not valid Unicode`);
  const bytes = Buffer.byteLength(name);
  check(bytes <= 512, "clientName", `the name has ${String(bytes)} bytes, more than 512`);
}

/** Refuses keys and certificates that can't be used: every connection would fail with them. */
function requireTLS(tls: boolean | ConnectionOptions): void {
  if (typeof tls === "boolean") {
    return;
  }
  check(typeof tls === "object", "tls", "is neither a boolean nor options of a TLS connection");
  try {
    createSecureContext(tls);
    for (const certificate of [tls.ca ?? []].flat()) {
      new X509Certificate(certificate); // OpenSSL takes what is none for no certificate at all
    }
  } catch (error) {
    throw invalidOption("tls", textOf(error), error);
  }
}

function isLogger(logger: Logger): boolean {
  return typeof logger === "object" && typeof logger.info === "function" && typeof logger.warn === "function";
}

/** Refuses an option unless it is as it must be. */
export function check(ok: boolean, option: string, why: string): void {
  if (!ok) {
    throw invalidOption(option, why);
  }
}

/** Refuses options that are no object, whose properties would all be left out. Like `undefined`, `null` is none. */
export function requireOptions<T extends object>(option: string, options: T | undefined): T | undefined {
  check(options === undefined || typeof options === "object", option, "is no object with options");
  return options ?? undefined;
}

/** Refuses an option that is no integer from `min` to `max`. */
export function requireInteger(option: string, value: number, min: number, max: number): void {
  check(
    Number.isInteger(value) && value >= min && value <= max,
    option,
    `${textOf(value)} is no integer from ${String(min)} to ${String(max)}`,
  );
}

/** Refuses waits that are below 0 or not in order. */
export function requireBackoff(option: string, { min, max }: { readonly min: number; readonly max: number }): void {
  check(
    Number.isFinite(min) && Number.isFinite(max) && min >= 0 && max >= min,
    option,
    `${textOf(min)} and ${textOf(max)} ms: the first must not be below 0, the second not below the first`,
  );
}

/** Takes the signal out of options, and refuses what is none. */
export function signalOf(options: CallOptions | undefined): AbortSignal | undefined {
  const signal = requireOptions("options", options)?.signal ?? undefined;
  check(signal === undefined || isSignal(signal), "signal", "is no AbortSignal");
  return signal;
}

function isSignal(signal: AbortSignal): boolean {
  return typeof signal.addEventListener === "function" && typeof signal.throwIfAborted === "function";
}
