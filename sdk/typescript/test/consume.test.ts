import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { inspect } from "node:util";

import {
  Client,
  ClosedError,
  Code,
  type ConsumeEvent,
  type ConsumeOptions,
  HandlerError,
  HandlersRunningError,
  type Message,
  MessageProxyError,
  skipFailed,
} from "@messageproxy/client";

import { ErrorCode } from "../src/gen/messageproxy/v1/messageproxy_pb.js";
import { Channel, type ConsumeServerStream, type Delivery, TestServer } from "./server.js";

const bytes = (text: string) => new TextEncoder().encode(text);
const named = (...ids: string[]): Delivery[] => ids.map((id) => ({ id }));
const fast = { min: 1, max: 5 };
const noWait = { count: 3, minBackoff: 0, maxBackoff: 0 };

/** A call of a handler: the test decides how it ends. */
class Call {
  readonly id: string;
  readonly #settled: Promise<void>;
  succeed: () => void = () => undefined;
  fail: (error: unknown) => void = () => undefined;

  constructor(
    readonly message: Message,
    readonly signal: AbortSignal,
  ) {
    this.id = message.id;
    this.#settled = new Promise((resolve, reject) => {
      this.succeed = resolve;
      this.fail = reject;
    });
  }

  get settled(): Promise<void> {
    return this.#settled;
  }
}

/** A consume call whose handlers the test ends. */
class Consuming implements Disposable {
  readonly #running = new Set<Call>();
  readonly calls = new Channel<Call>();
  readonly events = new Channel<ConsumeEvent>();
  readonly controller = new AbortController();
  readonly ended: Promise<void>;

  constructor(client: Client, options: ConsumeOptions = {}) {
    this.ended = client.subscription("billing", ["orders"]).consume(
      (message, { signal }) => {
        const call = new Call(message, signal);
        this.#running.add(call);
        this.calls.put(call);
        return call.settled;
      },
      {
        ...options,
        signal: this.controller.signal,
        observer: (event) => {
          this.events.put(event);
        },
      },
    );
    this.ended.catch(() => undefined); // tests look at it in their time
  }

  /** Ends the call, and sees it leave in good order. Returns the ACKs that came meanwhile. */
  async stop(stream: ConsumeServerStream): Promise<string[]> {
    this.controller.abort();
    const acks = await stream.left();
    await this.ended;
    return acks;
  }

  /** Ends what a test has left. */
  [Symbol.dispose](): void {
    this.controller.abort();
    for (const call of this.#running) {
      call.succeed();
    }
  }

  async event(kind: ConsumeEvent["kind"]): Promise<ConsumeEvent> {
    for (;;) {
      const event = await this.events.next();
      if (event.kind === kind) {
        return event;
      }
    }
  }
}

/** Waits for a signal that tells a handler to end. */
async function aborted(signal: AbortSignal): Promise<Error> {
  if (!signal.aborted) {
    await new Promise((resolve) => {
      signal.addEventListener("abort", resolve);
    });
  }
  return signal.reason as Error;
}

