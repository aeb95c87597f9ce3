import { textOf } from "./errors.js";
import type { ConsumeEvent } from "./events.js";
import type { Message } from "./message.js";
import { check, requireBackoff, requireInteger, requireOptions, signalOf } from "./options.js";

/** What a handler is given beside the message. */
export interface HandlerContext {
  /**
   * Tells the handler to end: the connection is lost, the partition went to another server, or the drain timeout is
   * over. The message will be delivered again; an ACK would count for nothing.
   */
  readonly signal: AbortSignal;
}

/**
 * Handles a message. If it returns, or its promise resolves, the message is ACKed; if it throws, or its promise
 * rejects, it is called again (see {@link ConsumeOptions.attempts}).
 */
export type Handler = (message: Message, context: HandlerContext) => unknown;

/**
 * Decides what becomes of a message with which the handler failed for good; `error` is what its last attempt failed
 * with. If it returns, or its promise resolves, the message is ACKed and the partition goes on; what it throws stops
 * `consume`, which ends with that, or with a `HandlerError` if that is `undefined` or `null`.
 */
export type FailureHandler = (message: Message, error: unknown, context: HandlerContext) => unknown;

/** Is an `onFailure` that ACKs the message, as if it had been handled. The error is logged, nothing else remains. */
export const skipFailed: FailureHandler = () => undefined;

/** Options of both forms of consume. What is left out has its default, which is right for most. */
export interface MessagesOptions {
  /** Stops consuming, in good order and without an error. Default: none. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Lowers the server's limit of messages that this client holds without having ACKed them, for handlers that are slow
   * or messages that are large. From 0 to 2^31 - 1. Default, and 0: the server's limit, 1,000 unless configured
   * otherwise.
   */
  readonly maxUnacked?: number | undefined;
  /**
   * Asks the server for another time, in milliseconds, that this client may take over its oldest message before it is
   * thrown out; handlers that need longer ask for more. The server has a maximum. Default, and 0: the server's, 60 s
   * unless configured otherwise.
   */
  readonly ackTimeout?: number | undefined;
  /**
   * Where the subscription begins in partitions in which it has no position yet: at the oldest message, or with what
   * comes after the subscription was first used. All clients of a subscription give the same. Default: `"earliest"`.
   */
  readonly start?: "earliest" | "latest" | undefined;
  /**
   * How long stopping waits for running handlers, in milliseconds. Then they are told to end and have a second more; if
   * some still run, consume ends with a `HandlersRunningError`, and they are left behind. Default: 20,000.
   */
  readonly drainTimeout?: number | undefined;
  /**
   * Is called with what happens to the subscription, one event after another. Nobody waits for a promise that it
   * returns; what it throws, or that rejects with, is logged. Default: none.
   */
  readonly observer?: ((event: ConsumeEvent) => unknown) | undefined;
}

/** Options of {@link Subscription.consume}. What is left out has its default, which is right for most. */
export interface ConsumeOptions extends MessagesOptions {
  /**
   * Bounds how many handlers run at once. Each partition has at most one at a time, so that its order is kept. Default,
   * and 0: one for each partition that has messages, however many these are.
   */
  readonly maxHandlers?: number | undefined;
  /**
   * Has so many workers handle messages by key instead of by partition: messages of a partition with equal keys are
   * handled one after another, in order; others at the same time; those without a key in no order. Default, and 0: by
   * partition.
   *
   * Messages may then be handled while earlier ones of their partition are not. A broker that keeps one position for
   * each partition (Kafka) forgets such ACKs when the partition goes to another server, or when the last client leaves:
   * those messages come again, also after a stop in good order.
   */
  readonly keyWorkers?: number | undefined;
  /**
   * How often a handler is called with a message before it has failed for good, and how long it waits between the
   * calls, in milliseconds: a random time up to a limit that doubles from `minBackoff` to `maxBackoff`. All attempts
   * begin within the ACK timeout; when the next one couldn't, the handler has failed for good earlier. Messages that
   * must stay in order wait meanwhile. Default: 5, 100 and 10,000.
   */
  readonly attempts?:
    | {
        readonly count?: number | undefined;
        readonly minBackoff?: number | undefined;
        readonly maxBackoff?: number | undefined;
      }
    | undefined;
  /**
   * Decides what becomes of a message with which the handler failed for good: puts it aside somewhere, for example.
   * Default: consume stops and ends with a `HandlerError`; the message is not ACKed, so it is delivered again, to this
   * client or another.
   */
  readonly onFailure?: FailureHandler | undefined;
}

/** The options of a consume call, all of them, in range. */
export interface ConsumeConfig {
  readonly signal: AbortSignal | undefined;
  readonly maxHandlers: number; // 0: as many as partitions
  readonly keyWorkers: number; // 0: by partition
  readonly attempts: { readonly count: number; readonly minBackoff: number; readonly maxBackoff: number };
  readonly onFailure: FailureHandler | undefined;
  readonly maxUnacked: number; // 0: the server's limit
  readonly ackTimeout: number; // 0: the server's
  readonly start: "earliest" | "latest";
  readonly drainTimeout: number;
  readonly observer: (event: ConsumeEvent) => unknown;
}

/** Adds the defaults to options, and refuses what is out of range. */
export function consumeConfig(given: ConsumeOptions | undefined): ConsumeConfig {
  const options: ConsumeOptions = requireOptions("options", given) ?? {};
  requireOptions("attempts", options.attempts);
  const config: ConsumeConfig = {
    signal: signalOf(options),
    maxHandlers: options.maxHandlers ?? 0,
    keyWorkers: options.keyWorkers ?? 0,
    attempts: {
      count: options.attempts?.count ?? 5,
      minBackoff: options.attempts?.minBackoff ?? 100,
      maxBackoff: options.attempts?.maxBackoff ?? 10_000,
    },
    onFailure: options.onFailure ?? undefined,
    maxUnacked: options.maxUnacked ?? 0,
    ackTimeout: options.ackTimeout ?? 0,
    start: options.start ?? "earliest",
    drainTimeout: options.drainTimeout ?? 20_000,
    observer: options.observer ?? (() => undefined),
  };
  requireInteger("maxHandlers", config.maxHandlers, 0, Number.MAX_SAFE_INTEGER);
  requireInteger("keyWorkers", config.keyWorkers, 0, Number.MAX_SAFE_INTEGER);
  requireInteger("attempts.count", config.attempts.count, 1, Number.MAX_SAFE_INTEGER);
  requireBackoff("attempts", { min: config.attempts.minBackoff, max: config.attempts.maxBackoff });
  requireInteger("maxUnacked", config.maxUnacked, 0, 2 ** 31 - 1);
  requireTime("ackTimeout", config.ackTimeout);
  requireTime("drainTimeout", config.drainTimeout);
  const { start, onFailure, observer } = config;
  check(["earliest", "latest"].includes(start), "start", `${textOf(start)} is neither "earliest" nor "latest"`);
  check(onFailure === undefined || typeof onFailure === "function", "onFailure", "is no function");
  check(typeof observer === "function", "observer", "is no function");
  return config;
}

function requireTime(option: string, ms: number): void {
  check(Number.isFinite(ms) && ms >= 0, option, `${textOf(ms)} ms: a time must not be below 0`);
}
