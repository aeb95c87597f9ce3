/**
 * The client of the message proxy: produce and consume messages, without offsets, commits or rebalances.
 *
 * @packageDocumentation
 */
export { Client } from "./client.js";
export {
  type ConsumeOptions,
  type FailureHandler,
  type Handler,
  type HandlerContext,
  type MessagesOptions,
  skipFailed,
} from "./consume-options.js";
export {
  ClosedError,
  Code,
  codeName,
  HandlerError,
  HandlersRunningError,
  MessageProxyError,
  type MessageProxyErrorDetails,
} from "./errors.js";
export type { AssignedEvent, ConnectedEvent, ConsumeEvent, ErrorEvent, WithdrawnEvent } from "./events.js";
export type { Logger } from "./log.js";
export type { Header, Message, OutgoingHeader, OutgoingMessage, Receipt, TopicPartition } from "./message.js";
export type { CallOptions, ClientOptions } from "./options.js";
export type { Subscription } from "./subscription.js";
