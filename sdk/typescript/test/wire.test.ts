import assert from "node:assert/strict";
import { describe, it } from "node:test";

import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { ConnectError } from "@connectrpc/connect";

import { ackRequest, batchField, readBatch } from "../src/consume-wire.js";
import { Code, MessageProxyError } from "../src/errors.js";
import {
  ConsumeRequestSchema,
  ConsumeResponseSchema,
  ErrorCode,
  HeaderSchema,
  MessageBatchSchema,
  MessageReceiptSchema,
  MessageSchema,
  PartitionMessagesSchema,
  ProduceRequestSchema,
  ProduceResponseSchema,
  ProduceResultSchema,
} from "../src/gen/messageproxy/v1/messageproxy_pb.js";
import type { OutgoingMessage } from "../src/message.js";
import { encode, produceAnswer, produceRequest } from "../src/produce-wire.js";
import { encoded, type Raw, type RawField, Reader } from "../src/wire.js";

const bytes = (text: string) => new TextEncoder().encode(text);

/** Is what the library makes of what was written by hand. */
function read<Desc extends DescMessage>(schema: Desc, raw: Raw): MessageShape<Desc> {
  return fromBinary(schema, toBinary(EmptySchema, raw));
}

/** Fields of every type, which no version of the wire contract has. */
const unknown: RawField[] = [
  { no: 1000, wireType: 0, data: Uint8Array.of(0x80, 0x01) },
  { no: 1001, wireType: 1, data: new Uint8Array(8) },
  { no: 1002, wireType: 2, data: Uint8Array.of(2, 7, 7) },
  { no: 1003, wireType: 5, data: new Uint8Array(4) },
  // A group with an integer and a group, up to the tag that ends it.
  { no: 1004, wireType: 3, data: Uint8Array.of(0x08, 1, 0x13, 0x08, 1, 0x14, 0xe4, 0x3e) },
];

/** Makes a message of a newer server. */
function newer<Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>): MessageShape<Desc> {
  const message = create(schema, init);
  message.$unknown = unknown;
  return message;
}

/** Is what a session is given of a response with messages. */
function batchData(batch: MessageInitShape<typeof MessageBatchSchema>): Uint8Array {
  const response = create(ConsumeResponseSchema, { response: { case: "batch", value: batch } });
  const [field] = encoded(ConsumeResponseSchema, response).$unknown ?? [];
  assert.ok(field?.no === batchField);
  return field.data;
}

/** The integers at which varints get longer, and those at the ends of what there can be. */
const borders = [0, 1, 127, 128, 2 ** 14, 2 ** 28 - 1, 2 ** 28, 2 ** 31, 2 ** 35 - 1, 2 ** 42, 8.64e15];

describe("a produce request", () => {
  const request = (messages: OutgoingMessage[], firstSequence = 1) => {
    const all = messages.map((message) => encode(message, 2 ** 30));
    return read(ProduceRequestSchema, produceRequest(all, firstSequence)).messages;
  };

  it("has its messages as the library would read them", () => {
    const messages = request([
      { topic: "orders" },
      { topic: "Grüße 🍵", key: new Uint8Array(), value: bytes("x".repeat(300)), partition: -1 },
      {
        topic: "t",
        key: bytes("k"),
        headers: [{ key: "ä" }, { key: "", value: new Uint8Array() }, { key: "ä", value: bytes("v".repeat(200)) }],
        partition: 2 ** 31 - 1,
        timestamp: new Date(-1),
      },
    ]);
    const expected = create(ProduceRequestSchema, {
      messages: [
        { sequence: 1n, topic: "orders" },
        { sequence: 2n, topic: "Grüße 🍵", key: new Uint8Array(), value: bytes("x".repeat(300)), partition: -1 },
        {
          sequence: 3n,
          topic: "t",
          key: bytes("k"),
          headers: [{ key: "ä" }, { key: "", value: new Uint8Array() }, { key: "ä", value: bytes("v".repeat(200)) }],
          partition: 2 ** 31 - 1,
          timestampMs: -1n,
        },
      ],
    });
    assert.deepEqual(messages, expected.messages);
  });

  it("has sequences and timestamps of every length", () => {
    for (const n of borders) {
      const timestamps = [new Date(n), new Date(-n)];
      const messages = request(
        timestamps.map((timestamp) => ({ topic: "t", timestamp })),
        n,
      );
      assert.deepEqual(
        messages.map(({ sequence, timestampMs }) => [sequence, timestampMs]),
        [
          [BigInt(n), BigInt(n)],
          [BigInt(n + 1), BigInt(-n)],
        ],
      );
    }
  });
});

