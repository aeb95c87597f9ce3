import { Backoff } from "./backoff.js";
import type { Connection } from "./connection.js";
import type { ConsumeConfig, Handler } from "./consume-options.js";
import { abortReason, ClosedError, endsForGood, HandlersRunningError, textOf } from "./errors.js";
import type { ConsumeEvent } from "./events.js";
import { Handling, type HandlerSetting, type Verdict } from "./handling.js";
import { Lanes, type Task } from "./lanes.js";
import type { ClientConfig } from "./options.js";
import { Session, type SessionOwner, type Subscribing } from "./session.js";
import { after, callSafely, Ending, onAbort, sleep, takeTurns } from "./sync.js";

/** How long handlers have to return once they were told to end and consume has nothing else to do, in milliseconds. */
const cancelMilliseconds = 1000;
/** How long the last ACKs and the end of the stream may take, in milliseconds. */
const leaveMilliseconds = 5000;

/** What a consumer needs of its client. */
export interface ConsumerClient {
  readonly config: ClientConfig;
  /** Ends when the client is closed. */
  readonly closed: Ending;
  connect(): Connection;
}

/**
 * One call of consume. It opens one session after another; runners call handlers, as many as lanes have messages.
 */
export class Consumer implements SessionOwner {
  readonly #client: ConsumerClient;
  readonly #subscribing: Subscribing;
  readonly #config: ConsumeConfig;
  readonly #setting: HandlerSetting;
  readonly #lanes: Lanes;
  /** Ends when no more handlers may begin; the reason is what consume ends with, or undefined. */
  readonly #stopping = new Ending();
  /** Ends when all handlers are to end. */
  readonly #cancelled = new Ending();
  /** Waits for no handler to be running. */
  #whenIdle: (() => void) | undefined;
  /** When to stop waiting for handlers, by performance.now(); undefined until that begins. */
  #drainBy: number | undefined;

