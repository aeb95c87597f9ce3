// Produces an invoice from each order. An order is ACKed only when its invoice is stored, so none is lost; after a
// failure one may be made twice.
//
//     node build/examples/pipeline.js
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { Client, type Message } from "@messageproxy/client";

/** Makes invoices until the signal is aborted. */
export async function run(target: string, signal: AbortSignal): Promise<void> {
  await using client = new Client(target, { logger: console });
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();

  const makeInvoice = async (order: Message, context: { signal: AbortSignal }) => {
    const invoice = {
      topic: "invoices",
      key: order.key, // a customer's invoices keep the order of the orders
      value: encoder.encode(`invoice for ${decoder.decode(order.value ?? new Uint8Array()).toUpperCase()}`),
      headers: [{ key: "order", value: encoder.encode(order.id) }], // tells duplicates
    };
    await client.produce(invoice, { signal: context.signal });
  };
  // The orders of different customers are handled at the same time, so that their invoices travel together.
  await client.subscription("pipeline-example", ["orders"]).consume(makeInvoice, { signal, keyWorkers: 64 });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: { addr: { type: "string", default: process.env["MESSAGEPROXY_ADDR"] ?? "localhost:7070" } },
  });
  const interrupted = new AbortController();
  process.once("SIGINT", () => {
    interrupted.abort();
  });
  await run(values.addr, interrupted.signal);
}