describe("a produce response", () => {
  it("is read as the library has written it", () => {
    const error = { code: ErrorCode.TOPIC_NOT_FOUND, message: "none", retryable: true, messageIds: ["a"] };
    const newerReceipt = newer(MessageReceiptSchema, { messageId: "é", partition: 7, timestampMs: -5n });
    const response = newer(ProduceResponseSchema, {
      results: [
        { sequence: 5n, outcome: { case: "receipt", value: newerReceipt } },
        { sequence: 6n, outcome: { case: "error", value: error } },
        newer(ProduceResultSchema, { sequence: 7n }),
        { sequence: 2n ** 64n - 1n, outcome: { case: "receipt", value: {} } },
      ],
    });
    const { results, terminalError } = produceAnswer(encoded(ProduceResponseSchema, response));
    assert.equal(terminalError, undefined);
    const [receipt, refused, unheard, foreign] = results;
    assert.deepEqual(receipt, { sequence: 5, outcome: { messageId: "é", partition: 7, timestamp: new Date(-5) } });
    assert.ok(refused?.outcome instanceof MessageProxyError);
    assert.deepEqual([refused.outcome.code, refused.outcome.messageIds], [Code.TopicNotFound, ["a"]]);
    assert.deepEqual(unheard, { sequence: 7, outcome: undefined });
    assert.ok(foreign !== undefined && foreign.sequence < 0, "no message has such a sequence");
  });

  it("has timestamps of every length", () => {
    for (const n of [...borders, ...borders.map((border) => -border)]) {
      const outcome = { case: "receipt" as const, value: { timestampMs: BigInt(n) } };
      const response = create(ProduceResponseSchema, { results: [{ sequence: 1n, outcome }] });
      const [result] = produceAnswer(encoded(ProduceResponseSchema, response)).results;
      assert.deepEqual(result?.outcome, { messageId: "", partition: 0, timestamp: new Date(n) });
    }
  });
});

describe("a timestamp that no Date can be", () => {
  it("is the end of what there can be", () => {
    for (const [timestampMs, end] of [
      [2n ** 63n - 1n, 8.64e15],
      [8_640_000_000_000_001n, 8.64e15],
      [-8_640_000_000_000_001n, -8.64e15],
      [-(2n ** 63n), -8.64e15],
    ] as const) {
      const outcome = { case: "receipt" as const, value: { timestampMs } };
      const response = create(ProduceResponseSchema, { results: [{ sequence: 1n, outcome }] });
      const [result] = produceAnswer(encoded(ProduceResponseSchema, response)).results;
      assert.deepEqual(result?.outcome, { messageId: "", partition: 0, timestamp: new Date(end) });

      const batch = { partitions: [{ messages: [{ timestampMs }] }] };
      const [message] = readBatch(batchData(batch))[0]?.messages ?? [];
      assert.deepEqual(message?.timestamp, new Date(end));
    }
  });
});