  constructor(
    client: ConsumerClient,
    subscription: { readonly name: string; readonly topics: readonly string[] },
    config: ConsumeConfig,
    handler: Handler,
  ) {
    this.#client = client;
    this.#config = config;
    const { clientName } = client.config;
    this.#subscribing = { subscription: subscription.name, topics: subscription.topics, clientName, config };
    this.#setting = {
      handler,
      config,
      logger: client.config.logger,
      subscription: subscription.name,
      stopping: this.#stopping,
      cancelled: this.#cancelled,
    };
    this.#lanes = new Lanes(config.keyWorkers, config.maxHandlers);
  }

  /** Opens sessions until one is the last. */
  async run(): Promise<void> {
    const cleanups = [
      onAbort(this.#config.signal, () => {
        this.stop();
      }),
      this.#client.closed.onEnd(() => {
        this.stop(new ClosedError());
      }),
    ];
    try {
      await this.#runSessions();
      await this.#end();
    } finally {
      for (const cleanup of cleanups) {
        cleanup();
      }
    }
  }

  /** Lets no more handlers begin. `error`, if any, is what consume ends with, unless it was stopped before. */
  stop(error?: unknown): void {
    if (!this.#stopping.ended) {
      this.#lanes.purge(() => true);
      this.#stopping.end(error);
    }
  }

  push(tasks: Task[]): void {
    if (this.#stopping.ended) {
      return; // they go to others when the stream ends
    }
    for (const task of tasks) {
      if (this.#lanes.push(task)) {
        queueMicrotask(() => void this.#runHandlers());
      }
    }
  }

  purge(drop: (task: Task) => boolean): void {
    this.#lanes.purge(drop);
  }

  /** Logs what happened and passes it on. */
  event(event: ConsumeEvent): void {
    this.#log(event);
    void callSafely(
      () => this.#config.observer(event),
      (error) => {
        this.#warn("the observer failed", { event: event.kind, error });
      },
    );
  }

  async #runSessions(): Promise<void> {
    const { min, max } = this.#client.config.reconnectBackoff;
    const retry = new Backoff(min, max);
    const stopped = () => this.#stopping.ended;
    while (!stopped()) {
      const session = new Session(this.#client.connect(), this.#subscribing, this);
      const reason = await this.#serve(session);
      if (stopped()) {
        return;
      }
      this.event({ kind: "disconnected", error: reason });
      if (endsForGood(reason)) {
        this.stop(reason);
        return;
      }
      if (session.madeProgress(max)) {
        retry.reset();
      }
      await sleep(retry.next(), this.#stopping);
    }
  }

  /** Serves a session until it ends, or the consumer stops and leaves in good order. Returns why it ended. */
  async #serve(session: Session) {
    const ended = session.run();
    await either(session.ended, this.#stopping);
    if (session.ended.ended) {
      return await ended;
    }
    if (!session.open) {
      session.abort(); // there is nothing to leave
      return await ended;
    }
    session.leave();
    await this.#waitForHandlers(session.ended);
    session.finish();
    const timer = after(leaveMilliseconds, () => {
      session.abort();
    });
    const reason = await ended;
    clearTimeout(timer);
    return reason;
  }

  /** Ends consume, when its handlers have. */
  async #end(): Promise<void> {
    const idle = await this.#waitForHandlers();
    const error = this.#stopping.reason;
    if (!idle) {
      throw new HandlersRunningError(this.#lanes.running, this.#config.drainTimeout, error);
    }
    if (error !== undefined) {
      // eslint-disable-next-line @typescript-eslint/only-throw-error -- onFailure may have thrown anything
      throw error;
    }
  }

  /**
   * Waits until no handler runs, at most for what is left of the drain timeout; then it tells the handlers to end and
   * waits a little more. When `end` comes it stops waiting. Says whether no handler runs.
   */
  async #waitForHandlers(end = new Ending()): Promise<boolean> {
    this.#drainBy ??= performance.now() + this.#config.drainTimeout; // the same for each call
    if (await this.#waitIdle(this.#drainBy, end)) {
      return true;
    }
    if (!end.ended) {
      this.#cancelled.end(abortReason("the drain timeout is over"));
    }
    return await this.#waitIdle(this.#drainBy + cancelMilliseconds, end);
  }

  async #waitIdle(until: number, end: Ending): Promise<boolean> {
    if (this.#lanes.running > 0 && !end.ended) {
      const idle = new Ending();
      this.#whenIdle = () => {
        idle.end();
      };
      await sleep(Math.max(0, until - performance.now()), idle, end);
      this.#whenIdle = undefined;
    }
    return this.#lanes.running === 0;
  }

  /** Is a runner: it handles messages until no lane has any. */
  async #runHandlers(): Promise<void> {
    for (let next = this.#lanes.pop(); next !== undefined; next = this.#lanes.pop()) {
      const { lane, task } = next;
      const handling = new Handling(this.#setting, task);
      let verdict: Verdict;
      try {
        verdict = handling.returned(await handling.begin());
      } catch (error) {
        verdict = await handling.failed(error);
      }
      if (verdict.kind === "handled") {
        task.partition.session.ack(task);
      } else if (verdict.kind === "failed") {
        this.stop(verdict.error);
      }
      this.#lanes.done(lane);
      const turn = takeTurns();
      if (turn !== undefined) {
        await turn;
      }
    }
    if (this.#lanes.running === 0) {
      this.#whenIdle?.();
    }
  }

  #log(event: ConsumeEvent): void {
    switch (event.kind) {
      case "connected":
        this.#info("subscribed", { maxUnacked: event.maxUnacked, ackTimeout: event.ackTimeout });
        break;
      case "assigned":
        this.#info("partitions assigned", { partitions: event.partitions });
        break;
      case "withdrawn":
        this.#info("partitions withdrawn", { partitions: event.partitions, timeLeft: event.timeLeft });
        break;
      case "trouble":
        this.#warn("the server has trouble with the broker", { error: event.error });
        break;
      case "recovered":
        this.#info("the server's trouble with the broker is over", { trouble: textOf(event.error) });
        break;
      case "notice":
        this.#warn("notice from the server", { error: event.error });
        break;
      case "disconnected":
        this.#warn("the stream has ended", { error: event.error });
    }
  }

  #info(text: string, fields: Record<string, unknown>): void {
    this.#client.config.logger.info(text, { subscription: this.#subscribing.subscription, ...fields });
  }

  #warn(text: string, fields: Record<string, unknown>): void {
    this.#client.config.logger.warn(text, { subscription: this.#subscribing.subscription, ...fields });
  }
}

/** Waits until one of two has ended. */
async function either(a: Ending, b: Ending): Promise<void> {
  const cleanups: (() => void)[] = [];
  await new Promise<void>((resolve) => {
    cleanups.push(a.onEnd(resolve), b.onEnd(resolve));
  });
  for (const cleanup of cleanups) {
    cleanup();
  }
}
