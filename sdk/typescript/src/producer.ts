import { Backoff } from "./backoff.js";
import type { Connection } from "./connection.js";
import { ClosedError, Code, endsForGood, MessageProxyError, unknownOutcome } from "./errors.js";
import { FlushGroups } from "./flush.js";
import type { OutgoingMessage, Receipt } from "./message.js";
import { type CallOptions, type ClientConfig, signalOf } from "./options.js";
import type { Pending } from "./pending.js";
import { encode, produceAnswer, produceRequest, type Result } from "./produce-wire.js";
import { Room } from "./room.js";
import { streamEnded, streamError } from "./status.js";
import { after, Ending, onAbort, sleep, Wake } from "./sync.js";
import { Watches } from "./watches.js";
import type { Raw } from "./wire.js";

/** About how much goes into one frame. */
const maxFrameBytes = 256 * 1024;
/** How long closing waits for the server to end a stream that has nothing left to say, in milliseconds. */
const closeMilliseconds = 1000;

/** What the producer knows of one stream. */
interface ProduceStream {
  readonly connection: Connection;
  sequence: number;
  /** What was given to the stream and has no result yet, by sequence and in its order. */
  readonly unanswered: Map<number, Pending>;
  /** It is connected. */
  open: boolean;
  /** The receiver knows that it is over. */
  ended: boolean;
  /** A result has come. */
  progressed: boolean;
}

