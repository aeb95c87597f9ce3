import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { describe, it } from "node:test";

import { Client, Code, type MessageProxyError } from "@messageproxy/client";

import { Channel } from "./server.js";

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
