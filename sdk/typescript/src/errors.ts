import type { Message } from "./message.js";

/**
 * The kind of a {@link MessageProxyError}. The numbers are those of the wire contract's `ErrorCode`; a code of a newer
 * server, which this version has no name for, keeps its number.
 */
export enum Code {
  /** The server gave no code. */
  Unspecified = 0,
  /** The message or an option isn't valid; the error says which and why. */
  InvalidArgument = 1,
  /** There is no such topic. */
  TopicNotFound = 2,
  /** The topic has no such partition. */
  PartitionNotFound = 3,
  /** The message is above a limit of the client, the server or the broker. */
  MessageTooLarge = 4,
  /** The proxy can't be reached, or not the broker behind it. */
  BrokerUnavailable = 5,
  /** The message may or may not be stored: the answer was lost. */
  UnknownOutcome = 6,
  /** The server can't receive messages from the broker. */
  ConsumeFailed = 7,
  /** The server can't make ACKs durable. */
  AckFailed = 8,
  /** ACKs of messages that this client doesn't hold any more. */
  NotHeld = 9,
  /** This client's oldest message wasn't ACKed in time. */
  AckTimeout = 10,
  /** The subscription is in use with other topics or another start position. */
  SubscriptionConflict = 11,
  /** The credentials are missing or not accepted. */
  Unauthenticated = 12,
  /** The credentials don't allow this. */
  PermissionDenied = 13,
  /** A limit of the server is reached. */
  ResourceExhausted = 14,
  /** The server is shutting down. */
  ShuttingDown = 15,
  /** Something went wrong in the server. */
  Internal = 16,
  /** The broker deleted messages before they were delivered. */
  MessagesExpired = 17,
  /** The server, or the broker behind it, doesn't have the feature. */
  Unsupported = 18,
}

const codeNames = new Map<Code, string>([
  [Code.Unspecified, "error"],
  [Code.InvalidArgument, "invalid argument"],
  [Code.TopicNotFound, "topic not found"],
  [Code.PartitionNotFound, "partition not found"],
  [Code.MessageTooLarge, "message too large"],
  [Code.BrokerUnavailable, "unavailable"],
  [Code.UnknownOutcome, "unknown outcome"],
  [Code.ConsumeFailed, "consume failed"],
  [Code.AckFailed, "ACK failed"],
  [Code.NotHeld, "not held"],
  [Code.AckTimeout, "ACK timeout"],
  [Code.SubscriptionConflict, "subscription conflict"],
  [Code.Unauthenticated, "unauthenticated"],
  [Code.PermissionDenied, "permission denied"],
  [Code.ResourceExhausted, "resource exhausted"],
  [Code.ShuttingDown, "shutting down"],
  [Code.Internal, "internal error"],
  [Code.MessagesExpired, "messages expired"],
  [Code.Unsupported, "unsupported"],
]);

/** Names a code in a person's words. */
export function codeName(code: Code): string {
  return codeNames.get(code) ?? `code ${String(code)}`;
}

/** What a {@link MessageProxyError} has beside its code and message. */
export interface MessageProxyErrorDetails {
  /** See {@link MessageProxyError.retryable}. Default: false. */
  retryable?: boolean;
  /** See {@link MessageProxyError.messageIds}. Default: none. */
  messageIds?: readonly string[];
  /** The cause. Default: none. */
  cause?: unknown;
}

/**
 * An error that the server sent, or that the client found in the server's place. An error of `produce` with
 * {@link Code.UnknownOutcome} leaves open whether the message is stored; every other one says that it certainly is not.
 */
export class MessageProxyError extends Error {
  static {
    this.prototype.name = "MessageProxyError";
  }

  /** What kind of error this is. */
  readonly code: Code;
  /** Whether the same call can succeed later. */
  readonly retryable: boolean;
  /** The messages that the error is about, if it is about some; at most 1,000. */
  readonly messageIds: readonly string[];

