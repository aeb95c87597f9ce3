import { isUint8Array } from "node:util/types";

import type {
  Header as WireHeader,
  Message as WireMessage,
  OutgoingMessage as WireOutgoing,
} from "./gen/messageproxy/v1/messageproxy_pb.js";
import { Code, invalidArgument, MessageProxyError } from "./errors.js";

/** One entry of a message's headers. */
export interface Header {
  readonly key: string;
  /** `null` is no value, which is another than an empty one. */
  readonly value: Uint8Array | null;
}

/** One entry of the headers of a message to produce. */
export interface OutgoingHeader {
  readonly key: string;
  /** `null` or left out: none, which is another than an empty one. */
  readonly value?: Uint8Array | null | undefined;
}

/**
 * A message to produce. Note, when a consumed message is to be produced again, that its `partition` would be taken for
 * the one to send it to: name the properties that you want.
 */
export interface OutgoingMessage {
  /** Where the message goes. */
  readonly topic: string;
  /**
   * Chooses the partition: messages of a topic with equal keys go to the same partition and so stay in order. `null` or
   * left out: none, any partition. That and an empty key are different, and both are kept.
   */
  readonly key?: Uint8Array | null | undefined;
  /**
   * The payload. `null` or left out: none (a tombstone on a compacted topic). That and an empty value are different,
   * and both are kept.
   */
  readonly value?: Uint8Array | null | undefined;
  /** Ordered; keys may repeat. Default: none. */
  readonly headers?: readonly OutgoingHeader[] | null | undefined;
  /** Sends the message to this partition, whatever its key. Default: the key chooses. */
  readonly partition?: number | null | undefined;
  /** When the event happened, to the millisecond. Default: when the server receives the message. */
  readonly timestamp?: Date | null | undefined;
}

/** A consumed message. */
export interface Message {
  readonly topic: string;
  readonly partition: number;
  /** `null` is no key. */
  readonly key: Uint8Array | null;
  /** The payload. `null` is none. It shares memory with what came along with it: copy what you keep for long. */
  readonly value: Uint8Array | null;
  /** Ordered; keys may repeat. */
  readonly headers: readonly Header[];
  /** When the event happened, to the millisecond. */
  readonly timestamp: Date;
  /** Identifies the message: the same on every delivery, and never that of another message. */
  readonly id: string;
  /**
   * 1 when the message is delivered for the first time, as far as the server knows, 2 the next time, … A handler that
   * is called again, after it has failed, sees the same number.
   */
  readonly deliveryAttempt: number;
}

/** Says where a produced message is stored. */
export interface Receipt {
  /** The ID that consumers will see. Empty where the broker doesn't tell. */
  readonly messageId: string;
  /** Where the message went. */
  readonly partition: number;
  /** The stored timestamp, to the millisecond. */
  readonly timestamp: Date;
}

/** A partition of a topic. */
export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** What a message needs as it is taken over: its own copy, for the wire, and its size. */
export interface Encoded {
  readonly wire: WireOutgoing;
  readonly size: number;
}

/** What a header counts beside its own bytes, so that many small ones don't pass for nothing. */
const headerBytes = 16;

/**
 * Copies a message for the wire; one that can't be produced is refused, so that it can't break the stream of others.
 */
export function encode(message: OutgoingMessage, maxMessageBytes: number): Encoded {
  if (typeof message !== "object" || (message as unknown) === null) {
    throw invalidMessage("it is no object");
  }
  const { topic, partition, timestamp } = message;
  if (topic === "" || (topic as unknown) === undefined || (topic as unknown) === null) {
    throw invalidMessage("it has no topic");
  }
  checkText(topic, "its topic");
  const wire: WireOutgoing = {
    $typeName: "messageproxy.v1.OutgoingMessage",
    sequence: 0n, // that of the stream that it is given to
    topic,
    headers: [],
  };
  let size = 0;
  const key = copyBytes(message.key, "its key");
  if (key !== undefined) {
    wire.key = key;
    size += key.length;
  }
  const value = copyBytes(message.value, "its value");
  if (value !== undefined) {
    wire.value = value;
    size += value.length;
  }
  if (message.headers) {
    size += encodeHeaders(wire, message.headers);
  }
  if (partition !== undefined && partition !== null) {
    if ((partition | 0) !== partition) {
      throw invalidMessage(`its partition, ${String(partition)}, is no 32-bit integer`);
    }
    wire.partition = partition;
  }
  if (timestamp !== undefined && timestamp !== null) {
    wire.timestampMs = encodeTimestamp(timestamp);
  }
  if (size > maxMessageBytes) {
    throw new MessageProxyError(
      Code.MessageTooLarge,
      `the message for topic ${JSON.stringify(topic)} has ${String(size)} bytes, above the client's limit of ` +
        `${String(maxMessageBytes)}; if the server takes it, raise maxMessageBytes`,
    );
  }
  return { wire, size };
}

function encodeHeaders(wire: WireOutgoing, headers: readonly OutgoingHeader[]): number {
  if (!Array.isArray(headers)) {
    throw invalidMessage("its headers are no array of { key, value }");
  }
  let size = 0;
  for (const [index, header] of (headers as readonly OutgoingHeader[]).entries()) {
    const what = `of its header ${String(index)}`;
    if (typeof header !== "object" || (header as unknown) === null) {
      throw invalidMessage(`its header ${String(index)} is no { key, value }`);
    }
    checkText(header.key, `the key ${what}`);
    const value = copyBytes(header.value, `the value ${what}`);
    wire.headers.push(
      value === undefined
        ? { $typeName: "messageproxy.v1.Header", key: header.key }
        : { $typeName: "messageproxy.v1.Header", key: header.key, value },
    );
    size += Buffer.byteLength(header.key) + (value?.length ?? 0) + headerBytes;
  }
  return size;
}

function checkText(text: unknown, what: string): void {
  if (typeof text !== "string") {
    throw invalidMessage(`${what} is no string`);
  }
  if (!text.isWellFormed()) {
    throw invalidMessage(`${what} is not valid Unicode: it has a surrogate without its pair`);
  }
}

function copyBytes(bytes: unknown, what: string): Buffer<ArrayBuffer> | undefined {
  if (bytes === undefined || bytes === null) {
    return undefined;
  }
  if (!isUint8Array(bytes)) {
    const hint = typeof bytes === "string" ? "; make bytes of a string with new TextEncoder().encode(text)" : "";
    throw invalidMessage(`${what} is no Uint8Array${hint}`);
  }
  return Buffer.from(bytes); // which shares small allocations
}

function encodeTimestamp(timestamp: Date): bigint {
  const time = timestamp instanceof Date ? timestamp.getTime() : NaN;
  if (Number.isNaN(time)) {
    throw invalidMessage("its timestamp is no valid Date");
  }
  return BigInt(time);
}

function invalidMessage(why: string): MessageProxyError {
  return invalidArgument(`the message can't be produced: ${why}`);
}

/** Makes a message of what was delivered. */
export function decode(topic: string, partition: number, message: WireMessage): Message {
  return {
    topic,
    partition,
    key: message.key ?? null,
    value: message.value ?? null,
    headers: message.headers.length === 0 ? noHeaders : message.headers.map(decodeHeader),
    timestamp: new Date(Number(message.timestampMs)),
    id: message.id,
    deliveryAttempt: message.deliveryAttempt,
  };
}

const noHeaders: readonly Header[] = Object.freeze([]);

function decodeHeader({ key, value }: WireHeader): Header {
  return { key, value: value ?? null };
}
