// Makes a message of each line of its standard input.
//
//     seq 1000 | node build/examples/produce.js --topic orders
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { Client } from "@messageproxy/client";

/** How many messages may be under way at once. */
const atOnce = 1000;

/** Produces the lines, and returns how many are stored. */
export async function run(target: string, topic: string, lines: AsyncIterable<string>): Promise<number> {
  await using client = new Client(target, { logger: console });
  const encoder = new TextEncoder();
  const failing = new AbortController(); // ends the rest too
  const underWay = new Set<Promise<void>>();
  let stored = 0;
  for await (const line of lines) {
    if (failing.signal.aborted) {
      break;
    }
    const produced = client
      .produce({ topic, value: encoder.encode(line) }, { signal: failing.signal })
      .then(() => {
        stored++;
      })
      .catch((error: unknown) => {
        failing.abort(error);
      })
      .finally(() => underWay.delete(produced));
    underWay.add(produced);
    if (underWay.size >= atOnce) {
      await Promise.race(underWay);
    }
  }
  await Promise.all(underWay);
  failing.signal.throwIfAborted();
  return stored;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      addr: { type: "string", default: process.env["MESSAGEPROXY_ADDR"] ?? "localhost:7070" },
      topic: { type: "string", default: "orders" },
    },
  });
  const stored = await run(values.addr, values.topic, createInterface({ input: process.stdin }));
  console.log(stored, "messages stored");
}
