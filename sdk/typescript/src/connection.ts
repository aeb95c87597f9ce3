import type { LookupAddress } from "node:dns";
import { lookup, Resolver } from "node:dns/promises";
import { type ClientHttp2Session, type ClientHttp2Stream, constants } from "node:http2";
import { connect as connectSocket, isIP, type LookupFunction, type Socket, type TcpNetConnectOpts } from "node:net";
import { connect as connectTLS } from "node:tls";

import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { createGrpcTransport, type GrpcTransportOptions, Http2SessionManager } from "@connectrpc/connect-node";

import { MessageProxy } from "./gen/messageproxy/v1/messageproxy_pb.js";
import type { ClientConfig } from "./options.js";
import type { Target } from "./target.js";
import { after, Ending } from "./sync.js";
import type { Raw } from "./wire.js";

/** How long connecting may take, TLS and the server's first word included. */
const connectMilliseconds = 20_000;
/** How long one of several addresses may take before the next one is tried. */
const addressMilliseconds = 3_000;
/** A keepalive notices a server that has vanished without a word. Only while a stream is open. */
const keepalive = { pingIntervalMs: 30_000, pingTimeoutMs: 10_000 };
/** How much the server may send before it hears that it was read, so that distance doesn't make streams slow. */
const windowBytes = 4 * 2 ** 20;
/** In megabytes. What has come and what is to be sent counts, so Node's 10 MB are less than a message may have. */
const sessionMemory = 4096;

/** A connection of its own for one stream, which connects when that is opened. */
export interface Connection {
  /** Opens a Produce stream. It takes requests, and returns the responses. */
  produce(requests: AsyncIterable<Raw>): Promise<AsyncIterable<Raw>>;
  /** Opens a Consume stream. It takes requests, and returns the responses. */
  consume(requests: AsyncIterable<Raw>): Promise<AsyncIterable<Raw>>;
  /** Ends the connection, and its stream if that is still open. */
  close(): void;
}

/** The RPCs, with requests and responses that the library leaves as they are. */
const raw = { input: EmptySchema, output: EmptySchema };
const methods = {
  produce: { ...MessageProxy.method.produce, ...raw },
  consume: { ...MessageProxy.method.consume, ...raw },
};

/** Prepares a connection. */
export function prepareConnection(target: Target, config: ClientConfig): Connection {
  const { host, port } = target;
  const scheme = config.tls === undefined ? "http" : "https";
  const baseUrl = new URL(`${scheme}://${isIP(host) === 6 ? `[${host}]` : host}:${String(port)}`);
  const sessions = new Http2SessionManager(baseUrl, keepalive, {
    createConnection: () => openSocket(target, config),
    maxSessionMemory: sessionMemory,
    settings: { initialWindowSize: windowBytes, enablePush: false },
  });
  const patientSessions = new PatientSessions(sessions);
  const transport = createGrpcTransport({
    baseUrl: baseUrl.origin,
    sessionManager: patientSessions,
    acceptCompression: [],
  });
  const open = async (method: keyof typeof methods, requests: AsyncIterable<Raw>) => {
    const response = transport.stream(methods[method], undefined, undefined, undefined, requests);
    return (await unlessLost(patientSessions.lost, response)).message;
  };
  return {
    produce: (requests) => open("produce", requests),
    consume: (requests) => open("consume", requests),
    close: () => {
      sessions.abort();
    },
  };
}

/** Waits for the response, which never comes once the stream is lost. */
function unlessLost<T>(lost: Ending, response: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    lost.onEnd(() => {
      reject(new Error("the server ended the stream without a response"));
    });
    response.then(resolve, reject);
  });
}

function openSocket({ host, port, nameServer }: Target, config: ClientConfig): Socket {
  const options: TcpNetConnectOpts = {
    host,
    port,
    noDelay: true,
    lookup: shuffled((hostname) => addresses(hostname, nameServer)),
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: addressMilliseconds,
  };
  if (config.tls === undefined) {
    return connectSocket(options);
  }
  const servername = isIP(host) === 0 ? { servername: host } : {};
  return connectTLS({ ...options, ...servername, ...config.tls, ALPNProtocols: ["h2"] });
}

