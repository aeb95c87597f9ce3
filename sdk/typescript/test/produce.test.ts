import assert from "node:assert/strict";
import { describe, it } from "node:test";

import {
  type CallOptions,
  Client,
  ClosedError,
  Code,
  MessageProxyError,
  type OutgoingMessage,
} from "@messageproxy/client";

import { ErrorCode } from "../src/gen/messageproxy/v1/messageproxy_pb.js";
import { Channel, TestServer } from "./server.js";

const bytes = (text: string) => new TextEncoder().encode(text);
const order = (value: string): OutgoingMessage => ({ topic: "orders", value: bytes(value) });
const text = (value: Uint8Array | undefined) => new TextDecoder().decode(value);
const fast = { min: 1, max: 5 };

/** Matches an error by its code. */
function withCode(code: Code, pattern = /^/) {
  return (error: unknown) => error instanceof MessageProxyError && error.code === code && pattern.test(error.message);
}

describe("produce", () => {
  it("ends with the receipt", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    const receipt = client.produce({ ...order("a cup"), partition: 7 });
    const stream = await server.produceStreams.next();
    const [message] = await stream.messages(1);
    assert.ok(message);
    assert.equal(message.sequence, 1n);
    stream.receipts([message]);
    const { messageId, partition, timestamp } = await receipt;
    assert.match(messageId, /^id-/);
    assert.equal(partition, 7);
    assert.deepEqual(timestamp, new Date(1_700_000_000_123));
  });

  it("sends absent and empty, and headers in their order, as they are", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    const empty = new Uint8Array();
    const receipts = [
      client.produce({ topic: "t" }),
      client.produce({ topic: "t", key: null, value: undefined }),
      client.produce({ topic: "t", key: empty, value: empty }),
      client.produce({
        topic: "t",
        timestamp: new Date(5),
        headers: [
          { key: "b", value: empty },
          { key: "a" },
          { key: "b", value: Buffer.from("x") },
          { key: "", value: null },
        ],
      }),
    ];
    const stream = await server.produceStreams.next();
    const messages = await stream.messages(4);
    assert.deepEqual(
      messages.map(({ key, value }) => [key, value]),
      [
        [undefined, undefined],
        [undefined, undefined],
        [empty, empty],
        [undefined, undefined],
      ],
    );
    assert.equal(messages[3]?.timestampMs, 5n);
    assert.equal(messages[0]?.timestampMs, undefined);
    assert.deepEqual(
      messages[3].headers.map(({ key, value }) => [key, value]),
      [
        ["b", empty],
        ["a", undefined],
        ["b", bytes("x")],
        ["", undefined],
      ],
    );
    stream.receipts(messages);
    await Promise.all(receipts);
  });

  it("refuses what can't be produced, and nothing else", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target, { maxMessageBytes: 100 });
    const bad: [unknown, RegExp][] = [
      [null, /no object/],
      [{ value: bytes("x") }, /no topic/],
      [{ topic: "" }, /no topic/],
      [{ topic: 7 }, /topic is no string/],
      [{ topic: "\ud800" }, /not valid Unicode/],
      [{ topic: "t", value: "text" }, /its value is no Uint8Array; .*TextEncoder/],
      [{ topic: "t", key: [1] }, /its key is no Uint8Array/],
      [{ topic: "t", headers: { a: "b" } }, /headers are no array/],
      [{ topic: "t", headers: [null] }, /header 0/],
      [{ topic: "t", headers: [{ key: "\udc00" }] }, /not valid Unicode/],
      [{ topic: "t", headers: [{ key: "a", value: 7 }] }, /value of its header 0/],
      [{ topic: "t", partition: 1.5 }, /partition/],
      [{ topic: "t", partition: 3n }, /partition/],
      [{ topic: "t", partition: Symbol("3") }, /partition/],
      [{ topic: "t", timestamp: new Date(NaN) }, /timestamp/],
    ];
    const good = client.produce(order("good"));
    for (const [message, why] of bad) {
      await assert.rejects(client.produce(message as OutgoingMessage), withCode(Code.InvalidArgument, why));
    }
    await assert.rejects(client.produce(order("x".repeat(101))), withCode(Code.MessageTooLarge));
    const headers = [{ key: "a".repeat(50), value: bytes("b".repeat(35)) }]; // and 16 bytes
    await assert.rejects(client.produce({ topic: "t", headers }), withCode(Code.MessageTooLarge));
    const stream = await server.produceStreams.next();
    void stream.serve();
    await good;
    await client.produce(order("x".repeat(100)));
  });

  it("refuses options that are none, and takes null for leaving them out", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    const bad: unknown[] = [5, { signal: 5 }, { signal: {} }, { signal: new EventTarget() }];
    for (const options of bad as CallOptions[]) {
      await assert.rejects(client.produce(order("bad"), options), withCode(Code.InvalidArgument));
      await assert.rejects(client.flush(options), withCode(Code.InvalidArgument));
    }
    const none: unknown[] = [null, { signal: null }];
    const receipts = none.map((options) => client.produce(order("good"), options as CallOptions));
    void (await server.produceStreams.next()).serve();
    await Promise.all(receipts);
    await Promise.all(none.map((options) => client.flush(options as CallOptions)));
  });

  it("copies the message", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    const value = Buffer.from("before");
    const receipt = client.produce({ topic: "t", value });
    value.fill("x");
    const stream = await server.produceStreams.next();
    const messages = await stream.messages(1);
    assert.equal(text(messages[0]?.value), "before");
    stream.receipts(messages);
    await receipt;
  });

  it("sends what has gathered in one frame, in its order, and large frames apart", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    const receipts = Array.from({ length: 500 }, (_, i) => client.produce(order(String(i))));
    const stream = await server.produceStreams.next();
    const { messages } = await stream.requests.next();
    assert.equal(messages.length, 500);
    assert.deepEqual(
      messages.map(({ sequence, value }) => [sequence, text(value)]),
      messages.map((_, i) => [BigInt(i + 1), String(i)]),
    );
    stream.receipts(messages);
    await Promise.all(receipts);

    const large = Array.from({ length: 3 }, () => client.produce({ topic: "t", value: new Uint8Array(200_000) }));
    for (const count of [2, 1]) {
      const frame = await stream.requests.next();
      assert.equal(frame.messages.length, count);
      stream.receipts(frame.messages);
    }
    await Promise.all(large);
  });

  it("takes results in any order, and ignores those that aren't awaited", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    const receipts = [client.produce(order("a")), client.produce(order("b")), client.produce(order("c"))];
    const stream = await server.produceStreams.next();
    const [a, b, c] = await stream.messages(3);
    assert.ok(a && b && c);
    stream.results([{ sequence: 99n, outcome: { case: "receipt", value: {} } }]);
    stream.receipts([c]);
    await receipts[2];
    const error = { code: ErrorCode.TOPIC_NOT_FOUND, message: "no such topic", messageIds: ["x"] };
    stream.results([{ sequence: b.sequence, outcome: { case: "error", value: error } }]);
    await assert.rejects(receipts[1] ?? Promise.resolve(), withCode(Code.TopicNotFound, /no such topic/));
    stream.receipts([b]); // answered before
    stream.results([{ sequence: a.sequence }]); // of a newer server
    await assert.rejects(receipts[0] ?? Promise.resolve(), withCode(Code.UnknownOutcome));
  });

  it("keeps the number of a code that it doesn't know", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    const receipt = client.produce(order("a"));
    const stream = await server.produceStreams.next();
    await stream.messages(1);
    const error = { code: 4711 as ErrorCode, message: "new", retryable: true };
    stream.results([{ sequence: 1n, outcome: { case: "error", value: error } }]);
    await assert.rejects(receipt, withCode(4711 as Code, /^code 4711: new$/));
  });

  it("waits for room, in order, and lets a message alone be larger", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target, { maxOutstanding: { messages: 2, bytes: 10 } });
    const receipts = [order("more than 10 bytes"), order("b"), order("c"), order("d")].map((m) => client.produce(m));
    const stream = await server.produceStreams.next();
    for (const expected of [["more than 10 bytes"], ["b", "c"], ["d"]]) {
      const { messages } = await stream.requests.next();
      assert.deepEqual(
        messages.map(({ value }) => text(value)),
        expected,
      );
      stream.receipts(messages);
    }
    await Promise.all(receipts);
  });

  it("fails what was on the wire when the stream is lost, and sends the rest on the next", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target, { reconnectBackoff: fast, maxOutstanding: { messages: 1 } });
    const sent = client.produce(order("sent"));
    const waiting = client.produce(order("waiting"));
    const first = await server.produceStreams.next();
    await first.messages(1);
    server.cut();
    await assert.rejects(sent, (error: MessageProxyError) => {
      assert.equal(error.code, Code.UnknownOutcome);
      assert.equal((error.cause as MessageProxyError).code, Code.BrokerUnavailable);
      return true;
    });
    const second = await server.produceStreams.next();
    const messages = await second.messages(1);
    assert.equal(text(messages[0]?.value), "waiting");
    assert.equal(messages[0]?.sequence, 1n);
    second.receipts(messages);
    await waiting;
  });

  it("sends again, in order and first, what a server that is shutting down hasn't stored", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target, { reconnectBackoff: fast });
    const receipts = ["a", "b", "c"].map((value) => client.produce(order(value)));
    const first = await server.produceStreams.next();
    const sent = await first.messages(3);
    first.receipts(sent.slice(1, 2));
    await receipts[1];
    first.terminate(ErrorCode.SHUTTING_DOWN, true);
    const second = await server.produceStreams.next();
    const again = await second.messages(2);
    assert.deepEqual(
      again.map(({ value }) => text(value)),
      ["a", "c"],
    );
    second.receipts(again);
    await Promise.all(receipts);
  });

  for (const maxOutstanding of [{ messages: 1 }, { bytes: 1 }]) {
    const [limit] = Object.keys(maxOutstanding);
    it(`fails who waits for room in ${String(limit)} when the stream ends for good, and tries again`, async () => {
      await using server = await TestServer.start();
      await using client = new Client(server.target, { reconnectBackoff: fast, maxOutstanding });
      const failed = Promise.all([
        assert.rejects(client.produce(order("a")), withCode(Code.UnknownOutcome)),
        assert.rejects(client.produce(order("b")), withCode(Code.PermissionDenied)),
        assert.rejects(client.produce(order("c")), withCode(Code.PermissionDenied)),
      ]);
      const first = await server.produceStreams.next();
      await first.messages(1);
      first.terminate(ErrorCode.PERMISSION_DENIED);
      await failed;
      const later = client.produce(order("d"));
      const second = await server.produceStreams.next();
      const messages = await second.messages(1);
      assert.equal(text(messages[0]?.value), "d");
      second.receipts(messages);
      await later;
    });
  }

  it("tries again what is produced by who hears that a stream has ended for good", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target, { reconnectBackoff: fast });
    const sent = client.produce(order("a"));
    const again = sent.catch((error: unknown) => {
      assert.ok(withCode(Code.UnknownOutcome)(error));
      return client.produce(order("again"));
    });
    const first = await server.produceStreams.next();
    await first.messages(1);
    first.terminate(ErrorCode.PERMISSION_DENIED);
    void server.produceStreams.next().then((stream) => stream.serve());
    assert.match((await again).messageId, /^id-/);
  });

  it("withdraws what is aborted before it was sent, and rejects with the signal's reason", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target, { maxOutstanding: { messages: 1 } });
    const first = client.produce(order("first"));
    const controller = new AbortController();
    const withdrawn = client.produce(order("withdrawn"), { signal: controller.signal });
    const reason = new Error("changed my mind");
    controller.abort(reason);
    await assert.rejects(withdrawn, reason);
    await assert.rejects(client.produce(order("late"), { signal: controller.signal }), reason);
    const stream = await server.produceStreams.next();
    stream.receipts(await stream.messages(1));
    await first;
    const next = client.produce(order("next"));
    const messages = await stream.messages(1);
    assert.equal(text(messages[0]?.value), "next");
    stream.receipts(messages);
    await next;
  });

  it("has an unknown outcome when it is aborted later, and keeps its place", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target, { maxOutstanding: { messages: 1 } });
    const controller = new AbortController();
    const sent = client.produce(order("sent"), { signal: controller.signal });
    const next = client.produce(order("next"));
    const stream = await server.produceStreams.next();
    const messages = await stream.messages(1);
    const reason = new Error("changed my mind");
    controller.abort(reason);
    await assert.rejects(sent, (error: MessageProxyError) => {
      assert.equal(error.code, Code.UnknownOutcome);
      assert.equal(error.cause, reason);
      return true;
    });
    assert.equal(stream.requests.size, 0);
    stream.receipts(messages);
    stream.receipts(await stream.messages(1));
    await next;
  });

  it("waits while the proxy can't be reached", async () => {
    const gone = await TestServer.start();
    const { port } = gone;
    await gone[Symbol.asyncDispose]();
    const lost = new Channel<string>();
    const logger = {
      info: () => undefined,
      warn: (text: string) => {
        lost.put(text);
      },
    };
    await using client = new Client(`127.0.0.1:${String(port)}`, { reconnectBackoff: fast, logger });
    const receipt = client.produce(order("a"));
    await lost.next();
    await using server = await TestServer.start(undefined, port);
    void (await server.produceStreams.next()).serve();
    await receipt;
  });
});