describe("consume", () => {
  it("subscribes with what the options give", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target, { clientName: "me" });
    using plain = new Consuming(client);
    const first = await server.consumeStreams.next();
    const { $unknown, ...request } = await first.subscribed();
    assert.equal($unknown, undefined);
    assert.deepEqual(request, {
      $typeName: "messageproxy.v1.SubscribeRequest",
      subscription: "billing",
      topics: ["orders"],
      startPosition: 1,
      clientName: "me",
    });
    await plain.stop(first);

    using special = new Consuming(client, { start: "latest", maxUnacked: 5, ackTimeout: 1500 });
    const second = await server.consumeStreams.next();
    const { startPosition, maxUnackedMessages, ackTimeout } = await second.subscribed();
    assert.deepEqual([startPosition, maxUnackedMessages], [2, 5]);
    assert.deepEqual([ackTimeout?.seconds, ackTimeout?.nanos], [1n, 500_000_000]);
    await special.stop(second);
  });

  it("hands messages over as they came, and ACKs those that are handled", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    using consuming = new Consuming(client);
    const stream = await server.consumeStreams.next();
    await stream.subscribed();
    const headers = [{ key: "b", value: bytes("1") }, { key: "a" }, { key: "b", value: new Uint8Array() }];
    stream.deliver("orders", 2, [
      { id: "1", key: bytes("ada"), value: bytes("tea"), headers, timestampMs: 1_700_000_000_123n, deliveryAttempt: 4 },
      { id: "2", value: new Uint8Array() },
    ]);
    const call = await consuming.calls.next();
    assert.deepEqual(call.message, {
      topic: "orders",
      partition: 2,
      key: bytes("ada"),
      value: bytes("tea"),
      headers: [
        { key: "b", value: bytes("1") },
        { key: "a", value: null },
        { key: "b", value: new Uint8Array() },
      ],
      timestamp: new Date(1_700_000_000_123),
      id: "1",
      deliveryAttempt: 4,
    });
    (call.message as { id: string }).id = "changed";
    call.succeed();
    assert.deepEqual(await stream.acks(1), ["1"]);
    const next = await consuming.calls.next();
    assert.deepEqual([next.message.key, next.message.value], [null, new Uint8Array()]);
    next.succeed();
    assert.deepEqual(await consuming.stop(stream), ["2"]);
  });

  it("handles a partition in order and partitions at the same time", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    using consuming = new Consuming(client);
    const stream = await server.consumeStreams.next();
    await stream.subscribed();
    stream.deliver("orders", 0, named("a1", "a2"));
    stream.deliver("orders", 1, named("b1", "b2"));
    const [a1, b1] = [await consuming.calls.next(), await consuming.calls.next()];
    assert.deepEqual([a1.id, b1.id, consuming.calls.size], ["a1", "b1", 0]);
    b1.succeed();
    const b2 = await consuming.calls.next();
    assert.deepEqual([b2.id, consuming.calls.size], ["b2", 0]);
    a1.succeed();
    assert.equal((await consuming.calls.next()).id, "a2");
    b2.succeed();
    await stream.acks(3);
  });

  it("bounds how many handlers run at once", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    using consuming = new Consuming(client, { maxHandlers: 2 });
    const stream = await server.consumeStreams.next();
    await stream.subscribed();
    for (const partition of [0, 1, 2]) {
      stream.deliver("orders", partition, named(`${String(partition)}a`, `${String(partition)}b`));
    }
    stream.respondWith({ case: "assignment", value: {} });
    await consuming.event("assigned"); // so all has come
    const [first, second] = [await consuming.calls.next(), await consuming.calls.next()];
    assert.deepEqual([first.id, second.id, consuming.calls.size], ["0a", "1a", 0]);
    first.succeed();
    assert.equal((await consuming.calls.next()).id, "2a"); // partitions take turns
    second.succeed();
    await stream.acks(2);
  });

  it("handles equal keys in order and others at the same time, with key workers", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    using consuming = new Consuming(client, { keyWorkers: 1000 });
    const stream = await server.consumeStreams.next();
    await stream.subscribed();
    const keyed = (id: string, key: string) => ({ id, key: bytes(key) });
    stream.deliver("orders", 0, [keyed("a1", "a"), keyed("a2", "a"), keyed("b1", "b"), { id: "x" }, { id: "y" }]);
    const begun = new Map<string, Call>();
    for (let i = 0; i < 4; i++) {
      const call = await consuming.calls.next();
      begun.set(call.id, call);
    }
    assert.deepEqual([...begun.keys()].sort(), ["a1", "b1", "x", "y"]);
    begun.get("a1")?.succeed();
    assert.equal((await consuming.calls.next()).id, "a2");
    assert.deepEqual(await stream.acks(1), ["a1"]);
  });

  it("lets ACKs go out while handlers compute that never wait", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    const stop = new AbortController();
    let calls = 0;
    const compute = () => {
      calls++;
      for (const until = performance.now() + 2; performance.now() < until; );
    };
    const ended = client.subscription("s", ["orders"]).consume(compute, { signal: stop.signal });
    const stream = await server.consumeStreams.next();
    await stream.subscribed();
    stream.deliver("orders", 0, named(...Array.from({ length: 100 }, (_, i) => String(i))));
    await stream.acks(1);
    assert.ok(calls < 100, `${String(calls)} handlers were through when the first ACK came`);
    await stream.acks(99);
    stop.abort();
    await stream.left();
    await ended;
  });

  it("drops what hasn't begun when the stream is lost, and waits for what runs", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target, { reconnectBackoff: fast });
    using consuming = new Consuming(client);
    const first = await server.consumeStreams.next();
    await first.subscribed();
    first.deliver("orders", 0, named("1", "2"));
    const running = await consuming.calls.next();
    server.cut();
    const reason = await aborted(running.signal);
    assert.equal(reason.name, "AbortError");
    const event = await consuming.event("disconnected");
    assert.equal(event.kind === "disconnected" && event.error.code, Code.BrokerUnavailable);

    const second = await server.consumeStreams.next();
    await second.subscribed();
    await consuming.event("connected");
    second.deliver("orders", 0, named("1", "2"));
    second.respondWith({ case: "assignment", value: { partitions: [{ topic: "orders", partition: 0 }] } });
    assert.deepEqual(await consuming.event("assigned"), {
      kind: "assigned",
      partitions: [{ topic: "orders", partition: 0 }],
    });
    assert.equal(consuming.calls.size, 0, "the one of the lost stream still runs");
    running.fail(new Error("counts for nothing"));
    const again = await consuming.calls.next();
    assert.equal(again.id, "1");
    again.succeed();
    assert.deepEqual(await second.acks(1), ["1"]);
  });

  it("drops withdrawn partitions, and ACKs of them count for the time left", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    using consuming = new Consuming(client);
    const stream = await server.consumeStreams.next();
    await stream.subscribed();
    for (const [partition, id] of ["a", "b"].entries()) {
      stream.deliver("orders", partition, named(`${id}1`, `${id}2`));
    }
    const [a1, b1] = [await consuming.calls.next(), await consuming.calls.next()];
    const withdrawn = (partition: number, seconds: bigint, nanos = 0) => ({
      case: "withdrawn" as const,
      value: { partitions: [{ topic: "orders", partition }], timeLeft: { seconds, nanos } },
    });
    stream.respondWith(withdrawn(0, 60n));
    stream.respondWith(withdrawn(1, 0n, 1_000_000));
    const event = await consuming.event("withdrawn");
    assert.deepEqual(event, { kind: "withdrawn", partitions: [{ topic: "orders", partition: 0 }], timeLeft: 60_000 });
    await aborted(b1.signal);
    assert.equal(a1.signal.aborted, false);
    b1.succeed();
    a1.succeed();
    assert.deepEqual(await stream.acks(1), ["a1"]);
    stream.deliver("orders", 1, named("b3")); // it has come back
    const b3 = await consuming.calls.next();
    assert.equal(b3.id, "b3");
    b3.succeed();
    assert.deepEqual(await consuming.stop(stream), ["b3"]);
  });

  it("tells the observer and the log, which never see what messages hold", async () => {
    await using server = await TestServer.start();
    const log: string[] = [];
    const note = (text: string, fields: object) => {
      log.push(`${text} ${inspect(fields, { depth: 10 })}`);
    };
    await using client = new Client(server.target, { logger: { info: note, warn: note } });
    using consuming = new Consuming(client, { attempts: noWait, onFailure: skipFailed });
    const stream = await server.consumeStreams.next();
    await stream.subscribed();
    assert.deepEqual(await consuming.event("connected"), { kind: "connected", maxUnacked: 1000, ackTimeout: 60_000 });
    stream.respondWith({ case: undefined }); // of a newer server
    stream.respondWith({ case: "error", value: { code: ErrorCode.ACK_FAILED, message: "the disk is full" } });
    stream.respondWith({ case: "recovered", value: { code: ErrorCode.ACK_FAILED } });
    stream.respondWith({ case: "notice", value: { code: ErrorCode.NOT_HELD, messageIds: ["1"] } });
    const codes: Record<string, Code> = {};
    for (const kind of ["trouble", "recovered", "notice"] as const) {
      const event = await consuming.event(kind);
      codes[kind] = "error" in event ? event.error.code : Code.Unspecified;
    }
    assert.deepEqual(codes, { trouble: Code.AckFailed, recovered: Code.AckFailed, notice: Code.NotHeld });
    const secret = bytes("secret");
    stream.deliver("orders", 0, [{ id: "1", key: secret, value: secret, headers: [{ key: "secret", value: secret }] }]);
    for (let attempt = 1; attempt <= 3; attempt++) {
      (await consuming.calls.next()).fail(new Error("no tea"));
    }
    assert.deepEqual(await stream.acks(1), ["1"]);
    await consuming.stop(stream);
    const text = log.join("\n");
    for (const expected of [/subscribed/, /the disk is full/, /ACK failed/, /not held/, /a handler failed .*no tea/s]) {
      assert.match(text, expected);
    }
    assert.doesNotMatch(text, /secret|115, 101/);
  });

  it("goes on when promises of the observer and of the logger are rejected", async () => {
    await using server = await TestServer.start();
    const warnings = new Channel<string>();
    const full = new Error("the log is full");
    const logger = {
      info: () => Promise.reject(full),
      warn: (text: string) => {
        warnings.put(text);
        return Promise.reject(full);
      },
    };
    await using client = new Client(server.target, { logger });
    const stop = new AbortController();
    const ended = client.subscription("s", ["orders"]).consume(() => undefined, {
      signal: stop.signal,
      observer: ({ kind }) => Promise.reject(new Error(`nothing is known of ${kind}`)),
    });
    const stream = await server.consumeStreams.next();
    await stream.subscribed();
    assert.equal(await warnings.next(), "the observer failed");
    stream.deliver("orders", 0, named("1"));
    assert.deepEqual(await stream.acks(1), ["1"]);
    stop.abort();
    await stream.left();
    await ended;
  });

  it("ends with the error of a stream that ended for good, and connects again after others", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target, { reconnectBackoff: fast });
    using consuming = new Consuming(client);
    for (const code of [ErrorCode.ACK_TIMEOUT, ErrorCode.SHUTTING_DOWN, ErrorCode.INTERNAL, ErrorCode.CONSUME_FAILED]) {
      const stream = await server.consumeStreams.next();
      await stream.subscribed();
      stream.terminate(code);
      const event = await consuming.event("disconnected");
      assert.equal(event.kind === "disconnected" && event.error.code, code);
    }
    const again = await server.consumeStreams.next();
    again.terminate(4711, true);
    const last = await server.consumeStreams.next();
    last.terminate(ErrorCode.SUBSCRIPTION_CONFLICT);
    await assert.rejects(consuming.ended, (error: MessageProxyError) => {
      assert.ok(error instanceof MessageProxyError);
      assert.equal(error.code, Code.SubscriptionConflict);
      assert.match(error.message, /over/);
      return true;
    });
  });

  it("refuses options that are out of range, by their names", async () => {
    await using client = new Client("localhost:1");
    const bad: [keyof ConsumeOptions, unknown][] = [
      ["maxHandlers", -1],
      ["keyWorkers", 0.5],
      ["keyWorkers", Object.create(null)],
      ["attempts", 3],
      ["attempts", { count: 0 }],
      ["maxUnacked", 2 ** 31],
      ["ackTimeout", -1],
      ["start", "middle"],
      ["start", Symbol("earliest")],
      ["drainTimeout", NaN],
      ["onFailure", "skip"],
      ["observer", 7],
      ["signal", {}],
      ["signal", new EventTarget()],
    ];
    for (const [option, value] of bad) {
      const named = (error: MessageProxyError) => error.code === Code.InvalidArgument && error.message.includes(option);
      await assert.rejects(
        client.subscription("s", ["t"]).consume(() => undefined, { [option]: value }),
        named,
      );
    }
    const tooLong = { attempts: { minBackoff: 5, maxBackoff: 4 } };
    await assert.rejects(
      client.subscription("s", ["t"]).consume(() => undefined, tooLong),
      /attempts/,
    );
    assert.throws(() => client.subscription("s", ["t"]).messages({ maxUnacked: -1 }), /maxUnacked/);
    assert.throws(() => client.subscription("s", ["t"]).messages(5 as unknown as ConsumeOptions), /options/);
    assert.throws(() => client.subscription(Object.create(null) as string, ["t"]), /no string/);
    assert.throws(() => client.subscription("\ud800", ["t"]), /Unicode/);
    assert.throws(() => client.subscription("s", ["\ud800"]), /Unicode/);
  });
});

