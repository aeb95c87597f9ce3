import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";

import { ConsumeRequestSchema } from "./gen/messageproxy/v1/messageproxy_pb.js";
import type { Header, Message } from "./message.js";
import { encoded, fieldSize, type Raw, rawOf, Reader, tag, varintSize, Writer } from "./wire.js";

/** The number of the field of a response in which messages come. */
export const batchField = 2;

/** Makes a request. */
export function consumeRequest(request: MessageInitShape<typeof ConsumeRequestSchema>): Raw {
  return encoded(ConsumeRequestSchema, create(ConsumeRequestSchema, request));
}

/** Makes a request with ACKs. */
export function ackRequest(ids: readonly string[]): Raw {
  const lengths = ids.map((id) => Buffer.byteLength(id));
  const length = lengths.reduce((sum, idLength) => sum + fieldSize(idLength), 0);
  const writer = new Writer(varintSize(length) + length);
  writer.varint(length);
  ids.forEach((id, i) => {
    writer.text(1, id, lengths[i] ?? 0);
  });
  return rawOf(2, writer.bytes);
}

/** The messages of a partition that came together. */
export interface Delivered {
  readonly topic: string;
  readonly partition: number;
  readonly messages: readonly Message[];
}

/** Decodes messages. They share memory with `data`. */
export function readBatch(data: Uint8Array): Delivered[] {
  const reader = new Reader(data);
  const batch: Delivered[] = [];
  for (const end = reader.begin(); reader.more(end); ) {
    const field = reader.tag();
    if (field === tag(1, WireType.LengthDelimited)) {
      batch.push(readPartition(reader));
    } else {
      reader.skip(field);
    }
  }
  return batch;
}

function readPartition(reader: Reader): Delivered {
  let topic = "";
  let partition = 0;
  const places: number[] = []; // of messages, which are decoded when it is known where they are from
  const end = reader.begin();
  while (reader.more(end)) {
    const field = reader.tag();
    switch (field) {
      case tag(1, WireType.LengthDelimited):
        topic = reader.text();
        break;
      case tag(2, WireType.Varint):
        partition = reader.varint();
        break;
      case tag(3, WireType.LengthDelimited):
        places.push(reader.at);
        reader.skip(field);
        break;
      default:
        reader.skip(field);
    }
  }
  const messages = places.map((place) => {
    reader.at = place;
    return readMessage(reader, topic, partition);
  });
  reader.at = end;
  return { topic, partition, messages };
}

const noHeaders: readonly Header[] = Object.freeze([]);

function readMessage(reader: Reader, topic: string, partition: number): Message {
  let id = "";
  let key: Uint8Array | null = null;
  let value: Uint8Array | null = null;
  let headers: Header[] | undefined;
  let timestamp: Date | undefined;
  let deliveryAttempt = 0;
  for (const end = reader.begin(); reader.more(end); ) {
    const field = reader.tag();
    switch (field) {
      case tag(1, WireType.LengthDelimited):
        id = reader.text();
        break;
      case tag(2, WireType.LengthDelimited):
        key = reader.blob();
        break;
      case tag(3, WireType.LengthDelimited):
        value = reader.blob();
        break;
      case tag(4, WireType.LengthDelimited):
        headers ??= [];
        headers.push(readHeader(reader));
        break;
      case tag(5, WireType.Varint):
        timestamp = reader.date();
        break;
      case tag(6, WireType.Varint):
        deliveryAttempt = reader.varint();
        break;
      default:
        reader.skip(field);
    }
  }
  return {
    topic,
    partition,
    key,
    value,
    headers: headers ?? noHeaders,
    timestamp: timestamp ?? new Date(0),
    id,
    deliveryAttempt,
  };
}

function readHeader(reader: Reader): Header {
  let key = "";
  let value: Uint8Array | null = null;
  for (const end = reader.begin(); reader.more(end); ) {
    const field = reader.tag();
    switch (field) {
      case tag(1, WireType.LengthDelimited):
        key = reader.text();
        break;
      case tag(2, WireType.LengthDelimited):
        value = reader.blob();
        break;
      default:
        reader.skip(field);
    }
  }
  return { key, value };
}
