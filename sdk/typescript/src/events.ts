import type { MessageProxyError } from "./errors.js";
import type { TopicPartition } from "./message.js";

/** The subscription is joined; these are the limits in force. */
export interface ConnectedEvent {
  readonly kind: "connected";
  /** How many messages this client may hold without having ACKed them. */
  readonly maxUnacked: number;
  /** How long this client may take over its oldest message, in milliseconds. */
  readonly ackTimeout: number;
}

/** These are all the partitions that this client has from now on. */
export interface AssignedEvent {
  readonly kind: "assigned";
  readonly partitions: readonly TopicPartition[];
}

/**
 * Another server takes these partitions over. Handlers of their messages that haven't begun won't; those that run have
 * the time left, in milliseconds.
 */
export interface WithdrawnEvent {
  readonly kind: "withdrawn";
  readonly partitions: readonly TopicPartition[];
  readonly timeLeft: number;
}

/**
 * - `trouble`: the server can't receive messages, or not make ACKs durable, and is retrying. It comes again while the
 *   trouble lasts.
 * - `recovered`: the trouble with the error's code is over.
 * - `notice`: something to know that needs no action.
 * - `disconnected`: the stream has ended. `consume` connects again, unless it ends with the error.
 */
export interface ErrorEvent {
  readonly kind: "trouble" | "recovered" | "notice" | "disconnected";
  readonly error: MessageProxyError;
}

/** Something that happened to a subscription. New kinds may come: ignore those that you don't know. */
export type ConsumeEvent = ConnectedEvent | AssignedEvent | WithdrawnEvent | ErrorEvent;
