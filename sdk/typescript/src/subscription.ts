import {
  type ConsumeConfig,
  consumeConfig,
  type ConsumeOptions,
  type Handler,
  type MessagesOptions,
} from "./consume-options.js";
import { Consumer, type ConsumerClient } from "./consumer.js";
import { ClosedError, invalidArgument, textOf } from "./errors.js";
import { notHandled } from "./handling.js";
import type { Message } from "./message.js";
import { requireOptions } from "./options.js";
import { onAbort } from "./sync.js";

/**
 * A named, durable reading position over some topics, shared by all clients that give the same name. Made by
 * {@link Client.subscription}.
 */
export class Subscription {
  readonly #client: ConsumerClient;
  /** The subscription's name. */
  readonly name: string;
  /** What it reads. */
  readonly topics: readonly string[];

  /** @internal */
  constructor(client: ConsumerClient, name: string, topics: readonly string[]) {
    if (!Array.isArray(topics)) {
      throw invalidArgument("the topics of a subscription are no array");
    }
    for (const text of [name, ...(topics as readonly string[])]) {
      if (typeof text !== "string") {
        throw invalidArgument(`${textOf(text)} is no string, which subscriptions and topics must be`);
      }
      if (!text.isWellFormed()) {
        throw invalidArgument(`${JSON.stringify(text)} is not valid Unicode, which subscriptions and topics must be`);
      }
    }
    this.#client = client;
    this.name = name;
    this.topics = [...(topics as readonly string[])];
  }

  /**
   * Joins the subscription, on a connection of its own, and calls `handler` with its messages until `options.signal` is
   * aborted, a handler fails for good, or the server ends the stream with an error that trying again won't help. After
   * anything else it connects again, with back-off. It may be called several times at once; each call is a member of
   * the subscription.
   *
   * A handler that returns, or whose promise resolves, ACKs its message. One that throws, or whose promise rejects, is
   * called again, see {@link ConsumeOptions.attempts}. Messages of a partition are handled one after another, in order;
   * several partitions at the same time. See {@link ConsumeOptions.maxHandlers} and {@link ConsumeOptions.keyWorkers}
   * for other ways.
   *
   * Delivery is at least once: a message may come again after a lost connection, here or at another client. When the
   * connection is lost or a partition moves to another server, messages that haven't begun are dropped, the signals of
   * running handlers are aborted, and the partition's next handler starts only when its predecessor has ended; so a
   * handler that ignores its signal holds its partition up, until the server's ACK timeout at the latest gives it to
   * someone else.
   *
   * When `options.signal` is aborted, it stops in good order: it asks for no more messages, waits for running handlers
   * ({@link ConsumeOptions.drainTimeout}), has their ACKs sent, leaves, and resolves, since it did what was asked. It
   * does the same, and rejects, when a handler fails for good ({@link HandlerError}, or what `onFailure` threw) and
   * when the client is closed ({@link ClosedError}). {@link HandlersRunningError} says that handlers were left behind.
   *
   * It rejects with the server's {@link MessageProxyError} for the codes `InvalidArgument`, `TopicNotFound`,
   * `PartitionNotFound`, `SubscriptionConflict`, `Unauthenticated`, `PermissionDenied` and `Unsupported`; it connects
   * again after `ShuttingDown`, `BrokerUnavailable`, `ConsumeFailed`, `AckFailed`, `AckTimeout`, `ResourceExhausted`
   * and
   * `Internal`; any other code counts by its `retryable`.
   */
  async consume(handler: Handler, options?: ConsumeOptions): Promise<void> {
    if (this.#client.closed.ended) {
      throw new ClosedError();
    }
    const config = consumeConfig(options);
    if (typeof handler !== "function") {
      throw invalidArgument("the handler is no function");
    }
    await this.#consume(config, handler);
  }

  /**
   * Consumes with a loop, whose body is the handler:
   *
   * ```ts
   * for await (const message of subscription.messages({ signal })) {
   *   await handle(message);
   * }
   * ```
   *
   * One message at a time is handled, and ACKed when the loop asks for the next one. Leaving the loop stops in good
   * order and doesn't ACK the message at hand, which comes again: the language doesn't tell an iterator whether its
   * loop was left by `break`, by `return` or by an error. Abort the signal to stop with everything ACKed: then the loop
   * ends after its body. It ends with the errors of {@link Subscription.consume}, but for `HandlerError`. There are no
   * further attempts, and nothing tells the body that its message went to someone else.
   */
  messages(options?: MessagesOptions): AsyncGenerator<Message, void, undefined> {
    const given: MessagesOptions = requireOptions("options", options) ?? {};
    const { signal, maxUnacked, ackTimeout, start, drainTimeout, observer } = given;
    const config = consumeConfig({ signal, maxUnacked, ackTimeout, start, drainTimeout, observer, maxHandlers: 1 });
    return this.#messages(config);
  }

  async *#messages(config: ConsumeConfig): AsyncGenerator<Message, void, undefined> {
    const handoff = new Handoff();
    const stop = new AbortController();
    const forget = onAbort(config.signal, () => {
      stop.abort();
    });
    const stoppable = { ...config, signal: stop.signal };
    const consuming = this.#consume(stoppable, (message) => handoff.offer(message)).finally(() => {
      handoff.close();
    });
    consuming.catch(() => undefined); // it is looked at when the loop is through, or not at all if that was left
    try {
      for (let message = await handoff.take(); message !== undefined; message = await handoff.take()) {
        yield message;
        handoff.done(undefined);
      }
      await consuming;
    } finally {
      forget();
      stop.abort();
      handoff.done(notHandled);
      await consuming.catch(() => undefined);
    }
  }

  async #consume(config: ConsumeConfig, handler: Handler): Promise<void> {
    if (this.#client.closed.ended) {
      throw new ClosedError();
    }
    await new Consumer(this.#client, this, config, handler).run();
  }
}

/** Hands messages from a handler, one at a time, to a loop. */
class Handoff {
  #offered: Message | undefined;
  #closed = false;
  /** Ends the handler of the message at hand. */
  #done: ((result: unknown) => void) | undefined;
  /** Tells the loop that there is something to see. */
  #wake: (() => void) | undefined;

  /** Is the handler: it ends when the loop is done with the message. */
  offer(message: Message): Promise<unknown> {
    return new Promise((resolve) => {
      this.#offered = message;
      this.#done = resolve;
      this.#wake?.();
    });
  }

  /** Returns the next message; undefined when there is none any more. */
  async take(): Promise<Message | undefined> {
    while (this.#offered === undefined && !this.#closed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const message = this.#offered;
    this.#offered = undefined;
    return message;
  }

  /** Ends the handler of the message at hand, with a result. */
  done(result: unknown): void {
    this.#done?.(result);
    this.#done = undefined;
  }

  close(): void {
    this.#closed = true;
    this.#wake?.();
  }
}