  /** `text` says, for a person, what happened and what to do; `message` is that after the code's name. */
  constructor(code: Code, text: string, details: MessageProxyErrorDetails = {}) {
    super(
      text === "" ? codeName(code) : `${codeName(code)}: ${text}`,
      details.cause === undefined ? undefined : { cause: details.cause },
    );
    this.code = code;
    this.retryable = details.retryable ?? false;
    this.messageIds = details.messageIds ?? [];
  }
}

/** The error of calls on a closed client, and of those that `close` ended. */
export class ClosedError extends Error {
  static {
    this.prototype.name = "ClosedError";
  }

  constructor() {
    super("the client is closed");
  }
}

/**
 * A handler has failed with a message for good. `consume` ends with it unless its `onFailure` decides otherwise.
 * `cause` is what the last attempt failed with.
 */
export class HandlerError extends Error {
  static {
    this.prototype.name = "HandlerError";
  }

  /** The message, which is not ACKed. */
  readonly failedMessage: Message;
  /** How many times the handler was called with it. */
  readonly attempts: number;

  constructor(failedMessage: Message, attempts: number, cause: unknown) {
    const { id, topic, partition } = failedMessage;
    super(
      `the handler failed ${String(attempts)} times with message ${id} of ${topic}/${String(partition)}: ` +
        textOf(cause),
      { cause },
    );
    this.failedMessage = failedMessage;
    this.attempts = attempts;
  }
}

/**
 * `consume` gave up waiting for handlers: see its `drainTimeout`. `cause` is what `consume` would have ended with
 * otherwise, if that is an error.
 */
export class HandlersRunningError extends Error {
  static {
    this.prototype.name = "HandlersRunningError";
  }

  /** How many handlers were left behind. */
  readonly running: number;

  constructor(running: number, drainTimeout: number, cause?: unknown) {
    super(
      `handlers are still running: ${String(running)} did not return within the drain timeout of ` +
        `${String(drainTimeout)} ms`,
      cause === undefined ? undefined : { cause },
    );
    this.running = running;
  }
}

/** Makes the error of an argument that isn't valid. */
export function invalidArgument(text: string, cause?: unknown): MessageProxyError {
  return new MessageProxyError(Code.InvalidArgument, text, { cause });
}

/** Makes the error of an option that is out of range. */
export function invalidOption(option: string, why: string, cause?: unknown): MessageProxyError {
  return invalidArgument(`${option}: ${why}`, cause);
}

/** Makes the error of a message that was put on the wire and not answered. */
export function unknownOutcome(text: string, cause?: unknown): MessageProxyError {
  return new MessageProxyError(Code.UnknownOutcome, text, { retryable: true, cause });
}

/** Makes the reason of a signal that tells a handler to end. */
export function abortReason(text: string, cause?: unknown): Error {
  const reason = new Error(text, cause === undefined ? undefined : { cause });
  reason.name = "AbortError"; // what the language's libraries look for
  return reason;
}

/**
 * Says what anything is that isn't this library's, an error by its message. It never throws, though making a text of
 * something may, as of an object without a prototype.
 */
export function textOf(anything: unknown): string {
  try {
    return String(anything instanceof Error ? anything.message : anything);
  } catch {
    return "something that has no text";
  }
}

/**
 * Reports whether a stream that ended with an error would only end with it again. Some codes decide that whatever the
 * server says, the others by `retryable`.
 */
export function endsForGood(error: MessageProxyError): boolean {
  switch (error.code) {
    case Code.InvalidArgument:
    case Code.TopicNotFound:
    case Code.PartitionNotFound:
    case Code.SubscriptionConflict:
    case Code.Unauthenticated:
    case Code.PermissionDenied:
    case Code.Unsupported:
      return true;
    case Code.ShuttingDown:
    case Code.BrokerUnavailable:
    case Code.ConsumeFailed:
    case Code.AckFailed:
    case Code.AckTimeout:
    case Code.ResourceExhausted:
    case Code.Internal:
      return false;
    default:
      return !error.retryable;
  }
}
