/** The driver of this SDK for the conformance suite: see ../../conformance/DRIVER.md. */
import { createInterface } from "node:readline";
import { inspect } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import {
  Client,
  ClosedError,
  type ConsumeEvent,
  type ConsumeOptions,
  HandlerError,
  type HandlerContext,
  HandlersRunningError,
  type Logger,
  type Message,
  MessageProxyError,
  type OutgoingMessage,
  type TopicPartition,
  skipFailed,
} from "@messageproxy/client";

/** A command, whatever it is; which fields it has is its op's matter. */
interface Command {
  id: number;
  op: string;
  client: string;
  target: string;
  subscription: string;
  topics: string[];
  call: number;
  handling: number;
  how: string;
  text: string | boolean;
  auto: boolean;
  change: boolean;
  message: CommandMessage;
  options?: CommandOptions | null;
}

interface CommandMessage {
  topic: string;
  key?: string | null;
  value?: string | null;
  headers?: [string, string | null][] | null;
  partition?: number | null;
  timestamp?: number | null;
}

interface CommandOptions {
  client_name?: string | null;
  reconnect_backoff?: [number, number] | null;
  max_outstanding?: [number, number] | null;
  max_message_bytes?: number | null;
  tls?: { roots?: string | null } | null;
  log?: boolean | null;
  max_handlers?: number | null;
  key_workers?: number | null;
  attempts?: [number, number, number] | null;
  failure_handler?: "ask" | "skip" | null;
  max_unacked?: number | null;
  ack_timeout?: number | null;
  start?: "earliest" | "latest" | null;
  drain_timeout?: number | null;
}

/** What a command says about how a handler returns. */
type Return = Pick<Command, "how" | "text">;

/** What a failure handler fails with when it is told to. */
class FailureHandlerFailed extends Error {}

const clients = new Map<string, Client>();
const calls = new Map<number, AbortController>();
const handlings = new Map<number, (how: Return) => void>();
let lastHandling = 0;

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Runs a command. What it throws is its error. */
async function run(command: Command): Promise<object> {
  switch (command.op) {
    case "open":
      clients.set(command.client, new Client(command.target, clientOptions(command.options ?? {})));
      return {};
    case "produce":
      return await cancellable(command, (signal) => produce(command, signal));
    case "flush":
      await client(command).flush();
      return {};
    case "close":
      await client(command).close();
      return {};
    case "cancel":
      calls.get(command.call)?.abort();
      return {};
    case "consume":
      return await cancellable(command, (signal) => consume(command, signal));
    case "return":
      handlings.get(command.handling)?.(command);
      return {};
    case "ping":
      return {};
    case "memory":
      return { bytes: memory() };
    default:
      throw new Unsupported(`there is no op ${JSON.stringify(command.op)}`);
  }
}

class Unsupported extends Error {}

function client(command: Command): Client {
  const found = clients.get(command.client);
  if (found === undefined) {
    throw new Error(`there is no client ${JSON.stringify(command.client)}`);
  }
  return found;
}

/** Makes a call that `cancel` can end. */
async function cancellable(command: Command, call: (signal: AbortSignal) => Promise<object>): Promise<object> {
  const controller = new AbortController();
  calls.set(command.id, controller);
  try {
    return await call(controller.signal);
  } finally {
    calls.delete(command.id);
  }
}

function clientOptions(options: CommandOptions) {
  const { client_name, reconnect_backoff, max_outstanding, max_message_bytes, tls, log } = options;
  return {
    clientName: client_name ?? undefined,
    reconnectBackoff: reconnect_backoff ? { min: reconnect_backoff[0], max: reconnect_backoff[1] } : undefined,
    maxOutstanding: max_outstanding ? { messages: max_outstanding[0], bytes: max_outstanding[1] } : undefined,
    maxMessageBytes: max_message_bytes ?? undefined,
    tls: tls ? (typeof tls.roots === "string" ? { ca: tls.roots } : true) : undefined,
    logger: log === true ? logger : undefined,
  };
}

const logger: Logger = {
  info: (text, fields) => {
    say({ log: { level: "info", text: `${text} ${oneLine(fields)}` } });
  },
  warn: (text, fields) => {
    say({ log: { level: "warning", text: `${text} ${oneLine(fields)}` } });
  },
};

function oneLine(fields: object): string {
  return inspect(fields, { depth: 10, breakLength: Infinity, compact: true });
}

async function produce(command: Command, signal: AbortSignal): Promise<object> {
  const message = outgoing(command);
  const receipt = client(command).produce(message, { signal });
  if (command.change) {
    message.key?.fill(0xee);
    if (message.value instanceof Uint8Array) {
      message.value.fill(0xee);
    }
  }
  const { messageId, partition, timestamp } = await receipt;
  return { message_id: messageId, partition, timestamp: timestamp.getTime() };
}

function outgoing({ message, text }: Command): OutgoingMessage {
  const { topic, key, value, headers, partition, timestamp } = message;
  const bytes = decode(value);
  return {
    topic,
    key: decode(key),
    value: text === true && bytes ? (Buffer.from(bytes).toString() as unknown as Uint8Array) : bytes,
    headers: headers?.map(([key, value]) => ({ key, value: decode(value) })),
    partition,
    timestamp: typeof timestamp === "number" ? new Date(timestamp) : timestamp,
  };
}