/** Looks names up as Node wants it, and shuffles what comes, so that clients spread over several addresses. */
function shuffled(resolve: (hostname: string) => Promise<LookupAddress[]>): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname).then(
      (found) => {
        const all = shuffle(found);
        const [first] = all;
        if (options.all === true || first === undefined) {
          callback(null, all);
        } else {
          callback(null, first.address, first.family);
        }
      },
      (error: unknown) => {
        callback(error as NodeJS.ErrnoException, []);
      },
    );
  };
}

/** Asks a name server, or the system, for the addresses of a name. */
async function addresses(hostname: string, nameServer: string | undefined): Promise<LookupAddress[]> {
  if (nameServer === undefined) {
    return await lookup(hostname, { all: true });
  }
  const resolver = new Resolver();
  resolver.setServers([nameServer]);
  const answers = await Promise.allSettled([resolver.resolve4(hostname), resolver.resolve6(hostname)]);
  const found = answers.flatMap((answer, i) =>
    answer.status === "fulfilled" ? answer.value.map((address) => ({ address, family: i === 0 ? 4 : 6 })) : [],
  );
  if (found.length === 0 && answers[0].status === "rejected") {
    throw answers[0].reason;
  }
  return found;
}

function shuffle<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, order: Math.random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ item }) => item);
}

/**
 * Waits for the server's first word before a stream is used. What is sent without it may go to something that only
 * accepts connections, and nobody would know what became of it.
 */
class PatientSessions implements NonNullable<GrpcTransportOptions["sessionManager"]> {
  readonly #sessions: Http2SessionManager;
  /** Ends when the stream has ended without a response, which the library overlooks if the server tells no reason. */
  readonly lost = new Ending();

  constructor(sessions: Http2SessionManager) {
    this.#sessions = sessions;
  }

  get authority(): string {
    return this.#sessions.authority;
  }

  async request(...args: Parameters<Http2SessionManager["request"]>): Promise<ClientHttp2Stream> {
    const timer = after(connectMilliseconds, () => {
      this.#sessions.abort(new Error("connecting took too long"));
    });
    try {
      const stream = await this.#sessions.request(...args);
      this.#watch(stream);
      const { session } = stream;
      if (session !== undefined) {
        session.on("error", () => undefined); // that its streams end says enough
        await firstWord(session as ClientHttp2Session, stream);
        session.setLocalWindowSize(windowBytes);
      }
      return stream;
    } finally {
      clearTimeout(timer);
    }
  }

  #watch(stream: ClientHttp2Stream): void {
    const end = () => {
      // The library has the first word, as it may know more.
      setImmediate(() => {
        this.lost.end();
      });
    };
    const onAborted = () => {
      if (stream.rstCode === constants.NGHTTP2_NO_ERROR) {
        end();
      }
    };
    stream.once("aborted", onAborted).once("close", end);
    stream.once("response", () => {
      stream.off("aborted", onAborted).off("close", end);
    });
  }

  notifyResponseByteRead(stream: ClientHttp2Stream): void {
    this.#sessions.notifyResponseByteRead(stream);
  }
}

/** Waits for the settings that a server begins with. */
function firstWord(session: ClientHttp2Session, stream: ClientHttp2Stream): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = (then: () => void) => {
      session.off("remoteSettings", onSettings);
      stream.off("error", onError);
      stream.off("close", onClose);
      then();
    };
    const onSettings = () => {
      finish(resolve);
    };
    const onError = (error: Error) => {
      // The stream may have more to say of its end, which says nothing new.
      stream.on("error", () => undefined);
      finish(() => {
        reject(error);
      });
    };
    const onClose = () => {
      onError(new Error("the connection was lost before the server said anything"));
    };
    session.once("remoteSettings", onSettings);
    stream.once("error", onError);
    stream.once("close", onClose);
  });
}
