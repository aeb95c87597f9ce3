// Has several workers share a subscription. When one dies, the others get its partitions. Run it several times at once:
// the processes share too.
//
//     node build/examples/workerpool.js --workers 3
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { Client, type Message } from "@messageproxy/client";

/** Works until the signal is aborted or no worker is left, and throws why workers died. */
export async function run(
  target: string,
  workers: number,
  signal: AbortSignal,
  work: (worker: number, message: Message) => unknown,
): Promise<void> {
  await using client = new Client(target, { logger: console });
  const died: unknown[] = [];
  const runWorker = async (worker: number) => {
    try {
      const subscription = client.subscription("workerpool-example", ["orders"]);
      await subscription.consume((message) => work(worker, message), { signal });
    } catch (error) {
      console.warn(`worker ${String(worker)} died; the others take over`, error);
      died.push(error);
    }
  };
  await Promise.all(Array.from({ length: workers }, (_, worker) => runWorker(worker)));
  if (died.length > 0) {
    throw new AggregateError(died, "workers died");
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      addr: { type: "string", default: process.env["MESSAGEPROXY_ADDR"] ?? "localhost:7070" },
      workers: { type: "string", default: "3" },
    },
  });
  const interrupted = new AbortController();
  process.once("SIGINT", () => {
    interrupted.abort();
  });
  await run(values.addr, Number(values.workers), interrupted.signal, (worker, message) => {
    const value = new TextDecoder().decode(message.value ?? new Uint8Array());
    console.log(`worker ${String(worker)}: ${message.topic}/${String(message.partition)} ${value}`);
  });
}
