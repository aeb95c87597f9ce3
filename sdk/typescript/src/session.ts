import { type Duration, durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";

import type { Connection } from "./connection.js";
import { abortReason, MessageProxyError } from "./errors.js";
import type { ConsumeEvent } from "./events.js";
import {
  type ConsumeResponse,
  ConsumeResponseSchema,
  StartPosition,
  type Subscribed,
  type TopicPartition as WireTopicPartition,
  type Withdrawn,
} from "./gen/messageproxy/v1/messageproxy_pb.js";
import type { ConsumeConfig } from "./consume-options.js";
import { ackRequest, batchField, consumeRequest, type Delivered, readBatch } from "./consume-wire.js";
import type { Task } from "./lanes.js";
import type { TopicPartition } from "./message.js";
import { errorFromWire, streamEnded, streamError } from "./status.js";
import { after, Ending, Wake } from "./sync.js";
import { decoded, type Raw } from "./wire.js";

/** About the most bytes of IDs that go into one frame. */
const maxAckFrameBytes = 32 * 1024;

/** The longest that google.protobuf.Duration takes, in milliseconds: 10,000 years. */
const longestDuration = 315_576_000_000_000;

/** What a session needs to subscribe. */
export interface Subscribing {
  readonly subscription: string;
  readonly topics: readonly string[];
  readonly clientName: string;
  readonly config: ConsumeConfig;
}

/** What a session tells the consumer. */
export interface SessionOwner {
  /** Queues messages for their handlers. */
  push(tasks: Task[]): void;
  /** Drops queued messages. */
  purge(drop: (task: Task) => boolean): void;
  event(event: ConsumeEvent): void;
}

/** What a session knows of a partition that messages came from. */
export interface Partition extends TopicPartition {
  readonly session: Session;
  /** Names the partition among all. */
  readonly name: string;
  /** No handler begins any more; ACKs still count. */
  withdrawn: boolean;
  /** Ends when ACKs don't count any more either; the reason is for the handlers. */
  readonly gone: Ending;
  /** Ends the time left of a withdrawn partition. */
  timer: NodeJS.Timeout | undefined;
}

/**
 * One stream of a consumer: what was delivered on it and which ACKs are to be sent on it, and on no other. It receives
 * and sends independently.
 */
export class Session {
  readonly #connection: Connection;
  readonly #subscribing: Subscribing;
  readonly #owner: SessionOwner;
  /** The sender has something to do. */
  readonly #wake = new Wake();
  /** Those to which new messages belong. */
  readonly #partitions = new Map<string, Partition>();
  /** These, and those withdrawn that have time left. */
  readonly #live = new Set<Partition>();
  #acks: string[] = [];
  #leaving = false;
  #finished = false;
  /** When it was connected, by performance.now(). */
  #opened: number | undefined;
  /** A message has come. */
  #progressed = false;
  #ackTimeout = 0;
  /** Ends when the stream has. */
  readonly ended = new Ending();

  constructor(connection: Connection, subscribing: Subscribing, owner: SessionOwner) {
    this.#connection = connection;
    this.#subscribing = subscribing;
    this.#owner = owner;
  }

  /** Whether it was connected. */
  get open(): boolean {
    return this.#opened !== undefined;
  }

  /** The server's, in milliseconds; 0 until that is known. */
  get ackTimeout(): number {
    return this.#ackTimeout;
  }

  /** Whether the stream was good for something: a message has come, or it has lasted. */
  madeProgress(longMilliseconds: number): boolean {
    const lasted = this.#opened === undefined ? 0 : performance.now() - this.#opened;
    return this.#progressed || lasted > longMilliseconds;
  }

  /** Opens the stream and serves it until it ends. Returns why it did. */
  async run(): Promise<MessageProxyError> {
    const reason = await this.#receive();
    this.ended.end(reason);
    this.#wake.set(); // ends the sender
    this.#connection.close();
    for (const partition of this.#live) {
      this.#endPartition(partition, abortReason("the stream has ended; the message will be delivered again", reason));
    }
    this.#owner.purge((task) => task.partition.session === this);
    return reason;
  }

  /** Asks the server for no more messages. */
  leave(): void {
    this.#leaving = true;
    this.#wake.set();
  }

  /** Has what is to be sent sent, and then the stream half-closed. */
  finish(): void {
    this.#finished = true;
    this.#wake.set();
  }

  /** Ends the stream now. */
  abort(): void {
    this.#connection.close();
  }

  /** Has the ACK of a message sent, if it still counts. */
  ack(task: Task): void {
    if (!task.partition.gone.ended) {
      this.#acks.push(task.id);
      this.#wake.set();
    }
  }

  /** Is what goes to the server: subscribe, and then ACKs as they gather, until the stream ends or is finished. */
  async *#requests(): AsyncGenerator<Raw, void, undefined> {
    this.#opened = performance.now();
    yield subscribeRequest(this.#subscribing);
    let left = false;
    while (!this.ended.ended) {
      if (this.#leaving && !left) {
        left = true;
        yield consumeRequest({ request: { case: "leave", value: {} } });
      } else if (this.#acks.length > 0) {
        yield ackRequest(this.#takeAcks());
      } else if (this.#finished) {
        return;
      } else {
        await this.#wake.wait();
      }
    }
  }

  /** Takes as many ACKs as go into one frame. */
  #takeAcks(): string[] {
    const acks = this.#acks;
    let bytes = 0;
    const end = acks.findIndex((id) => (bytes += id.length + 3) > maxAckFrameBytes);
    if (end === -1) {
      this.#acks = [];
      return acks;
    }
    return acks.splice(0, Math.max(end, 1));
  }

  async #receive(): Promise<MessageProxyError> {
    let terminal: MessageProxyError | undefined;
    try {
      for await (const { $unknown: fields = [] } of await this.#connection.consume(this.#requests())) {
        for (const field of fields) {
          if (field.no === batchField) {
            this.#deliver(readBatch(field.data));
          } else {
            terminal = this.#take(decoded(ConsumeResponseSchema, field)) ?? terminal;
          }
        }
      }
      return terminal ?? streamEnded();
    } catch (error) {
      return terminal ?? streamError(error);
    }
  }

  /**
   * Takes what the server says beside messages. Returns its terminal error. What this version doesn't know is ignored.
   */
  #take({ response }: ConsumeResponse): MessageProxyError | undefined {
    switch (response.case) {
      case "subscribed":
        this.#subscribed(response.value);
        break;
      case "withdrawn":
        this.#withdraw(response.value);
        break;
      case "assignment":
        this.#owner.event({ kind: "assigned", partitions: partitionsFromWire(response.value.partitions) });
        break;
      case "error":
        this.#owner.event({ kind: "trouble", error: errorFromWire(response.value) });
        break;
      case "recovered": {
        const code = response.value.code as number;
        this.#owner.event({ kind: "recovered", error: new MessageProxyError(code, "", { retryable: true }) });
        break;
      }
      case "notice":
        this.#owner.event({ kind: "notice", error: errorFromWire(response.value) });
        break;
      case "terminalError":
        return errorFromWire(response.value);
      default:
        break;
    }
    return undefined;
  }

  #subscribed({ maxUnackedMessages, ackTimeout }: Subscribed): void {
    this.#ackTimeout = milliseconds(ackTimeout);
    this.#owner.event({ kind: "connected", maxUnacked: maxUnackedMessages, ackTimeout: this.#ackTimeout });
  }

  /** Queues messages. How many there are at once is bounded by the server's limit of unacknowledged messages. */
  #deliver(batches: readonly Delivered[]): void {
    const tasks: Task[] = [];
    for (const { topic, partition: number, messages } of batches) {
      const partition = this.#partition(topic, number);
      for (const message of messages) {
        tasks.push({ partition, message, id: message.id });
      }
    }
    this.#progressed ||= tasks.length > 0;
    this.#owner.push(tasks);
  }

  /** Returns a partition, which is a new one if it was withdrawn before. */
  #partition(topic: string, partition: number): Partition {
    const name = partitionName(topic, partition);
    const known = this.#partitions.get(name);
    if (known !== undefined && !known.withdrawn) {
      return known;
    }
    const created: Partition = {
      session: this,
      topic,
      partition,
      name,
      withdrawn: false,
      gone: new Ending(),
      timer: undefined,
    };
    this.#partitions.set(name, created);
    this.#live.add(created);
    return created;
  }

  /** Drops what hasn't begun of partitions, and tells what has to end when the time left is over. */
  #withdraw({ partitions, timeLeft }: Withdrawn): void {
    const left = milliseconds(timeLeft);
    for (const { topic, partition: number } of partitions) {
      const partition = this.#partitions.get(partitionName(topic, number));
      if (partition === undefined || partition.gone.ended) {
        continue;
      }
      partition.withdrawn = true;
      const end = () => {
        const reason = "the partition went to another server; the message will be delivered there";
        this.#endPartition(partition, abortReason(reason));
      };
      if (left <= 0) {
        end();
      } else {
        partition.timer ??= after(left, end);
      }
    }
    this.#owner.purge((task) => task.partition.withdrawn);
    this.#owner.event({ kind: "withdrawn", partitions: partitionsFromWire(partitions), timeLeft: left });
  }

  /** Lets nothing of a partition count any more. */
  #endPartition(partition: Partition, reason: Error): void {
    clearTimeout(partition.timer);
    this.#live.delete(partition);
    partition.withdrawn = true;
    partition.gone.end(reason);
  }
}

function subscribeRequest({ subscription, topics, clientName, config }: Subscribing): Raw {
  return consumeRequest({
    request: {
      case: "subscribe",
      value: {
        subscription,
        topics: [...topics],
        startPosition: config.start === "latest" ? StartPosition.LATEST : StartPosition.EARLIEST,
        clientName,
        ...(config.maxUnacked > 0 ? { maxUnackedMessages: config.maxUnacked } : {}),
        ...(config.ackTimeout > 0 ? { ackTimeout: durationFromMs(wholeMilliseconds(config.ackTimeout)) } : {}),
      },
    },
  });
}

/** Rounds up, to something that a duration of the wire contract can be. */
function wholeMilliseconds(ms: number): number {
  return Math.min(Math.ceil(ms), longestDuration);
}

function milliseconds(duration: Duration | undefined): number {
  return duration === undefined ? 0 : durationMs(duration);
}

function partitionName(topic: string, partition: number): string {
  return `${String(partition)}/${topic}`;
}

function partitionsFromWire(partitions: readonly WireTopicPartition[]): TopicPartition[] {
  return partitions.map(({ topic, partition }) => ({ topic, partition }));
}
