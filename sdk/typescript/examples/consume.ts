// Prints the messages of a topic, until it is interrupted.
//
//     node build/examples/consume.js --topic orders --subscription billing
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { Client } from "@messageproxy/client";

/** Prints messages until the signal is aborted. */
export async function run(
  target: string,
  topic: string,
  subscription: string,
  signal: AbortSignal,
  print: (line: string) => void,
): Promise<void> {
  await using client = new Client(target, { logger: console });
  const decoder = new TextDecoder();
  // Asking for the next message ACKs the one before.
  for await (const message of client.subscription(subscription, [topic]).messages({ signal })) {
    const [key, value] = [message.key, message.value].map((bytes) => (bytes === null ? "" : decoder.decode(bytes)));
    print(`${message.topic}/${String(message.partition)} ${key ?? ""}: ${value ?? ""}`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      addr: { type: "string", default: process.env["MESSAGEPROXY_ADDR"] ?? "localhost:7070" },
      topic: { type: "string", default: "orders" },
      subscription: { type: "string", default: "consume-example" },
    },
  });
  const interrupted = new AbortController();
  process.once("SIGINT", () => {
    interrupted.abort();
  });
  await run(values.addr, values.topic, values.subscription, interrupted.signal, console.log);
}