describe("options of consume", () => {
  it("may be null, like left out", async () => {
    const client = new Client("127.0.0.1:1");
    const subscription = client.subscription("s", ["t"]);
    const options = ["signal", "attempts", "onFailure", "observer", "start"].map((option) => [option, null] as const);
    const running = [null, Object.fromEntries(options)].map((none) =>
      subscription.consume(() => undefined, none as ConsumeOptions),
    );
    const ended = running.map((consuming) => assert.rejects(consuming, ClosedError));
    subscription.messages(null as unknown as ConsumeOptions);
    await client.close();
    await Promise.all(ended);
  });
});

describe("handlers that fail", () => {
  it("are called again, while their partition waits and others go on", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    using consuming = new Consuming(client, { attempts: noWait });
    const stream = await server.consumeStreams.next();
    await stream.subscribed();
    stream.deliver("orders", 0, named("a1", "a2"));
    (await consuming.calls.next()).fail(new Error("first"));
    const second = await consuming.calls.next();
    assert.equal(second.id, "a1");
    stream.deliver("orders", 1, named("b1"));
    const other = await consuming.calls.next();
    assert.equal(other.id, "b1");
    other.succeed();
    assert.deepEqual(await stream.acks(1), ["b1"]);
    second.succeed();
    assert.equal((await consuming.calls.next()).id, "a2");
    assert.deepEqual(await stream.acks(1), ["a1"]);
  });

  it("stop consume, in good order, when they have failed for good", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    using consuming = new Consuming(client, { attempts: noWait });
    const stream = await server.consumeStreams.next();
    await stream.subscribed();
    stream.deliver("orders", 0, named("a1", "a2"));
    stream.deliver("orders", 1, named("b1"));
    const bad = await consuming.calls.next();
    const other = await consuming.calls.next();
    const cause = new Error("bad");
    bad.fail(cause);
    (await consuming.calls.next()).fail(cause);
    (await consuming.calls.next()).fail(cause);
    assert.equal(await stream.next(), "leave");
    other.succeed();
    assert.deepEqual(await stream.acks(1), ["b1"]);
    assert.equal(await stream.next(), undefined);
    stream.end();
    await assert.rejects(consuming.ended, (error: HandlerError) => {
      assert.ok(error instanceof HandlerError);
      assert.deepEqual([error.failedMessage.id, error.attempts, error.cause], ["a1", 3, cause]);
      return true;
    });
    assert.equal(consuming.calls.size, 0);
  });

  it("may throw what has no text", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    using consuming = new Consuming(client, { attempts: { count: 1 } });
    const stream = await server.consumeStreams.next();
    await stream.subscribed();
    stream.deliver("orders", 0, named("1"));
    const thrown: unknown = Object.create(null);
    (await consuming.calls.next()).fail(thrown);
    await stream.left();
    await assert.rejects(consuming.ended, (error: HandlerError) => {
      assert.ok(error instanceof HandlerError);
      assert.equal(error.cause, thrown);
      return true;
    });
  });

  it("stop consume with an error, though the failure handler gives none", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- what others' code does
    using consuming = new Consuming(client, { attempts: { count: 1 }, onFailure: () => Promise.reject() });
    const stream = await server.consumeStreams.next();
    await stream.subscribed();
    stream.deliver("orders", 0, named("1"));
    (await consuming.calls.next()).fail("one");
    await stream.left();
    await assert.rejects(consuming.ended, (error: HandlerError) => {
      assert.ok(error instanceof HandlerError);
      assert.deepEqual([error.failedMessage.id, error.cause], ["1", "one"]);
      return true;
    });
  });

  it("have the failure handler decide", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    const refusal = new Error("nowhere to put it");
    const asked: unknown[] = [];
    using consuming = new Consuming(client, {
      attempts: { count: 1 },
      onFailure: (message, error) => {
        asked.push(message.id, error);
        if (message.id === "2") {
          throw refusal;
        }
      },
    });
    const stream = await server.consumeStreams.next();
    await stream.subscribed();
    stream.deliver("orders", 0, named("1", "2", "3"));
    (await consuming.calls.next()).fail("one");
    assert.deepEqual(await stream.acks(1), ["1"]);
    (await consuming.calls.next()).fail("two");
    assert.deepEqual(await stream.left(), []);
    await assert.rejects(consuming.ended, refusal);
    assert.deepEqual(asked, ["1", "one", "2", "two"]);
  });

  it("aren't called again when the ACK timeout would be over", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    using consuming = new Consuming(client, { attempts: { count: 100, minBackoff: 1e15, maxBackoff: 1e15 } });
    const stream = await server.consumeStreams.next();
    await stream.subscribed(1);
    stream.deliver("orders", 0, named("1"));
    (await consuming.calls.next()).fail("one");
    await stream.left();
    await assert.rejects(consuming.ended, HandlerError);
  });

  it("have the whole ACK timeout, however long the process has run", async (t) => {
    const now = performance.now.bind(performance);
    t.mock.method(performance, "now", () => now() + 1e9);
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    using consuming = new Consuming(client, { attempts: noWait });
    const stream = await server.consumeStreams.next();
    await stream.subscribed();
    stream.deliver("orders", 0, named("1"));
    (await consuming.calls.next()).fail(new Error("first"));
    const second = await Promise.race([consuming.calls.next(), consuming.ended]);
    assert.ok(second);
    second.succeed();
    assert.deepEqual(await stream.acks(1), ["1"]);
  });

  it("count for nothing when their stream was lost, after the last attempt too", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target, { reconnectBackoff: fast });
    using consuming = new Consuming(client, { attempts: { count: 1 } });
    const first = await server.consumeStreams.next();
    await first.subscribed();
    first.deliver("orders", 0, named("1"));
    const lost = await consuming.calls.next();
    server.cut();
    await aborted(lost.signal);
    lost.fail(new Error("too late"));
    const second = await Promise.race([server.consumeStreams.next(), consuming.ended]);
    assert.ok(second);
    await second.subscribed();
    second.deliver("orders", 0, named("1"));
    (await consuming.calls.next()).succeed();
    assert.deepEqual(await second.acks(1), ["1"]);
  });

  it("that throw at once, or never wait, fail and succeed alike", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    let calls = 0;
    const controller = new AbortController();
    const handler = () => {
      calls++;
      if (calls === 1) {
        throw new Error("at once");
      }
    };
    const options = { signal: controller.signal, attempts: noWait };
    const ended = client.subscription("s", ["orders"]).consume(handler, options);
    const stream = await server.consumeStreams.next();
    await stream.subscribed();
    const ids = Array.from({ length: 1000 }, (_, i) => String(i));
    stream.deliver("orders", 0, named(...ids));
    assert.deepEqual(await stream.acks(1000), ids);
    assert.equal(calls, 1001);
    controller.abort();
    await stream.left();
    await ended;
  });
});

