/** Puts a load on a server, by the SDK or by the generated stubs: see ../../../tools/bench/LOAD.md. */
import { randomBytes } from "node:crypto";

import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { Client } from "@messageproxy/client";

import {
  type ConsumeRequest,
  ConsumeRequestSchema,
  MessageProxy,
  type MessageReceipt,
  type OutgoingMessage,
  OutgoingMessageSchema,
  type ProduceRequest,
  ProduceRequestSchema,
  type ProduceResult,
} from "../src/gen/messageproxy/v1/messageproxy_pb.js";

/** What to do. */
interface Load {
  readonly kind: string;
  readonly target: string;
  readonly topic: string;
  readonly subscription: string;
  readonly partitions: number;
  readonly value_bytes: number;
  readonly warmup: number;
  readonly messages: number;
  readonly outstanding: number;
  readonly frame: number;
}

/** Counts what is done, and measures from the last message of the warm-up to the last message of all. */
class Meter {
  readonly #load: Load;
  readonly #whenMeasured = new AbortController();
  #done = 0;
  #began = 0;
  #seconds = 0;

  constructor(load: Load) {
    this.#load = load;
    if (load.warmup === 0) {
      this.#begin();
    }
  }

  /** Is aborted when the measurement is over. */
  get measured(): AbortSignal {
    return this.#whenMeasured.signal;
  }

  isOver(): boolean {
    return this.measured.aborted;
  }

  /** Notes that a message is done. */
  add(): void {
    const { warmup, messages } = this.#load;
    this.#done++;
    if (this.#done === warmup) {
      this.#begin();
    }
    if (this.#done === warmup + messages) {
      this.#seconds = (performance.now() - this.#began) / 1000;
      this.#whenMeasured.abort();
    }
  }

  /** Says what came of it, when nothing more will come. */
  report(): void {
    if (!this.isOver()) {
      throw new Error(`it ended too early, after ${String(this.#done)} messages`);
    }
    say({ messages: this.#load.messages, seconds: this.#seconds, done: this.#done });
  }

  #begin(): void {
    say({ measuring: true });
    this.#began = performance.now();
  }
}

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Cuts values out of a text, without copying any. */
class Values {
  static readonly #textBytes = 2 ** 20;
  /** Leads from one value to the next: a prime, so that values differ. */
  static readonly #step = 7919;

  readonly #size: number;
  readonly #text: Uint8Array;
  #at = 0;

  constructor(size: number) {
    this.#size = size;
    this.#text = Buffer.from(randomBytes(Values.#textBytes + size).toString("base64"));
  }

  next(): Uint8Array {
    this.#at = (this.#at + Values.#step) % Values.#textBytes;
    return this.#text.subarray(this.#at, this.#at + this.#size);
  }
}

/** Checks that each partition's messages come in order: a value begins with its message's place in its partition. */
class Order {
  readonly #next: number[];
  readonly #size: number;

  constructor(load: Load) {
    this.#next = new Array<number>(load.partitions).fill(0);
    this.#size = load.value_bytes;
  }

  /** Takes note of a message, and says whether it is a new one: those of a lost stream may be delivered again. */
  see(partition: number, value: Uint8Array): boolean {
    const expected = this.#next[partition];
    if (expected === undefined || value.length !== this.#size) {
      throw new Error(`a message of ${String(value.length)} bytes came from partition ${String(partition)}`);
    }
    const index = new DataView(value.buffer, value.byteOffset).getUint32(4); // of 64 bits, which is enough
    if (index > expected) {
      throw new Error(`message ${String(index)} of partition ${String(partition)} came before ${String(expected)}`);
    }
    if (index < expected) {
      return false;
    }
    this.#next[partition] = index + 1;
    return true;
  }
}

/** Handles a message, for the SDK and for the stubs. */
type Handle = (partition: number, value: Uint8Array | null | undefined) => Promise<void>;

function handler(load: Load, meter: Meter): Handle {
  const order = new Order(load);
  // eslint-disable-next-line @typescript-eslint/require-await -- as most handlers of applications, which do await
  return async (partition, value) => {
    if (order.see(partition, value ?? new Uint8Array())) {
      meter.add();
    }
  };
}

/** Has callers that each produce a message, await its receipt, and produce the next. */
async function produceAll(load: Load, meter: Meter, produce: (value: Uint8Array) => Promise<unknown>): Promise<void> {
  const values = new Values(load.value_bytes);
  let left = load.warmup + load.messages;
  const caller = async () => {
    while (left > 0) {
      left--;
      await produce(values.next());
      meter.add();
    }
  };
  await Promise.all(Array.from({ length: load.outstanding }, caller));
}

async function sdkProduce(load: Load, meter: Meter): Promise<void> {
  const { topic } = load;
  await using client = new Client(load.target);
  await produceAll(load, meter, (value) => client.produce({ topic, value }));
}

async function sdkConsume(load: Load, meter: Meter): Promise<void> {
  const handle = handler(load, meter);
  await using client = new Client(load.target);
  await client
    .subscription(load.subscription, [load.topic])
    .consume((message) => handle(message.partition, message.value), {
      attempts: { count: 1 },
      signal: meter.measured,
    });
}

/** The requests of a stream: `take` has the next one, if there is something to say. */
class Requests<Request> {
  readonly #take: () => Request | undefined;
  #wake: (() => void) | undefined;
  #ended = false;

