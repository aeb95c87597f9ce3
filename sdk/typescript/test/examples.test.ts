import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { run as consume } from "../examples/consume.js";
import { run as pipeline } from "../examples/pipeline.js";
import { run as produce } from "../examples/produce.js";
import { run as workerpool } from "../examples/workerpool.js";
import { ErrorCode } from "../src/gen/messageproxy/v1/messageproxy_pb.js";
import { TestServer } from "./server.js";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array | undefined) => new TextDecoder().decode(value);

async function* lines(count: number): AsyncGenerator<string> {
  for (let i = 0; i < count; i++) {
    yield await Promise.resolve(`line ${String(i)}`);
  }
}

describe("the example", () => {
  it("produce stores each line", async () => {
    await using server = await TestServer.start();
    const stored = produce(server.target, "orders", lines(3000));
    const stream = await server.produceStreams.next();
    const values: string[] = [];
    while (values.length < 3000) {
      const { messages } = await stream.requests.next();
      values.push(...messages.map(({ value }) => text(value)));
      stream.receipts(messages);
    }
    stream.end();
    assert.equal(await stored, 3000);
    assert.deepEqual([values[0], values[2999]], ["line 0", "line 2999"]);
  });

  it("produce ends with the first error", async () => {
    await using server = await TestServer.start();
    const stored = produce(server.target, "orders", lines(1));
    const stream = await server.produceStreams.next();
    await stream.messages(1);
    const value = { code: ErrorCode.TOPIC_NOT_FOUND, message: "no orders" };
    stream.results([{ sequence: 1n, outcome: { case: "error", value } }]);
    stream.end();
    await assert.rejects(stored, /no orders/);
  });

  it("consume prints what comes", async () => {
    await using server = await TestServer.start();
    const stop = new AbortController();
    const printed: string[] = [];
    const done = consume(server.target, "orders", "s", stop.signal, (line) => {
      printed.push(line);
      if (printed.length === 2) {
        stop.abort();
      }
    });
    const stream = await server.consumeStreams.next();
    await stream.subscribed();
    stream.deliver("orders", 1, [{ id: "1", key: bytes("ada"), value: bytes("tea") }, { id: "2" }]);
    assert.deepEqual(await stream.left(), ["1", "2"]);
    await done;
    assert.deepEqual(printed, ["orders/1 ada: tea", "orders/1 : "]);
  });

  it("pipeline ACKs an order when its invoice is stored", async () => {
    await using server = await TestServer.start();
    const stop = new AbortController();
    const done = pipeline(server.target, stop.signal);
    const orders = await server.consumeStreams.next();
    await orders.subscribed();
    orders.deliver("orders", 0, [{ id: "1", key: bytes("ada"), value: bytes("tea") }]);
    const invoices = await server.produceStreams.next();
    const messages = await invoices.messages(1);
    const [invoice] = messages;
    assert.deepEqual(
      [invoice?.topic, text(invoice?.key), text(invoice?.value), text(invoice?.headers[0]?.value)],
      ["invoices", "ada", "invoice for TEA", "1"],
    );
    assert.equal(orders.requests.size, 0);
    invoices.receipts(messages);
    assert.deepEqual(await orders.acks(1), ["1"]);
    stop.abort();
    await orders.left();
    invoices.end();
    await done;
  });

  it("workerpool goes on when a worker dies", async () => {
    await using server = await TestServer.start();
    const stop = new AbortController();
    const handled: string[] = [];
    const done = workerpool(server.target, 2, stop.signal, (_, message) => handled.push(message.id));
    const [first, second] = [await server.consumeStreams.next(), await server.consumeStreams.next()];
    await Promise.all([first.subscribed(), second.subscribed()]);
    first.terminate(ErrorCode.PERMISSION_DENIED);
    assert.equal(await first.next(), undefined); // its client is gone
    second.deliver("orders", 0, [{ id: "1" }]);
    assert.deepEqual(await second.acks(1), ["1"]);
    stop.abort();
    await second.left();
    await assert.rejects(done, AggregateError);
    assert.deepEqual(handled, ["1"]);
  });
});
