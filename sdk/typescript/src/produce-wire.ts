import { isUint8Array } from "node:util/types";

import { fromBinary } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";

import { Code, invalidArgument, MessageProxyError, textOf } from "./errors.js";
import { ErrorSchema, ProduceResponseSchema } from "./gen/messageproxy/v1/messageproxy_pb.js";
import type { OutgoingHeader, OutgoingMessage, Receipt } from "./message.js";
import { errorFromWire } from "./status.js";
import {
  decoded,
  fieldSize,
  int64Size,
  type Raw,
  rawOf,
  Reader,
  tag,
  varintSize,
  Writer,
} from "./wire.js";

/** What a message needs as it is taken over. */
export interface Encoded {
  /** The message as it is on the wire, without its sequence: a copy of what the caller has. */
  readonly body: Uint8Array;
  /** How much it counts: its key, value and headers. */
  readonly size: number;
}

/** What a header counts beside its own bytes, so that many small ones don't pass for nothing. */
const headerBytes = 16;

/** A message that can be encoded. */
interface Checked {
  readonly topic: string;
  readonly topicLength: number;
  readonly key: Uint8Array | undefined;
  readonly value: Uint8Array | undefined;
  readonly headers: readonly CheckedHeader[];
  readonly partition: number | undefined;
  readonly timestamp: number | undefined;
}

/** A header that can be encoded. */
interface CheckedHeader {
  readonly key: string;
  readonly keyLength: number;
  readonly value: Uint8Array | undefined;
  /** What it takes on the wire, without its tag and length. */
  readonly length: number;
}

/** Encodes a message; one that can't be produced is refused, so that it can't break the stream of others. */
export function encode(message: OutgoingMessage, maxMessageBytes: number): Encoded {
  const checked = check(message);
  const size = sizeOf(checked);
  if (size > maxMessageBytes) {
    throw tooLarge(checked.topic, size, maxMessageBytes);
  }
  const writer = new Writer(lengthOf(checked));
  write(checked, writer);
  return { body: writer.bytes, size };
}

/** Is how much a message counts. */
function sizeOf({ key, value, headers }: Checked): number {
  let size = (key?.length ?? 0) + (value?.length ?? 0);
  for (const header of headers) {
    size += header.keyLength + (header.value?.length ?? 0) + headerBytes;
  }
  return size;
}

/** Is how many bytes a message takes on the wire. */
function lengthOf({ topicLength, key, value, headers, partition, timestamp }: Checked): number {
  let length = fieldSize(topicLength);
  length += key === undefined ? 0 : fieldSize(key.length);
  length += value === undefined ? 0 : fieldSize(value.length);
  for (const header of headers) {
    length += fieldSize(header.length);
  }
  length += partition === undefined ? 0 : 1 + int64Size(partition);
  length += timestamp === undefined ? 0 : 1 + int64Size(timestamp);
  return length;
}

function write({ topic, topicLength, key, value, headers, partition, timestamp }: Checked, writer: Writer): void {
  writer.text(2, topic, topicLength);
  if (key !== undefined) {
    writer.blob(3, key);
  }
  if (value !== undefined) {
    writer.blob(4, value);
  }
  for (const header of headers) {
    writer.begin(5, header.length);
    writer.text(1, header.key, header.keyLength);
    if (header.value !== undefined) {
      writer.blob(2, header.value);
    }
  }
  if (partition !== undefined) {
    writer.tag(6, WireType.Varint);
    writer.int64(partition);
  }
  if (timestamp !== undefined) {
    writer.tag(7, WireType.Varint);
    writer.int64(timestamp);
  }
}

/** Takes of a message what is to be encoded. */
function check(message: OutgoingMessage): Checked {
  if (typeof message !== "object" || (message as unknown) === null) {
    throw invalidMessage("it is no object");
  }
  const topic = checkTopic(message.topic);
  return {
    topic,
    topicLength: Buffer.byteLength(topic),
    key: checkBytes(message.key, "its key"),
    value: checkBytes(message.value, "its value"),
    headers: checkHeaders(message.headers),
    partition: checkPartition(message.partition),
    timestamp: checkTimestamp(message.timestamp),
  };
}

function checkTopic(topic: unknown): string {
  if (topic === "" || topic === undefined || topic === null) {
    throw invalidMessage("it has no topic");
  }
  return checkText(topic, "its topic");
}

function checkText(text: unknown, what: string): string {
  if (typeof text !== "string") {
    throw invalidMessage(`${what} is no string`);
  }
  if (!text.isWellFormed()) {
    throw invalidMessage(`${what} is not valid Unicode: it has a surrogate without its pair`);
  }
  return text;
}

function checkBytes(bytes: unknown, what: string): Uint8Array | undefined {
  if (bytes === undefined || bytes === null) {
    return undefined;
  }
  if (!isUint8Array(bytes)) {
    const hint = typeof bytes === "string" ? "; make bytes of a string with new TextEncoder().encode(text)" : "";
    throw invalidMessage(`${what} is no Uint8Array${hint}`);
  }
  return bytes;
}