function decode(base64: string | null | undefined): Uint8Array | null {
  return typeof base64 === "string" ? new Uint8Array(Buffer.from(base64, "base64")) : null;
}

function encode(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString("base64");
}

async function consume(command: Command, signal: AbortSignal): Promise<object> {
  const handler = (message: Message, context: HandlerContext) => {
    if (command.auto) {
      say({ handling: ++lastHandling, consume: command.id, message: delivered(message) });
      return;
    }
    return handle(command, message, context, {});
  };
  const subscription = client(command).subscription(command.subscription, command.topics);
  await subscription.consume(handler, { ...consumeOptions(command), signal });
  return {};
}

function consumeOptions(command: Command): ConsumeOptions {
  const options = command.options ?? {};
  const { attempts, failure_handler } = options;
  const ask = async (message: Message, error: unknown, context: HandlerContext) => {
    try {
      await handle(command, message, context, { failure: errorText(error) });
    } catch (failure) {
      throw new FailureHandlerFailed(errorText(failure));
    }
  };
  return {
    maxHandlers: options.max_handlers ?? undefined,
    keyWorkers: options.key_workers ?? undefined,
    attempts: attempts ? { count: attempts[0], minBackoff: attempts[1], maxBackoff: attempts[2] } : undefined,
    onFailure: failure_handler === "ask" ? ask : failure_handler === "skip" ? skipFailed : undefined,
    maxUnacked: options.max_unacked ?? undefined,
    ackTimeout: options.ack_timeout ?? undefined,
    start: options.start ?? undefined,
    drainTimeout: options.drain_timeout ?? undefined,
    observer: (event) => {
      say({ event: { consume: command.id, ...eventFields(event) } });
    },
  };
}

function eventFields(event: ConsumeEvent): object {
  switch (event.kind) {
    case "connected":
      return { kind: event.kind, max_unacked: event.maxUnacked, ack_timeout: event.ackTimeout };
    case "assigned":
      return { kind: event.kind, partitions: event.partitions.map(pair) };
    case "withdrawn":
      return { kind: event.kind, partitions: event.partitions.map(pair), time_left: event.timeLeft };
    default:
      return { kind: event.kind, error: errorFields(event.error) };
  }
}

function pair({ topic, partition }: TopicPartition): [string, number] {
  return [topic, partition];
}

function delivered(message: Message): object {
  return {
    topic: message.topic,
    partition: message.partition,
    key: encode(message.key),
    value: encode(message.value),
    headers: message.headers.map(({ key, value }) => [key, encode(value)]),
    timestamp: message.timestamp.getTime(),
    id: message.id,
    attempt: message.deliveryAttempt,
  };
}

/** Says that a handler has begun, and returns as a command says. */
async function handle(command: Command, message: Message, { signal }: HandlerContext, more: object): Promise<void> {
  const handling = ++lastHandling;
  const cancelled = () => {
    say({ handling, cancelled: true });
  };
  signal.addEventListener("abort", cancelled);
  const returned = new Promise<Return>((resolve) => handlings.set(handling, resolve));
  say({ handling, consume: command.id, message: delivered(message), ...more });
  const { how, text } = await returned;
  handlings.delete(handling);
  signal.removeEventListener("abort", cancelled);
  switch (how) {
    case "ok":
      return;
    case "change":
      (message as { id: string }).id = "changed";
      return;
    default: // there is no other way to fail than this
      throw new Error(typeof text === "string" ? text : "it was told to fail");
  }
}

function memory(): number {
  setFlagsFromString("--expose_gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function errorFields(error: unknown): object {
  const message = errorText(error);
  if (error instanceof MessageProxyError) {
    const { code, retryable, messageIds } = error;
    return { kind: "error", code, message: wholeText(error), retryable, message_ids: messageIds };
  }
  if (error instanceof ClosedError) {
    return { kind: "closed", message };
  }
  if (error instanceof HandlerError) {
    const { attempts, failedMessage, cause } = error;
    return { kind: "handler", message, attempts, message_id: failedMessage.id, cause: errorText(cause) };
  }
  if (error instanceof HandlersRunningError) {
    return { kind: "handlers_running", message };
  }
  if (error instanceof FailureHandlerFailed) {
    return { kind: "failure_handler", message };
  }
  return { kind: error instanceof Error && error.name === "AbortError" ? "cancelled" : "other", message };
}

function wholeText(error: Error): string {
  return error.cause instanceof Error ? `${error.message}: ${wholeText(error.cause)}` : error.message;
}

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const command = JSON.parse(line) as Command;
  run(command).then(
    (ok) => {
      say({ id: command.id, ok });
    },
    (error: unknown) => {
      const { id } = command;
      say(error instanceof Unsupported ? { id, unsupported: error.message } : { id, error: errorFields(error) });
    },
  );
});
lines.on("close", () => {
  process.exit(0);
});
