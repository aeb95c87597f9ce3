import { type Connection, prepareConnection } from "./connection.js";
import type { ConsumerClient } from "./consumer.js";
import type { OutgoingMessage, Receipt } from "./message.js";
import { type CallOptions, type ClientConfig, clientConfig, type ClientOptions } from "./options.js";
import { Producer } from "./producer.js";
import { Subscription } from "./subscription.js";
import { Ending } from "./sync.js";
import { parseTarget } from "./target.js";

/** Produces and consumes messages. Make one for the whole application and share it. */
export class Client implements AsyncDisposable {
  readonly #producer: Producer;
  readonly #consumerClient: ConsumerClient;
  readonly #closed = new Ending();

  /**
   * Makes a client of the message proxy at `target`: "host:port", or "dns://name-server/host:port" to ask another name
   * server than the system's. Where the name has several addresses, clients spread over them and move on when one
   * fails. It does not connect; the first produce or consume does.
   *
   * @throws {@link MessageProxyError} with `Code.InvalidArgument` for a target that can never work, and for an option
   * that is out of range.
   */
  constructor(target: string, options?: ClientOptions) {
    const address = parseTarget(target);
    const config: ClientConfig = clientConfig(options);
    const connect = (): Connection => prepareConnection(address, config);
    this.#producer = new Producer(config, connect);
    this.#consumerClient = { config, connect, closed: this.#closed };
  }

  /**
   * Sends a message and resolves when the broker has stored it. All calls share one stream and are batched: whatever
   * gathers while a send is under way goes out together, and a message alone goes out at once.
   *
   * Messages are stored in the order of their calls in each partition. The message is copied: the caller may change it
   * afterwards. A call that isn't awaited before the next one is made waits, with its copy, for room among the
   * {@link ClientOptions.maxOutstanding}: bound how many you have at once.
   *
   * It rejects with a {@link MessageProxyError}. `Code.UnknownOutcome` leaves open whether the message is stored; every
   * other code says that it certainly is not. While the proxy can't be reached it waits, so give it a signal that ends.
   * If `options.signal` is aborted before the message was put on the wire, it is withdrawn, and the call rejects with
   * the signal's reason; after that, with `Code.UnknownOutcome` and the reason as the cause. A message is never sent
   * twice, except after the server has said that it was not stored. On a closed client it rejects with {@link
   * ClosedError}.
   */
  produce(message: OutgoingMessage, options?: CallOptions): Promise<Receipt> {
    return this.#producer.produce(message, options);
  }

  /**
   * Waits until every message that was given to produce before is answered. It rejects with the signal's reason if that
   * is aborted first, and with {@link ClosedError} on a closed client.
   */
  async flush(options?: CallOptions): Promise<void> {
    await this.#producer.flush(options);
  }

  /**
   * Names a subscription over topics. Nothing happens until it is consumed. All clients of one subscription give the
   * same topics.
   *
   * @throws {@link MessageProxyError} with `Code.InvalidArgument` for names that aren't valid Unicode.
   */
  subscription(name: string, topics: readonly string[]): Subscription {
    return new Subscription(this.#consumerClient, name, topics);
  }

  /**
   * Ends the client. Unanswered messages fail: with {@link ClosedError} if they were never put on the wire, else with
   * `Code.UnknownOutcome`; call {@link Client.flush} before to have them answered. Running consume calls stop as if
   * they were aborted and reject with {@link ClosedError}, each when its handlers have ended; close doesn't wait for
   * them. It resolves when the produce stream has ended, within about a second, and may be called twice.
   */
  async close(): Promise<void> {
    this.#closed.end();
    await this.#producer.close();
  }

  /** Is {@link Client.close}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