/** Takes messages over, has them sent on one stream at a time, and tells the callers what became of them. */
export class Producer {
  readonly #config: ClientConfig;
  readonly #connect: () => Connection;
  readonly #retry: Backoff;
  readonly #room: Room;
  readonly #flushes = new FlushGroups();
  readonly #watches = new Watches((m) => {
    this.#abandon(m);
  });
  /** What has its place and was never given to a stream, in order. */
  #queue = new Set<Pending>();
  /** The queue has something, or the stream is to end. */
  readonly #wake = new Wake();
  #stream: ProduceStream | undefined;
  /** Opens one stream after another; undefined until the first message. */
  #running: Promise<void> | undefined;
  readonly #closing = new Ending();

  constructor(config: ClientConfig, connect: () => Connection) {
    this.#config = config;
    this.#connect = connect;
    this.#retry = new Backoff(config.reconnectBackoff.min, config.reconnectBackoff.max);
    this.#room = new Room(config.maxOutstanding, (m) => {
      this.#admit(m);
    });
  }

  produce(message: OutgoingMessage, options: CallOptions | undefined): Promise<Receipt> {
    return new Promise((resolve, reject) => {
      this.#requireOpen();
      const signal = signalOf(options);
      const { body, size } = encode(message, this.#config.maxMessageBytes);
      signal?.throwIfAborted();
      const m: Pending = {
        body,
        size,
        signal,
        resolve,
        reject,
        group: this.#flushes.join(),
        admitted: false,
        onWire: false,
        answered: false,
        off: false,
      };
      this.#watches.add(m);
      this.#room.enter(m);
    });
  }

  /** Waits until everything that was produced before is answered. */
  flush(options: CallOptions | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#requireOpen();
      const signal = signalOf(options);
      signal?.throwIfAborted();
      const done = new Ending();
      const giveUp = this.#flushes.seal(() => {
        done.end();
      });
      const unwatch = onAbort(signal, () => {
        giveUp();
        reject(signal?.reason as Error);
      });
      done.onEnd(() => {
        unwatch();
        resolve();
      });
    });
  }

  /** Answers what is unanswered, and returns when the stream has ended. */
  async close(): Promise<void> {
    if (!this.#closing.ended) {
      this.#closing.end();
      this.#failUnsent(new ClosedError());
      this.#failUnanswered();
    }
    this.#wake.set();
    const stream = this.#stream;
    const timer = after(stream?.open === true ? closeMilliseconds : 0, () => {
      stream?.connection.close();
    });
    await this.#running;
    clearTimeout(timer);
  }

  /** Refuses a call of a closed client. */
  #requireOpen(): void {
    if (this.#closing.ended) {
      throw new ClosedError();
    }
  }

  /** Queues m, which has got its place. */
  #admit(m: Pending): void {
    m.admitted = true;
    this.#queue.add(m);
    this.#running ??= this.#run();
    this.#wake.set();
  }

  #succeed(m: Pending, receipt: Receipt): void {
    if (!m.answered) {
      m.resolve(receipt);
      this.#answered(m);
    }
  }

  #fail(m: Pending, reason: unknown): void {
    if (!m.answered) {
      m.reject(reason);
      this.#answered(m);
    }
  }

  /** Notes that the caller of m knows the outcome. */
  #answered(m: Pending): void {
    m.answered = true;
    this.#watches.delete(m);
    this.#flushes.leave(m.group);
    if (m.off && m.admitted) {
      this.#room.leave(m);
    }
  }

  /** Notes that nothing will come of m from any stream any more. */
  #off(m: Pending): void {
    m.off = true;
    if (m.answered && m.admitted) {
      this.#room.leave(m);
    }
  }

  /**
   * Answers m, whose caller has ended the call. If it was never put on the wire it is withdrawn; otherwise its place
   * stays taken until the server answers or the stream ends.
   */
  #abandon(m: Pending): void {
    const reason: unknown = m.signal?.reason;
    if (m.onWire) {
      this.#fail(m, unknownOutcome("the call was aborted before the server answered", reason));
    } else {
      this.#drop(m, reason);
    }
  }

  /** Answers m, which is not on the wire, with an error. */
  #drop(m: Pending, reason: unknown): void {
    m.off = true;
    if (m.admitted) {
      this.#queue.delete(m);
    } else {
      this.#room.withdraw(m);
    }
    this.#fail(m, reason);
  }

  /** Answers everything that was never put on the wire with an error. */
  #failUnsent(reason: unknown): void {
    const waiting = this.#room.withdrawAll(); // lest they get the places of the others
    for (const m of [...this.#queue, ...waiting]) {
      this.#drop(m, reason);
    }
  }

  /** Answers what is on the wire; it stays there until the stream ends. */
  #failUnanswered(): void {
    const reason = unknownOutcome("the client was closed before the server answered", new ClosedError());
    for (const m of this.#stream?.unanswered.values() ?? []) {
      this.#fail(m, reason);
    }
  }

  /**
   * Has a stream open from when there is something to send until it is lost, and again, until the producer is closed.
   */
  async #run(): Promise<void> {
    const closing = () => this.#closing.ended;
    for (;;) {
      while (this.#queue.size === 0 && !closing()) {
        await this.#wake.wait();
      }
      if (closing()) {
        return;
      }
      const reason = await this.#runStream();
      if (closing()) {
        return;
      }
      this.#config.logger.warn("can't produce; connecting again", { error: reason });
      await sleep(this.#retry.next(), this.#closing);
    }
  }

  /** Opens a stream and serves it until it ends. Returns why. */
  async #runStream(): Promise<MessageProxyError> {
    const stream: ProduceStream = {
      connection: this.#connect(),
      sequence: 0,
      unanswered: new Map(),
      open: false,
      ended: false,
      progressed: false,
    };
    this.#stream = stream;
    const reason = await this.#receive(stream);
    stream.ended = true;
    this.#wake.set(); // ends the writer
    stream.connection.close();
    this.#detach(stream, reason);
    return reason;
  }

  /** Takes results until the stream ends, and returns why it did. */
  async #receive(stream: ProduceStream): Promise<MessageProxyError> {
    let terminal: MessageProxyError | undefined;
    try {
      for await (const response of await stream.connection.produce(this.#frames(stream))) {
        const { results, terminalError } = produceAnswer(response);
        this.#takeResults(stream, results);
        terminal = terminalError ?? terminal;
      }
      return terminal ?? streamEnded();
    } catch (error) {
      return terminal ?? streamError(error);
    }
  }

  /**
   * Is what goes to the server. A frame is asked for when the one before it is written, as far as the flow control of
   * the stream lets it; what gathers meanwhile makes up the next one.
   */
  async *#frames(stream: ProduceStream): AsyncGenerator<Raw, void, undefined> {
    stream.open = true;
    while (!stream.ended && !this.#closing.ended) {
      const frame = this.#fillFrame(stream);
      if (frame === undefined) {
        await this.#wake.wait();
      } else {
        yield frame;
      }
    }
  }

  /** Takes from the queue what has gathered, up to a frame's size, and puts it on the wire. */
  #fillFrame(stream: ProduceStream): Raw | undefined {
    if (this.#queue.size === 0) {
      return undefined;
    }
    const firstSequence = stream.sequence + 1;
    const frame: Pending[] = [];
    let bytes = 0;
    for (const m of this.#queue) {
      this.#queue.delete(m);
      m.onWire = true;
      stream.sequence++;
      stream.unanswered.set(stream.sequence, m);
      frame.push(m);
      bytes += m.body.length;
      if (bytes >= maxFrameBytes) {
        break;
      }
    }
    return produceRequest(frame, firstSequence);
  }

  #takeResults(stream: ProduceStream, results: readonly Result[]): void {
    for (const { sequence, outcome } of results) {
      const m = stream.unanswered.get(sequence);
      if (m === undefined) {
        continue;
      }
      stream.unanswered.delete(sequence);
      stream.progressed = true;
      this.#off(m);
      if (outcome === undefined) {
        this.#fail(m, unknownOutcome("the server's answer is of a kind that this version doesn't know"));
      } else if (outcome instanceof MessageProxyError) {
        this.#fail(m, outcome);
      } else {
        this.#succeed(m, outcome);
      }
    }
  }

  /**
   * Decides what becomes of the messages that a stream leaves unanswered. After SHUTTING_DOWN they were certainly not
   * stored, and go out again, in order and before all others; otherwise nobody knows. If the stream has ended for good,
   * what was never sent fails too, at the same moment: what a caller who hears of it produces then is tried again.
   */
  #detach(stream: ProduceStream, reason: MessageProxyError): void {
    this.#stream = undefined;
    if (stream.progressed) {
      this.#retry.reset();
    }
    if (endsForGood(reason) && !this.#closing.ended) {
      this.#failUnsent(reason);
    }
    const notStored = reason.code === Code.ShuttingDown && !this.#closing.ended;
    const again: Pending[] = [];
    for (const m of stream.unanswered.values()) {
      if (notStored && !m.answered) {
        m.onWire = false;
        again.push(m);
      } else {
        this.#off(m);
        this.#fail(m, unknownOutcome("the stream was lost before the server answered", reason));
      }
    }
    if (again.length > 0) {
      this.#queue = new Set([...again, ...this.#queue]);
    }
  }
}