  constructor(take: () => Request | undefined) {
    this.#take = take;
  }

  /** Says that there is something for `take`. */
  wake(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  /** Half-closes the stream when everything is said. */
  end(): void {
    this.#ended = true;
    this.wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Request, void, undefined> {
    for (;;) {
      const request = this.#take();
      if (request !== undefined) {
        yield request;
      } else if (this.#ended) {
        return;
      } else {
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    }
  }
}

/** Does something with the stubs, on a connection. */
async function withStubs(target: string, work: (stubs: Stubs) => Promise<void>): Promise<void> {
  const baseUrl = `http://${target}`;
  const sessionManager = new Http2SessionManager(baseUrl);
  await work(createClient(MessageProxy, createGrpcTransport({ baseUrl, sessionManager })));
  sessionManager.abort();
}

type Stubs = ReturnType<typeof createClient<typeof MessageProxy>>;

/** A caller that awaits its receipt. */
interface Caller {
  readonly resolve: (receipt: MessageReceipt) => void;
  readonly reject: (error: Error) => void;
}

/** Produces with the stubs. */
class StreamProducer {
  readonly #topic: string;
  readonly #frame: number;
  readonly #requests = new Requests(() => this.#takeFrame());
  readonly #callers = new Map<bigint, Caller>();
  #gathered: OutgoingMessage[] = [];
  #sequence = 0n;

  constructor(load: Load) {
    this.#topic = load.topic;
    this.#frame = load.frame;
  }

  produce(value: Uint8Array): Promise<MessageReceipt> {
    return new Promise((resolve, reject) => {
      const sequence = ++this.#sequence;
      this.#callers.set(sequence, { resolve, reject });
      this.#gathered.push(create(OutgoingMessageSchema, { sequence, topic: this.#topic, value }));
      this.#requests.wake();
    });
  }

  /** Takes results until the stream ends. */
  async run(stubs: Stubs): Promise<void> {
    for await (const { results, terminalError } of stubs.produce(this.#requests)) {
      for (const result of results) {
        this.#takeResult(result);
      }
      if (terminalError !== undefined) {
        throw new Error(`the server says: ${terminalError.message}`);
      }
    }
    if (this.#callers.size > 0) {
      throw new Error(`${String(this.#callers.size)} messages have no result`);
    }
  }

  end(): void {
    this.#requests.end();
  }

  #takeFrame(): ProduceRequest | undefined {
    if (this.#gathered.length === 0) {
      return undefined;
    }
    return create(ProduceRequestSchema, { messages: this.#gathered.splice(0, this.#frame) });
  }

  #takeResult({ sequence, outcome }: ProduceResult): void {
    const caller = this.#callers.get(sequence);
    this.#callers.delete(sequence);
    if (outcome.case === "receipt") {
      caller?.resolve(outcome.value);
    } else {
      caller?.reject(new Error(`not the receipt of a message: ${String(outcome.value?.message)}`));
    }
  }
}

async function streamProduce(load: Load, meter: Meter): Promise<void> {
  await withStubs(load.target, async (stubs) => {
    const producer = new StreamProducer(load);
    const producing = produceAll(load, meter, (value) => producer.produce(value)).finally(() => {
      producer.end();
    });
    await Promise.all([producer.run(stubs), producing]);
  });
}

async function streamConsume(load: Load, meter: Meter): Promise<void> {
  const handle = handler(load, meter);
  const acks: ConsumeRequest[] = [subscribeRequest(load)];
  const requests = new Requests(() => acks.shift());
  await withStubs(load.target, async (stubs) => {
    for await (const { response } of stubs.consume(requests)) {
      if (response.case === "terminalError") {
        throw new Error(`the server says: ${response.value.message}`);
      }
      if (response.case !== "batch" || meter.isOver()) {
        continue;
      }
      const messageIds: string[] = [];
      for (const { partition, messages } of response.value.partitions) {
        for (const message of messages) {
          await handle(partition, message.value);
          messageIds.push(message.id);
        }
      }
      acks.push(create(ConsumeRequestSchema, { request: { case: "ack", value: { messageIds } } }));
      requests.wake();
      if (meter.isOver()) {
        requests.end();
      }
    }
  });
}

function subscribeRequest({ subscription, topic }: Load): ConsumeRequest {
  return create(ConsumeRequestSchema, {
    request: { case: "subscribe", value: { subscription, topics: [topic] } },
  });
}

const kinds = new Map([
  ["sdk produce", sdkProduce],
  ["sdk consume", sdkConsume],
  ["stream produce", streamProduce],
  ["stream consume", streamConsume],
]);

async function main(): Promise<void> {
  const load = JSON.parse(process.argv[2] ?? "{}") as Load;
  const run = kinds.get(load.kind);
  if (run === undefined) {
    throw new Error(`there is no load ${JSON.stringify(load.kind)}: there are ${[...kinds.keys()].join(", ")}`);
  }
  const meter = new Meter(load);
  await run(load, meter);
  meter.report();
}

main().catch((error: unknown) => {
  console.error("load:", error);
  process.exit(1);
});
