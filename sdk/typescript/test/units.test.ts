import assert from "node:assert/strict";
import { describe, it, mock } from "node:test";

import { Backoff } from "../src/backoff.js";
import { Code, endsForGood, MessageProxyError, textOf } from "../src/errors.js";
import { Lanes, type Task } from "../src/lanes.js";
import { ErrorCode } from "../src/gen/messageproxy/v1/messageproxy_pb.js";
import type { Pending } from "../src/pending.js";
import { Room } from "../src/room.js";
import { Ending, sleep, Wake } from "../src/sync.js";

describe("the back-off", () => {
  it("is uniform up to a limit that doubles, and begins anew", () => {
    const random = mock.method(Math, "random", () => 1);
    const backoff = new Backoff(100, 500);
    assert.deepEqual(
      Array.from({ length: 4 }, () => backoff.next()),
      [100, 200, 400, 500],
    );
    random.mock.mockImplementation(() => 0.5);
    assert.equal(backoff.next(), 250);
    backoff.reset();
    assert.equal(backoff.next(), 50);
    random.mock.restore();
  });
});

describe("codes", () => {
  it("are those of the wire contract", () => {
    const names = (codes: object) => Object.keys(codes).filter((name) => !/^\d/.test(name));
    const plain = (name: string) => name.replaceAll("_", "").toLowerCase();
    assert.deepEqual(names(Code).map(plain), names(ErrorCode).map(plain));
  });

  it("decide whether a stream is tried again, and unknown ones by what the server says", () => {
    const ends = (code: number, retryable: boolean) => endsForGood(new MessageProxyError(code, "", { retryable }));
    assert.deepEqual([ends(Code.TopicNotFound, true), ends(Code.Internal, false)], [true, false]);
    assert.deepEqual([ends(4711, true), ends(4711, false)], [false, true]);
  });
});

describe("the text of something", () => {
  it("is there whatever it is", () => {
    const silent = new Error();
    Object.defineProperty(silent, "message", {
      get: () => {
        throw new Error("no message");
      },
    });
    const texts = [new Error("why"), "why", undefined, Symbol("why"), Object.create(null), silent].map(textOf);
    const none = "something that has no text";
    assert.deepEqual(texts, ["why", "why", "undefined", "Symbol(why)", none, none]);
  });
});

describe("lanes", () => {
  const task = (lane: string, id: string, key: Uint8Array | null = null) =>
    ({ partition: { name: lane }, message: { key }, id }) as unknown as Task;

  it("give each its turn, and drop what is purged", () => {
    const lanes = new Lanes(0, 1);
    assert.deepEqual(
      [task("a", "a1"), task("a", "a2"), task("b", "b1"), task("c", "c1")].map((t) => lanes.push(t)),
      [true, false, false, false],
    );
    const order: string[] = [];
    for (let next = lanes.pop(); next !== undefined; next = lanes.pop()) {
      order.push(next.task.id);
      lanes.done(next.lane);
      if (next.task.id === "b1") {
        lanes.purge(({ id }) => id === "c1");
      }
    }
    assert.deepEqual(order, ["a1", "b1", "a2"]);
    assert.equal(lanes.running, 0);
    assert.equal(lanes.push(task("c", "c2")), true);
  });

  it("are forgotten when they are empty, and not before", () => {
    const lanes = new Lanes(0, 0);
    lanes.push(task("a", "a1"));
    const first = lanes.pop();
    assert.ok(first);
    assert.equal(lanes.push(task("a", "a2")), false, "a1 is still being handled");
    lanes.done(first.lane);
    const second = lanes.pop();
    assert.equal(second?.lane, first.lane);
    lanes.done(first.lane);
    lanes.push(task("a", "a3"));
    const third = lanes.pop();
    assert.ok(third);
    assert.notEqual(third.lane, first.lane);
    lanes.done(third.lane);
    lanes.push(task("b", "b1"));
    lanes.purge(() => true);
    assert.equal(lanes.pop(), undefined);
    assert.equal(lanes.push(task("b", "b2")), true);
    assert.equal(lanes.pop()?.task.id, "b2");
  });

  it("keep the order of a long queue", () => {
    const lanes = new Lanes(1, 0);
    const ids = Array.from({ length: 1000 }, (_, i) => String(i));
    const popped: string[] = [];
    for (const id of ids) {
      lanes.push(task("a", id, new TextEncoder().encode(id)));
    }
    for (let next = lanes.pop(); next !== undefined; next = lanes.pop()) {
      popped.push(next.task.id);
      lanes.done(next.lane);
    }
    assert.deepEqual(popped, ids);
  });
});

describe("room", () => {
  it("lets the next in when what waits before it is withdrawn", () => {
    const admitted: number[] = [];
    const room = new Room({ messages: 3, bytes: 10 }, ({ size }) => admitted.push(size));
    const [six, five, four] = [6, 5, 4].map((size) => ({ size }) as Pending);
    assert.ok(six && five && four);
    for (const m of [six, five, four]) {
      room.enter(m);
    }
    assert.deepEqual(admitted, [6]);
    room.withdraw(five);
    assert.deepEqual(admitted, [6, 4]);
    room.enter(five);
    room.leave(six);
    assert.deepEqual(admitted, [6, 4, 5]);
  });
});

describe("waiting", () => {
  it("ends with whatever comes first", async () => {
    const ending = new Ending();
    const slept = sleep(2 ** 40, ending);
    ending.end("why");
    ending.end("too late");
    assert.equal(await slept, false);
    assert.equal(ending.reason, "why");
    assert.equal(await sleep(1e9, ending), false);
    assert.equal(await sleep(0, new Ending()), true);
  });

  it("is woken by what was set before", async () => {
    const wake = new Wake();
    wake.set();
    await wake.wait();
    const waiting = wake.wait();
    wake.set();
    await waiting;
  });
});
