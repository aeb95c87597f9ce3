import { setMaxListeners } from "node:events";

import { Backoff } from "./backoff.js";
import type { ConsumeConfig, Handler, HandlerContext } from "./consume-options.js";
import { HandlerError } from "./errors.js";
import type { Task } from "./lanes.js";
import type { Logger } from "./log.js";
import { Ending, sleep } from "./sync.js";

/** What became of a message. */
export type Verdict =
  /** ACK it. */
  | { readonly kind: "handled" }
  /** It isn't this client's any more, or consume is stopping. */
  | { readonly kind: "dropped" }
  /** Stop consume, with this. */
  | { readonly kind: "failed"; readonly error: unknown };

const handled: Verdict = { kind: "handled" };
const dropped: Verdict = { kind: "dropped" };

/** Is what a handler of the client's own returns for a message that is not to be ACKed. */
export const notHandled: unique symbol = Symbol("not handled");

/** All that handling a message needs. */
export interface HandlerSetting {
  readonly handler: Handler;
  readonly config: ConsumeConfig;
  readonly logger: Logger;
  readonly subscription: string;
  /** Ends when no more handlers may begin. */
  readonly stopping: Ending;
  /** Ends when all handlers are to end. */
  readonly cancelled: Ending;
}

/** A message that is being handled. */
export class Handling {
  readonly #setting: HandlerSetting;
  readonly #task: Task;
  readonly #context: Context;
  /** When the first attempt began, by performance.now(). */
  #began = 0;

  constructor(setting: HandlerSetting, task: Task) {
    this.#setting = setting;
    this.#task = task;
    this.#context = new Context(task.partition.gone, setting.cancelled);
  }

  /** Calls the handler for the first time. What comes of that belongs to one of the two methods below. */
  begin(): unknown {
    this.#began = performance.now();
    return this.#call();
  }

  /** Says what becomes of the message when the handler has returned, with a result. */
  returned(result: unknown): Verdict {
    return this.#finish(verdictOn(result));
  }

  /** Says what becomes of the message when the handler has failed. Never rejects, whatever others' code throws. */
  async failed(error: unknown): Promise<Verdict> {
    try {
      return this.#finish(await this.#retry(error));
    } catch (unexpected) {
      return this.#finish({ kind: "failed", error: unexpected });
    }
  }

  /** Calls the handler again, which has failed, until it succeeds or the attempts run out. */
  async #retry(error: unknown): Promise<Verdict> {
    const { count, minBackoff, maxBackoff } = this.#setting.config.attempts;
    const retry = new Backoff(minBackoff, maxBackoff);
    let lastError = error;
    for (let attempt = 1; !this.#context.ended; attempt++) {
      this.#logFailure("a handler failed", lastError, { attempt });
      const wait = retry.next();
      if (attempt === count || !this.#mayRetry(performance.now() - this.#began + wait)) {
        return await this.#failedForGood(attempt, lastError);
      }
      if (!(await this.#sleep(wait))) {
        break;
      }
      try {
        return verdictOn(await this.#call());
      } catch (nextError) {
        lastError = nextError;
      }
    }
    return dropped;
  }

  #call(): unknown {
    return this.#setting.handler(this.#task.message, this.#context);
  }

  #finish(verdict: Verdict): Verdict {
    this.#context.close();
    return verdict;
  }

  /** Waits for the next attempt. Says whether there may be one. */
  #sleep(wait: number): Promise<boolean> {
    const { stopping, cancelled } = this.#setting;
    return sleep(wait, this.#task.partition.gone, stopping, cancelled);
  }

  /** Whether another attempt may begin so long after the first: within the ACK timeout, less a tenth for the ACK. */
  #mayRetry(after: number): boolean {
    const { ackTimeout } = this.#task.partition.session;
    return ackTimeout <= 0 || after < ackTimeout * 0.9;
  }

  async #failedForGood(attempts: number, cause: unknown): Promise<Verdict> {
    const { onFailure } = this.#setting.config;
    const failed = (error?: unknown): Verdict => ({
      kind: "failed",
      // Who gets nothing as the error would take consume for having stopped as it was asked to.
      error: error ?? new HandlerError(this.#task.message, attempts, cause),
    });
    if (onFailure === undefined) {
      return failed();
    }
    try {
      await onFailure(this.#task.message, cause, this.#context);
      return handled;
    } catch (error) {
      this.#logFailure("onFailure failed", error, {});
      return this.#context.ended ? dropped : failed(error);
    }
  }

  #logFailure(what: string, error: unknown, fields: Record<string, unknown>): void {
    const { logger, subscription } = this.#setting;
    const { topic, partition } = this.#task.partition;
    logger.warn(what, { subscription, topic, partition, messageId: this.#task.id, ...fields, error });
  }
}

function verdictOn(result: unknown): Verdict {
  return result === notHandled ? dropped : handled;
}

/** Makes its signal when that is asked for, as most handlers are short and don't. */
class Context implements HandlerContext {
  readonly #gone: Ending;
  readonly #cancelled: Ending;
  #controller: AbortController | undefined;
  #cleanups: (() => void)[] | undefined;

  constructor(gone: Ending, cancelled: Ending) {
    this.#gone = gone;
    this.#cancelled = cancelled;
  }

  /** The handler is to end. */
  get ended(): boolean {
    return this.#gone.ended || this.#cancelled.ended;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      setMaxListeners(0, controller.signal);
      this.#controller = controller;
      this.#cleanups = [this.#gone, this.#cancelled].map((ending) =>
        ending.onEnd(() => {
          controller.abort(ending.reason);
        }),
      );
    }
    return this.#controller.signal;
  }

  /** Lets go of what could end the handler, which has ended. */
  close(): void {
    for (const cleanup of this.#cleanups ?? []) {
      cleanup();
    }
  }
}
