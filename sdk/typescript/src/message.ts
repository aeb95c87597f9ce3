/** One entry of a message's headers. */
export interface Header {
  readonly key: string;
  /** `null` is no value, which is another than an empty one. */
  readonly value: Uint8Array | null;
}

/** One entry of the headers of a message to produce. */
export interface OutgoingHeader {
  readonly key: string;
  /** `null` or left out: none, which is another than an empty one. */
  readonly value?: Uint8Array | null | undefined;
}

/**
 * A message to produce. Note, when a consumed message is to be produced again, that its `partition` would be taken for
 * the one to send it to: name the properties that you want.
 */
export interface OutgoingMessage {
  /** Where the message goes. */
  readonly topic: string;
  /**
   * Chooses the partition: messages of a topic with equal keys go to the same partition and so stay in order. `null` or
   * left out: none, any partition. That and an empty key are different, and both are kept.
   */
  readonly key?: Uint8Array | null | undefined;
  /**
   * The payload. `null` or left out: none (a tombstone on a compacted topic). That and an empty value are different,
   * and both are kept.
   */
  readonly value?: Uint8Array | null | undefined;
  /** Ordered; keys may repeat. Default: none. */
  readonly headers?: readonly OutgoingHeader[] | null | undefined;
  /** Sends the message to this partition, whatever its key. Default: the key chooses. */
  readonly partition?: number | null | undefined;
  /** When the event happened, to the millisecond. Default: when the server receives the message. */
  readonly timestamp?: Date | null | undefined;
}

/** A consumed message. */
export interface Message {
  readonly topic: string;
  readonly partition: number;
  /** `null` is no key. */
  readonly key: Uint8Array | null;
  /** The payload. `null` is none. It shares memory with what came along with it: copy what you keep for long. */
  readonly value: Uint8Array | null;
  /** Ordered; keys may repeat. */
  readonly headers: readonly Header[];
  /**
   * When the event happened, to the millisecond. What no `Date` can be, more than about 270,000 years before or after
   * 1970, becomes the first or the last one that there is.
   */
  readonly timestamp: Date;
  /** Identifies the message: the same on every delivery, and never that of another message. */
  readonly id: string;
  /**
   * 1 when the message is delivered for the first time, as far as the server knows, 2 the next time, … A handler that
   * is called again, after it has failed, sees the same number.
   */
  readonly deliveryAttempt: number;
}

/** Says where a produced message is stored. */
export interface Receipt {
  /** The ID that consumers will see. Empty where the broker doesn't tell. */
  readonly messageId: string;
  /** Where the message went. */
  readonly partition: number;
  /** The stored timestamp, to the millisecond, within the range of a `Date` like {@link Message.timestamp}. */
  readonly timestamp: Date;
}

/** A partition of a topic. */
export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}