describe("stopping", () => {
  it("waits for handlers, has their ACKs sent, and begins no more", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    using consuming = new Consuming(client);
    const stream = await server.consumeStreams.next();
    await stream.subscribed();
    stream.deliver("orders", 0, named("1", "2"));
    const call = await consuming.calls.next();
    consuming.controller.abort();
    assert.equal(await stream.next(), "leave");
    stream.deliver("orders", 1, named("3"));
    call.succeed();
    assert.deepEqual(await stream.acks(1), ["1"]);
    assert.equal(await stream.next(), undefined);
    stream.end();
    await consuming.ended;
    assert.equal(consuming.calls.size, 0);
  });

  it("tells handlers to end after the drain timeout", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    using consuming = new Consuming(client, { drainTimeout: 1 });
    const stream = await server.consumeStreams.next();
    await stream.subscribed();
    stream.deliver("orders", 0, named("1"));
    const call = await consuming.calls.next();
    consuming.controller.abort();
    assert.match((await aborted(call.signal)).message, /drain timeout/);
    call.succeed();
    assert.deepEqual(await stream.left(), ["1"]);
    await consuming.ended;
  });

  it("leaves handlers behind that go on", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    using consuming = new Consuming(client, { drainTimeout: 0 });
    const stream = await server.consumeStreams.next();
    await stream.subscribed();
    stream.deliver("orders", 0, named("1"));
    await consuming.calls.next();
    consuming.controller.abort();
    await stream.left();
    await assert.rejects(consuming.ended, (error: HandlersRunningError) => {
      assert.ok(error instanceof HandlersRunningError);
      assert.equal(error.running, 1);
      return true;
    });
  });

  it("ends with ClosedError when the client is closed", async () => {
    await using server = await TestServer.start();
    const client = new Client(server.target);
    using consuming = new Consuming(client);
    const stream = await server.consumeStreams.next();
    await stream.subscribed();
    await client.close();
    await stream.left();
    await assert.rejects(consuming.ended, ClosedError);
  });

  it("ends when the stream is lost meanwhile, or there is none", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    using consuming = new Consuming(client);
    const stream = await server.consumeStreams.next();
    await stream.subscribed();
    stream.deliver("orders", 0, named("1"));
    const call = await consuming.calls.next();
    consuming.controller.abort();
    assert.equal(await stream.next(), "leave");
    server.cut();
    await aborted(call.signal);
    call.fail(new Error("told to end"));
    await consuming.ended;

    await using unreachable = new Client("127.0.0.1:1");
    using waiting = new Consuming(unreachable);
    await waiting.event("disconnected");
    waiting.controller.abort();
    await waiting.ended;
    await new Client("127.0.0.1:1").subscription("s", ["t"]).consume(() => undefined, { signal: AbortSignal.abort() });
  });
});

