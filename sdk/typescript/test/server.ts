import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createSecureServer, createServer, type Http2Server, type SecureServerOptions } from "node:http2";
import type { AddressInfo, Socket } from "node:net";

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code as StatusCode, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

import {
  type ConsumeRequest,
  type ConsumeResponse,
  ConsumeResponseSchema,
  type ErrorCode,
  ErrorSchema,
  MessageProxy,
  type MessageSchema,
  type OutgoingMessage,
  type ProduceRequest,
  type ProduceResponse,
  ProduceResponseSchema,
} from "../src/gen/messageproxy/v1/messageproxy_pb.js";

/** Values, each of which is taken once, in their order, by whoever asks for the next. */
export class Channel<T> {
  readonly #values: T[] = [];
  readonly #takers: ((value: T | undefined) => void)[] = [];
  #closed = false;

  put(value: T): void {
    const taker = this.#takers.shift();
    if (taker === undefined) {
      this.#values.push(value);
    } else {
      taker(value);
    }
  }

  /** Returns the next value, when there is one; undefined when there won't be any. */
  take(): Promise<T | undefined> {
    const value = this.#values.shift();
    if (value !== undefined || this.#closed) {
      return Promise.resolve(value);
    }
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  /** Returns the next value, which must come. */
  async next(): Promise<T> {
    const value = await this.take();
    if (value === undefined) {
      throw new Error("there are no more values");
    }
    return value;
  }

  close(): void {
    this.#closed = true;
    for (const taker of this.#takers) {
      taker(undefined);
    }
  }

  get size(): number {
    return this.#values.length;
  }
}

/** The server's side of one stream: what came, and what is said. */
export class ServerStream<Request, Response> {
  readonly requests = new Channel<Request>();
  readonly #responses = new Channel<Response>();
  #error: ConnectError | undefined;

  /** Takes requests until the client half-closes or is gone. */
  async receive(requests: AsyncIterable<Request>): Promise<void> {
    try {
      for await (const request of requests) {
        this.requests.put(request);
      }
    } catch {
      // The client is gone.
    } finally {
      this.requests.close();
    }
  }

  async *respond(): AsyncGenerator<Response, void, undefined> {
    for (;;) {
      const response = await this.#responses.take();
      if (response === undefined) {
        break;
      }
      yield response;
    }
    if (this.#error !== undefined) {
      throw this.#error;
    }
  }

  protected say(response: Response): void {
    this.#responses.put(response);
  }

  /** Ends the stream, with a status if it isn't OK. Only the first call counts. */
  end(error?: ConnectError): void {
    this.#error ??= error;
    this.#responses.close();
  }
}

export class ProduceServerStream extends ServerStream<ProduceRequest, ProduceResponse> {
  #unread: OutgoingMessage[] = [];

  /** As its clients expect it, the stream ends when they have nothing more to say. */
  override async receive(requests: AsyncIterable<ProduceRequest>): Promise<void> {
    await super.receive(requests);
    this.end();
  }

  /** Returns so many messages, when they have come. */
  async messages(count: number): Promise<OutgoingMessage[]> {
    while (this.#unread.length < count) {
      this.#unread.push(...(await this.requests.next()).messages);
    }
    return this.#unread.splice(0, count);
  }

  results(results: NonNullable<MessageInitShape<typeof ProduceResponseSchema>["results"]>): void {
    this.say(create(ProduceResponseSchema, { results }));
  }

  /** Answers messages with receipts. */
  receipts(messages: readonly OutgoingMessage[]): void {
    this.results(
      messages.map(({ sequence, partition }) => ({
        sequence,
        outcome: {
          case: "receipt" as const,
          value: { messageId: `id-${randomUUID()}`, partition: partition ?? 3, timestampMs: 1_700_000_000_123n },
        },
      })),
    );
  }

  /** Answers all that comes. */
  async serve(): Promise<void> {
    for (let request = await this.requests.take(); request !== undefined; request = await this.requests.take()) {
      this.receipts(request.messages);
    }
  }

  /** Ends the stream as a server does, for a reason of its own. */
  terminate(code: ErrorCode | number, retryable = false): void {
    this.say(create(ProduceResponseSchema, { terminalError: { code: code as ErrorCode, message: "over", retryable } }));
    this.end(statusOf(code, retryable));
  }
}

export type Delivery = MessageInitShape<typeof MessageSchema>;

export class ConsumeServerStream extends ServerStream<ConsumeRequest, ConsumeResponse> {
  #acks: string[] = [];