describe("groups that nobody knows", () => {
  const groups = (count: number) => new Reader(Buffer.concat([Buffer.alloc(count, 0x0b), Buffer.alloc(count, 0x0c)]));

  it("are passed over, unless they are absurdly deep", () => {
    const reader = groups(100);
    reader.skip(reader.tag());
    assert.equal(reader.at, 200);
    for (const depth of [101, 1_000_000]) {
      const absurd = groups(depth);
      assert.throws(() => {
        absurd.skip(absurd.tag());
      }, ConnectError);
    }
  });

  it("end with the number that they began with", () => {
    const reader = new Reader(Uint8Array.of(0x0b, 0x14, 0x0c));
    assert.throws(() => {
      reader.skip(reader.tag());
    }, ConnectError);
  });
});

describe("an ACK request", () => {
  it("has its IDs as the library would read them", () => {
    const ids = ["", "a", "é".repeat(100), ...Array.from({ length: 1000 }, (_, i) => `id-${String(i)}`)];
    const { request } = read(ConsumeRequestSchema, ackRequest(ids));
    assert.deepEqual(request.case === "ack" && request.value.messageIds, ids);
  });
});

describe("a batch", () => {
  const newerHeader = newer(HeaderSchema, { key: "b", value: bytes("x") });
  const batch = newer(MessageBatchSchema, {
    partitions: [
      newer(PartitionMessagesSchema, {
        topic: "ä",
        partition: 7,
        messages: [
          newer(MessageSchema, { id: "1", timestampMs: 1_700_000_000_123n, deliveryAttempt: 2 ** 32 - 1 }),
          {
            id: "é",
            key: new Uint8Array(),
            value: bytes("a cup"),
            headers: [{ key: "ä" }, { key: "", value: new Uint8Array() }, newerHeader],
            timestampMs: -1n,
          },
        ],
      }),
      { topic: "empty" },
    ],
  });
  const data = batchData(batch);

  it("is read as the library has written it", () => {
    const common = { topic: "ä", partition: 7 };
    assert.deepEqual(readBatch(data), [
      {
        ...common,
        messages: [
          {
            ...common,
            key: null,
            value: null,
            headers: [],
            timestamp: new Date(1_700_000_000_123),
            id: "1",
            deliveryAttempt: 2 ** 32 - 1,
          },
          {
            ...common,
            key: new Uint8Array(),
            value: bytes("a cup"),
            headers: [
              { key: "ä", value: null },
              { key: "", value: new Uint8Array() },
              { key: "b", value: bytes("x") },
            ],
            timestamp: new Date(-1),
            id: "é",
            deliveryAttempt: 0,
          },
        ],
      },
      { topic: "empty", partition: 0, messages: [] },
    ]);
  });

  it("may name the topic after the messages", () => {
    const message = [0x1a, 3, 0x0a, 1, 0x69]; // its id is "i"
    const partition = [...message, 0x0a, 1, 0x74, 0x10, 3]; // its topic "t", its partition 3
    const [delivered] = readBatch(Uint8Array.of(partition.length + 2, 0x0a, partition.length, ...partition));
    assert.deepEqual(delivered?.messages.map(({ topic, partition, id }) => [topic, partition, id]), [["t", 3, "i"]]);
  });

  it("has nothing that is longer than what it is in", () => {
    const topic = [0x0a, 3, 0x74, 0x10, 3]; // of three bytes, where its partition has room for one
    assert.throws(() => readBatch(Uint8Array.of(topic.length + 2, 0x0a, topic.length - 2, ...topic)), ConnectError);
  });

  it("that is cut, or isn't one, is an error or another batch, and nothing worse", () => {
    for (let length = 0; length < data.length; length++) {
      assert.throws(() => readBatch(data.subarray(0, length)), ConnectError);
    }
    for (let at = 0; at < data.length; at++) {
      for (const value of [0x00, 0x7f, 0x80, 0xff]) {
        const changed = data.slice();
        changed[at] = value;
        try {
          readBatch(changed);
        } catch (error) {
          assert.ok(error instanceof ConnectError, String(error));
        }
      }
    }
  });
});