describe("flush", () => {
  it("waits for what was produced before", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target, { maxOutstanding: { messages: 1 } });
    await client.flush();
    const outcomes: string[] = [];
    const receipts = ["a", "b"].map((value) => client.produce(order(value)).then(() => outcomes.push(value)));
    const flushed = client.flush().then(() => outcomes.push("flushed"));
    const stream = await server.produceStreams.next();
    stream.receipts(await stream.messages(1));
    const b = await stream.messages(1);
    const later = client.produce(order("later"));
    stream.receipts(b);
    await flushed;
    assert.deepEqual(outcomes, ["a", "b", "flushed"]);
    stream.receipts(await stream.messages(1));
    await Promise.all([...receipts, later]);
  });

  it("ends when its signal does", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    const receipt = client.produce(order("a"));
    const reason = new Error("enough");
    const controller = new AbortController();
    const flushed = client.flush({ signal: controller.signal });
    controller.abort(reason);
    await assert.rejects(flushed, reason);
    void (await server.produceStreams.next()).serve();
    await receipt;
  });
});

describe("close", () => {
  it("fails what is unanswered, half-closes, and may be called twice", async () => {
    await using server = await TestServer.start();
    const client = new Client(server.target, { maxOutstanding: { messages: 1 } });
    const sent = client.produce(order("sent"));
    const waiting = client.produce(order("waiting"));
    const stream = await server.produceStreams.next();
    await stream.messages(1);
    const closed = client.close();
    await assert.rejects(waiting, ClosedError);
    await assert.rejects(sent, (error: MessageProxyError) => {
      assert.equal(error.code, Code.UnknownOutcome);
      assert.ok(error.cause instanceof ClosedError);
      return true;
    });
    assert.equal(await stream.requests.take(), undefined);
    stream.end();
    await closed;
    await client.close();
  });

  it("has every later call fail, whatever is wrong with that besides", async () => {
    const client = new Client("127.0.0.1:1");
    const subscription = client.subscription("s", ["t"]);
    const loop = subscription.messages();
    await client.close();
    for (const signal of [undefined, AbortSignal.abort()]) {
      await assert.rejects(client.produce(order("late"), { signal }), ClosedError);
      await assert.rejects(client.flush({ signal }), ClosedError);
      await assert.rejects(
        subscription.consume(() => undefined, { signal }),
        ClosedError,
      );
      await assert.rejects(subscription.messages({ signal }).next(), ClosedError);
    }
    await assert.rejects(client.produce({ topic: "" }), ClosedError);
    await assert.rejects(
      subscription.consume(() => undefined, { maxHandlers: -1 }),
      ClosedError,
    );
    await assert.rejects(loop.next(), ClosedError);
  });

  it("ends a client that can't connect", async () => {
    const client = new Client("127.0.0.1:1");
    const refused = assert.rejects(client.produce(order("a")), ClosedError);
    await client.close();
    await refused;
  });
});