  respondWith(response: NonNullable<MessageInitShape<typeof ConsumeResponseSchema>["response"]>): void {
    this.say(create(ConsumeResponseSchema, { response }));
  }

  /** Takes the subscribe request and accepts it. */
  async subscribed(ackTimeoutSeconds = 60) {
    const { request } = await this.requests.next();
    if (request.case !== "subscribe") {
      throw new Error(`the first request is ${String(request.case)}`);
    }
    const ackTimeout = { seconds: BigInt(ackTimeoutSeconds) };
    this.respondWith({ case: "subscribed", value: { maxUnackedMessages: 1000, ackTimeout } });
    return request.value;
  }

  deliver(topic: string, partition: number, messages: Delivery[]): void {
    this.respondWith({ case: "batch", value: { partitions: [{ topic, partition, messages }] } });
  }

  /** Returns the next request that isn't an ACK, and keeps the ACKs before it. */
  async next(): Promise<ConsumeRequest["request"]["case"]> {
    for (;;) {
      const request = (await this.requests.take())?.request;
      if (request?.case !== "ack") {
        return request?.case;
      }
      this.#acks.push(...request.value.messageIds);
    }
  }

  /** Returns so many ACKs, when they have come. */
  async acks(count: number): Promise<string[]> {
    while (this.#acks.length < count) {
      const { request } = await this.requests.next();
      if (request.case !== "ack") {
        throw new Error(`${String(request.case)} came, and not all ACKs`);
      }
      this.#acks.push(...request.value.messageIds);
    }
    return this.#acks.splice(0, count);
  }

  /** Sees the client leave in good order, and returns the ACKs that it sent meanwhile. */
  async left(): Promise<string[]> {
    const leave = await this.next();
    const end = await this.next();
    if (leave !== "leave" || end !== undefined) {
      throw new Error(`the client said ${String(leave)} and then ${String(end)}`);
    }
    this.end();
    return this.#acks.splice(0);
  }

  terminate(code: ErrorCode | number, retryable = false): void {
    this.respondWith({ case: "terminalError", value: { code: code as ErrorCode, message: "over", retryable } });
    this.end(statusOf(code, retryable));
  }
}

/** Is a status with an error of the wire contract in its details. */
export function statusOf(code: ErrorCode | number, retryable = false): ConnectError {
  const value = { code: code as ErrorCode, message: "over", retryable };
  return new ConnectError("over", StatusCode.Unknown, undefined, [{ desc: ErrorSchema, value }]);
}

/** A server that does what a test says. */
export class TestServer implements AsyncDisposable {
  /** The streams that clients have opened. */
  readonly produceStreams = new Channel<ProduceServerStream>();
  readonly consumeStreams = new Channel<ConsumeServerStream>();
  readonly #server: Http2Server;
  readonly #sockets = new Set<Socket>();

  private constructor(tls: SecureServerOptions | undefined) {
    const adapter = connectNodeAdapter({
      routes: (router) =>
        router.service(MessageProxy, {
          produce: (requests) => {
            const stream = new ProduceServerStream();
            this.produceStreams.put(stream);
            return open<ProduceRequest, ProduceResponse>(stream, requests);
          },
          consume: (requests) => {
            const stream = new ConsumeServerStream();
            this.consumeStreams.put(stream);
            return open<ConsumeRequest, ConsumeResponse>(stream, requests);
          },
        }),
    });
    this.#server = tls === undefined ? createServer(adapter) : createSecureServer(tls, adapter);
    this.#server.on(tls === undefined ? "connection" : "secureConnection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  static async start(tls?: SecureServerOptions, port = 0): Promise<TestServer> {
    const server = new TestServer(tls);
    server.#server.listen(port, "127.0.0.1");
    await once(server.#server, "listening");
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get target(): string {
    return `127.0.0.1:${String(this.port)}`;
  }

  /** Cuts all connections. */
  cut(): void {
    for (const socket of this.#sockets) {
      socket.destroy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.cut();
    await closed;
  }
}

/** Serves a stream that a client has opened. */
function open<Request, Response>(
  stream: ServerStream<Request, Response>,
  requests: AsyncIterable<Request>,
): AsyncIterable<Response> {
  void stream.receive(requests);
  return stream.respond();
}