const noHeaders: readonly CheckedHeader[] = [];

function checkHeaders(headers: readonly OutgoingHeader[] | null | undefined): readonly CheckedHeader[] {
  if (headers === undefined || headers === null) {
    return noHeaders;
  }
  if (!Array.isArray(headers)) {
    throw invalidMessage("its headers are no array of { key, value }");
  }
  return Array.from(headers as readonly OutgoingHeader[], (header, index) => {
    if (typeof header !== "object" || (header as unknown) === null) {
      throw invalidMessage(`its header ${String(index)} is no { key, value }`);
    }
    const what = `of its header ${String(index)}`;
    const key = checkText(header.key, `the key ${what}`);
    const value = checkBytes(header.value, `the value ${what}`);
    const keyLength = Buffer.byteLength(key);
    const length = fieldSize(keyLength) + (value === undefined ? 0 : fieldSize(value.length));
    return { key, keyLength, value, length };
  });
}

function checkPartition(partition: number | null | undefined): number | undefined {
  if (partition === undefined || partition === null) {
    return undefined;
  }
  if (typeof partition !== "number" || (partition | 0) !== partition) {
    throw invalidMessage(`its partition, ${textOf(partition)}, is no 32-bit integer`);
  }
  return partition;
}

function checkTimestamp(timestamp: Date | null | undefined): number | undefined {
  if (timestamp === undefined || timestamp === null) {
    return undefined;
  }
  const time = timestamp instanceof Date ? timestamp.getTime() : NaN;
  if (Number.isNaN(time)) {
    throw invalidMessage("its timestamp is no valid Date");
  }
  return time;
}

function tooLarge(topic: string, size: number, maxMessageBytes: number): MessageProxyError {
  return new MessageProxyError(
    Code.MessageTooLarge,
    `the message for topic ${JSON.stringify(topic)} has ${String(size)} bytes, above the client's limit of ` +
      `${String(maxMessageBytes)}; if the server takes it, raise maxMessageBytes`,
  );
}

function invalidMessage(why: string): MessageProxyError {
  return invalidArgument(`the message can't be produced: ${why}`);
}

/** Makes a request of messages, of which the first has this sequence and each other the one that follows. */
export function produceRequest(messages: readonly Encoded[], firstSequence: number): Raw {
  const lengthWith = (sequence: number, { body }: Encoded) => body.length + 1 + varintSize(sequence);
  let length = 0;
  let sequence = firstSequence;
  for (const message of messages) {
    length += fieldSize(lengthWith(sequence++, message));
  }
  const writer = new Writer(length);
  sequence = firstSequence;
  for (const message of messages) {
    writer.begin(1, lengthWith(sequence, message));
    writer.raw(message.body);
    writer.tag(1, WireType.Varint);
    writer.varint(sequence++);
  }
  return rawOf(1, writer.bytes.subarray(1)); // which adds the first tag itself
}

/** What the server says of one message. */
export interface Result {
  readonly sequence: number;
  /** Undefined if it is of a kind that this version doesn't know. */
  readonly outcome: Receipt | MessageProxyError | undefined;
}

/** What the server says on a produce stream. What this version doesn't know in it is left out. */
export interface ProduceAnswer {
  readonly results: readonly Result[];
  readonly terminalError: MessageProxyError | undefined;
}

/** Decodes a response. */
export function produceAnswer({ $unknown: fields = [] }: Raw): ProduceAnswer {
  const results: Result[] = [];
  let terminalError: MessageProxyError | undefined;
  for (const field of fields) {
    if (field.no === 1) {
      results.push(readResult(new Reader(field.data)));
    } else {
      const { terminalError: error } = decoded(ProduceResponseSchema, field);
      terminalError = error === undefined ? terminalError : errorFromWire(error);
    }
  }
  return { results, terminalError };
}

function readResult(reader: Reader): Result {
  let sequence = 0;
  let outcome: Receipt | MessageProxyError | undefined;
  for (const end = reader.begin(); reader.more(end); ) {
    const field = reader.tag();
    switch (field) {
      case tag(1, WireType.Varint):
        sequence = reader.varint();
        break;
      case tag(2, WireType.LengthDelimited):
        outcome = readReceipt(reader);
        break;
      case tag(3, WireType.LengthDelimited):
        outcome = errorFromWire(fromBinary(ErrorSchema, reader.blob()));
        break;
      default:
        reader.skip(field);
    }
  }
  return { sequence, outcome };
}

function readReceipt(reader: Reader): Receipt {
  let messageId = "";
  let partition = 0;
  let timestamp: Date | undefined;
  for (const end = reader.begin(); reader.more(end); ) {
    const field = reader.tag();
    switch (field) {
      case tag(1, WireType.LengthDelimited):
        messageId = reader.text();
        break;
      case tag(2, WireType.Varint):
        partition = reader.varint();
        break;
      case tag(3, WireType.Varint):
        timestamp = reader.date();
        break;
      default:
        reader.skip(field);
    }
  }
  return { messageId, partition, timestamp: timestamp ?? new Date(0) };
}