describe("the loop", () => {
  it("ACKs a message when it asks for the next one, and ends with its signal", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    const controller = new AbortController();
    const seen: string[] = [];
    const loop = (async () => {
      for await (const message of client.subscription("s", ["orders"]).messages({ signal: controller.signal })) {
        seen.push(message.id);
        if (message.id === "3") {
          controller.abort();
        }
      }
    })();
    const stream = await server.consumeStreams.next();
    await stream.subscribed();
    stream.deliver("orders", 0, named("1", "2"));
    assert.deepEqual(await stream.acks(2), ["1", "2"]);
    stream.deliver("orders", 1, named("3", "4"));
    assert.deepEqual(await stream.left(), ["3"]);
    await loop;
    assert.deepEqual(seen, ["1", "2", "3"]);
  });

  it("doesn't ACK the message at hand when it is left", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    const wrong = new Error("wrong");
    const leave = {
      break: async () => {
        for await (const message of client.subscription("s", ["orders"]).messages()) {
          if (message.id === "2") {
            break;
          }
        }
      },
      throw: async () => {
        for await (const message of client.subscription("s", ["orders"]).messages()) {
          if (message.id === "2") {
            throw wrong;
          }
        }
      },
    };
    for (const [how, run] of Object.entries(leave)) {
      const loop = run();
      loop.catch(() => undefined); // it is looked at below
      const stream = await server.consumeStreams.next();
      await stream.subscribed();
      stream.deliver("orders", 0, named("1", "2", "3"));
      assert.deepEqual(await stream.left(), ["1"], how);
      await (how === "throw" ? assert.rejects(loop, wrong) : loop);
    }
  });

  it("ends with the error of consume", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    const next = client.subscription("s", ["orders"]).messages().next();
    const stream = await server.consumeStreams.next();
    stream.terminate(ErrorCode.TOPIC_NOT_FOUND);
    await assert.rejects(next, (error: MessageProxyError) => error.code === Code.TopicNotFound);
  });
});
