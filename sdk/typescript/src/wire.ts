/**
 * Protocol Buffers by hand, for what there is one of for each message: the library reflects on every field, which costs
 * several times as much. Everything else is the library's. See https://protobuf.dev/programming-guides/encoding.
 */
import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import { type Empty, EmptySchema } from "@bufbuild/protobuf/wkt";
import { Code as StatusCode, ConnectError } from "@connectrpc/connect";

/** A request or a response as it is on the wire: to the library, all of its fields are unknown, and it keeps those. */
export type Raw = Empty;

/** A field of a {@link Raw}. Its data begins with its length, if that is variable. */
export type RawField = NonNullable<Raw["$unknown"]>[number];

/** Makes a request of a field, whose data may go on with more fields, and then with their tags. */
export function rawOf(no: number, data: Uint8Array): Raw {
  return { $typeName: EmptySchema.typeName, $unknown: [{ no, wireType: WireType.LengthDelimited, data }] };
}

/** Has the library encode a message. */
export function encoded<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): Raw {
  return fromBinary(EmptySchema, toBinary(schema, message));
}

/** Has the library decode a message of which one field is known. */
export function decoded<Desc extends DescMessage>(schema: Desc, field: RawField): MessageShape<Desc> {
  return fromBinary(schema, toBinary(EmptySchema, { $typeName: EmptySchema.typeName, $unknown: [field] }));
}

/** Is how many bytes a whole number takes that is not below 0. */
export function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest /= 0x80) {
    size++;
  }
  return size;
}

/** Is how many bytes a field takes whose content has this length, if the field's number is at most 15. */
export function fieldSize(length: number): number {
  return 1 + varintSize(length) + length;
}

/** Writes fields one after another. Their numbers are at most 15, and what they take is known before. */
export class Writer {
  readonly bytes: Buffer;
  #at = 0;

  constructor(length: number) {
    this.bytes = Buffer.allocUnsafe(length);
  }

  /** Writes a whole number that is not below 0. */
  varint(value: number): void {
    let rest = value;
    for (; rest >= 2 ** 31; rest = Math.floor(rest / 0x80)) {
      this.bytes[this.#at++] = (rest % 0x80) | 0x80;
    }
    for (; rest >= 0x80; rest >>>= 7) {
      this.bytes[this.#at++] = (rest & 0x7f) | 0x80;
    }
    this.bytes[this.#at++] = rest;
  }

  /** Begins a field. */
  tag(no: number, type: WireType): void {
    this.bytes[this.#at++] = (no << 3) | type;
  }

  /** Writes an integer of 64 bits. It takes what {@link int64Size} says. */
  int64(value: number): void {
    if (value >= 0) {
      this.varint(value);
      return;
    }
    let rest = BigInt.asUintN(64, BigInt(value));
    for (; rest >= 0x80n; rest >>= 7n) {
      this.bytes[this.#at++] = Number(rest & 0x7fn) | 0x80;
    }
    this.bytes[this.#at++] = Number(rest);
  }

  /** Writes what was encoded before. */
  raw(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** Writes a field of bytes. */
  blob(no: number, bytes: Uint8Array): void {
    this.begin(no, bytes.length);
    this.raw(bytes);
  }

  /** Writes a field of text, of which the length in bytes is known. */
  text(no: number, text: string, length: number): void {
    this.begin(no, length);
    this.bytes.write(text, this.#at, length);
    this.#at += length;
  }

  /** Begins a field whose content is written next. */
  begin(no: number, length: number): void {
    this.tag(no, WireType.LengthDelimited);
    this.varint(length);
  }
}

/** Is how many bytes an integer takes: those below 0 take them all. */
export function int64Size(value: number): number {
  return value >= 0 ? varintSize(value) : 10;
}

/** The last millisecond that a Date can be; the first is as long before 1970. */
const farthestDate = 8.64e15;

/** How deep groups may be within each other. */
const maxDepth = 100;

/** Reads fields one after another. It throws a ConnectError at whatever can't be Protocol Buffers. */
export class Reader {
  readonly #bytes: Buffer;
  /** Where the next field begins. */
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Reads an integer of up to 64 bits, signed. It is exact within 2^53, where all of the wire contract's are. */
  varint(): number {
    let low = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#byte();
      low |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        return low;
      }
    }
    let high = 0;
    for (let shift = 0; shift < 42; shift += 7) {
      const byte = this.#byte();
      high += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) {
        high %= 2 ** 36;
        return (high < 2 ** 35 ? high : high - 2 ** 36) * 2 ** 28 + low;
      }
    }
    throw malformed();
  }

  /** Reads a field's tag: its number and type, as {@link tag} makes them. */
  tag(): number {
    return this.varint();
  }

  /** Begins something with a length, and returns where that ends. */
  begin(): number {
    const length = this.varint();
    const end = this.at + length;
    if (length < 0 || end > this.#bytes.length) {
      throw malformed();
    }
    return end;
  }

  /** Whether there is more of what ends there. */
  more(end: number): boolean {
    if (this.at > end) {
      throw malformed();
    }
    return this.at < end;
  }

  /** Reads bytes, which share memory with all. */
  blob(): Uint8Array {
    const end = this.begin();
    const blob = new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + this.at, end - this.at);
    this.at = end;
    return blob;
  }

  text(): string {
    const end = this.begin();
    const text = this.#bytes.toString("utf8", this.at, end);
    this.at = end;
    return text;
  }

  /** Reads a time in milliseconds. What is out of the range of dates becomes the end of that. */
  date(): Date {
    const ms = this.varint();
    return new Date(Math.min(Math.max(ms, -farthestDate), farthestDate));
  }

  /** Passes over a field that has this tag, and that is within so many groups. */
  skip(tag: number, depth = 0): void {
    switch ((tag & 7) as WireType) {
      case WireType.Varint:
        this.varint();
        break;
      case WireType.Bit64:
        this.at += 8;
        break;
      case WireType.LengthDelimited:
        this.at = this.begin();
        break;
      case WireType.Bit32:
        this.at += 4;
        break;
      case WireType.StartGroup:
        this.#skipGroup(tag, depth + 1);
        break;
      default:
        throw malformed();
    }
  }

  /** Passes over a group that has begun with this tag, to the one with the same number that ends it. */
  #skipGroup(begin: number, depth: number): void {
    if (depth > maxDepth) {
      throw malformed();
    }
    const end = begin - WireType.StartGroup + WireType.EndGroup;
    for (let field = this.tag(); field !== end; field = this.tag()) {
      this.skip(field, depth);
    }
  }

  #byte(): number {
    const byte = this.#bytes[this.at++];
    if (byte === undefined) {
      throw malformed();
    }
    return byte;
  }
}

/** Is a field's number and type in one number, by which fields are told apart. */
export function tag(no: number, type: WireType): number {
  return (no << 3) | type;
}

function malformed(): ConnectError {
  return new ConnectError("what the server said can't be read", StatusCode.Internal);
}
