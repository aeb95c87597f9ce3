import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { describe, it } from "node:test";

import { Client, Code, type MessageProxyError } from "@messageproxy/client";

import { Channel } from "./server.js";

/** Types of frames of HTTP/2. */
enum FrameType {
  Headers = 1,
  Reset = 3,
  Settings = 4,
}

/** Makes a frame: see RFC 9113, section 4.1. */
function frame(type: FrameType, stream: number, payload = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

/** Reports whether a client has sent a frame of a type, after its preface. */
function hasFrame(type: number, sent: Buffer): boolean {
  for (let at = 24; at + 9 <= sent.length; at += 9 + sent.readUIntBE(at, 3)) {
    if (sent[at + 3] === type) {
      return true;
    }
  }
  return false;
}

describe("a stream that the server resets without a reason", () => {
  it("is lost, though there was no response", async () => {
    const server = createServer((socket) => {
      let sent = Buffer.alloc(0);
      const onData = (data: Buffer) => {
        sent = Buffer.concat([sent, data]);
        if (hasFrame(FrameType.Headers, sent)) {
          socket.off("data", onData).resume();
          socket.write(Buffer.concat([frame(FrameType.Settings, 0), frame(FrameType.Reset, 1, Buffer.alloc(4))]));
        }
      };
      socket.on("error", () => undefined).on("data", onData);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const target = `127.0.0.1:${String((server.address() as AddressInfo).port)}`;
    await using client = new Client(target, { reconnectBackoff: { min: 1, max: 1 } });
    const stop = new AbortController();
    const lost = new Channel<MessageProxyError>();
    const ended = client.subscription("billing", ["orders"]).consume(() => undefined, {
      signal: stop.signal,
      observer: (event) => {
        if (event.kind === "disconnected") {
          lost.put(event.error);
        }
      },
    });
    for (let i = 0; i < 2; i++) {
      const { code, message } = await lost.next();
      assert.equal(code, Code.BrokerUnavailable);
      assert.match(message, /without a response/);
    }
    stop.abort();
    await ended;
    server.close();
  });
});

describe("something that only accepts connections", () => {
  it("gets no message, so that none has an unknown outcome", async () => {
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => socket.destroy());
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const target = `127.0.0.1:${String((server.address() as AddressInfo).port)}`;
    const warnings = new Channel<MessageProxyError>();
    const logger = {
      info: () => undefined,
      warn: (_: string, { error }: Readonly<Record<string, unknown>>) => {
        warnings.put(error as MessageProxyError);
      },
    };
    await using client = new Client(target, { logger, reconnectBackoff: { min: 1, max: 1 } });
    const controller = new AbortController();
    const receipt = client.produce({ topic: "orders" }, { signal: controller.signal });
    receipt.catch(() => undefined);
    for (let i = 0; i < 3; i++) {
      assert.equal((await warnings.next()).code, Code.BrokerUnavailable);
    }
    const reason = new Error("enough");
    controller.abort(reason);
    await assert.rejects(receipt, reason);
    server.close();
  });
});
