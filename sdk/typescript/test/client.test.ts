import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Code as StatusCode, ConnectError } from "@connectrpc/connect";
import { Client, type ClientOptions, Code, codeName, MessageProxyError } from "@messageproxy/client";

import { ErrorCode } from "../src/gen/messageproxy/v1/messageproxy_pb.js";
import { selfSigned } from "./certificate.js";
import { statusOf, TestServer } from "./server.js";

const value = new TextEncoder().encode("a cup");

describe("a client", () => {
  it("refuses targets that can never work", () => {
    const bad: [string, RegExp][] = [
      ["", /empty/],
      ["http://localhost:7070", /URL/],
      ["HTTPS://localhost:7070", /URL/],
      ["localhost", /not an address/],
      ["localhost:", /port/],
      ["localhost:0", /port/],
      ["localhost:65536", /port/],
      ["localhost:http", /port/],
      [":7070", /no host/],
      ["::1:7070", /not an address/],
      ["user@host:7070", /not an address/],
      ["host/path:7070", /not an address/],
      ["[::zz]:7070", /not an address/],
      ["a host:7070", /not an address/],
      ["dns:///localhost", /not an address/],
      ["dns://name-server/localhost:7070", /name server/],
    ];
    for (const [target, why] of bad) {
      assert.throws(
        () => new Client(target),
        (error: MessageProxyError) => error.code === Code.InvalidArgument && why.test(error.message),
        target,
      );
    }
    for (const target of [undefined, null, 5n, Symbol("localhost:7070"), Object.create(null)] as string[]) {
      assert.throws(
        () => new Client(target),
        (error: MessageProxyError) => error.code === Code.InvalidArgument && error.message.includes("no string"),
      );
    }
    for (const target of [
      "localhost:7070",
      "127.0.0.1:1",
      "[::1]:65535",
      "proxy.example.com:80",
      "dns:///localhost:7070",
      "dns://127.0.0.1:53/localhost:7070",
    ]) {
      new Client(target);
    }
  });

  it("refuses options that are out of range, by their names", () => {
    const bad: [keyof ClientOptions, unknown][] = [
      ["clientName", "\ud800"],
      ["clientName", "é".repeat(257)],
      ["clientName", 7],
      ["reconnectBackoff", 100],
      ["reconnectBackoff", { min: 0 }],
      ["reconnectBackoff", { min: 5, max: 4 }],
      ["reconnectBackoff", { min: NaN }],
      ["maxOutstanding", 5],
      ["maxOutstanding", { messages: 0 }],
      ["maxOutstanding", { bytes: 0 }],
      ["maxMessageBytes", 0],
      ["maxMessageBytes", 2 ** 30 + 1],
      ["maxMessageBytes", 5n],
      ["maxMessageBytes", Object.create(null)],
      ["tls", "yes"],
      ["tls", { cert: "no certificate", key: "no key" }],
      ["tls", { minVersion: "TLSv9" }],
      ["tls", { ca: "no certificate" }],
      ["tls", { ca: [Buffer.from("no certificate")] }],
      ["logger", {}],
    ];
    for (const [option, value] of bad) {
      assert.throws(
        () => new Client("localhost:1", { [option]: value }),
        (error: MessageProxyError) => error.code === Code.InvalidArgument && error.message.includes(option),
        option,
      );
    }
    assert.throws(() => new Client("localhost:1", 5 as unknown as ClientOptions), /options/);
    new Client("localhost:1", { clientName: "é".repeat(256), maxMessageBytes: 2 ** 30, tls: false });
    new Client("localhost:1", Object.fromEntries(bad.map(([option]) => [option, null])));
    new Client("localhost:1", null as unknown as ClientOptions);
  });

  it("speaks TLS, with the caller's roots", async () => {
    const { cert, key } = selfSigned("localhost");
    await using server = await TestServer.start({ cert, key });
    await using client = new Client(`localhost:${String(server.port)}`, { tls: { ca: cert } });
    const receipt = client.produce({ topic: "orders", value });
    void (await server.produceStreams.next()).serve();
    await receipt;

    await using distrustful = new Client(`localhost:${String(server.port)}`, { tls: true });
    const events: Code[] = [];
    const stop = new AbortController();
    await distrustful.subscription("s", ["orders"]).consume(() => undefined, {
      signal: stop.signal,
      observer: (event) => {
        if (event.kind === "disconnected") {
          events.push(event.error.code);
          assert.match(event.error.message, /self-signed certificate/);
        }
        stop.abort();
      },
    });
    assert.deepEqual(events, [Code.BrokerUnavailable]);
  });

  it("receives and sends large messages", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    const large = new Uint8Array(40 * 2 ** 20).fill(7);
    const receipt = client.produce({ topic: "orders", value: large });
    const stream = await server.produceStreams.next();
    const messages = await stream.messages(1);
    assert.equal(messages[0]?.value?.length, large.length);
    stream.receipts(messages);
    await receipt;

    const loop = client.subscription("s", ["orders"]).messages();
    const next = loop.next();
    const consumeStream = await server.consumeStreams.next();
    await consumeStream.subscribed();
    consumeStream.deliver("orders", 0, [{ id: "1", value: large }]);
    assert.ok(Buffer.from(large).equals((await next).value?.value ?? Buffer.of()));
    const left = loop.return();
    await consumeStream.left();
    await left;
  });
});

describe("the status of a stream", () => {
  const status = (code: StatusCode) => new ConnectError("why", code);
  const cases: [string, ConnectError, Code, boolean][] = [
    ["with an error in its details", statusOf(ErrorCode.RESOURCE_EXHAUSTED, true), Code.ResourceExhausted, true],
    ["INVALID_ARGUMENT", status(StatusCode.InvalidArgument), Code.InvalidArgument, false],
    ["UNAUTHENTICATED", status(StatusCode.Unauthenticated), Code.Unauthenticated, false],
    ["PERMISSION_DENIED", status(StatusCode.PermissionDenied), Code.PermissionDenied, false],
    ["UNIMPLEMENTED", status(StatusCode.Unimplemented), Code.Unsupported, false],
    ["RESOURCE_EXHAUSTED", status(StatusCode.ResourceExhausted), Code.ResourceExhausted, true],
    ["INTERNAL", status(StatusCode.Internal), Code.Internal, true],
    ["DATA_LOSS", status(StatusCode.DataLoss), Code.BrokerUnavailable, true],
    ["CANCELLED", status(StatusCode.Canceled), Code.BrokerUnavailable, true],
  ];
  for (const [name, error, code, retryable] of cases) {
    it(`${name} is ${codeName(code)}`, async () => {
      await using server = await TestServer.start();
      await using client = new Client(server.target);
      const receipt = client.produce({ topic: "orders", value });
      const stream = await server.produceStreams.next();
      await stream.messages(1);
      stream.end(error);
      await assert.rejects(receipt, ({ code: outcome, cause }: MessageProxyError) => {
        assert.equal(outcome, Code.UnknownOutcome);
        assert.ok(cause instanceof MessageProxyError);
        assert.deepEqual([cause.code, cause.retryable], [code, retryable]);
        return true;
      });
    });
  }

  it("is named if it says nothing else", async () => {
    await using server = await TestServer.start();
    await using client = new Client(server.target);
    const receipt = client.produce({ topic: "orders", value });
    const stream = await server.produceStreams.next();
    await stream.messages(1);
    stream.end(new ConnectError("", StatusCode.ResourceExhausted));
    await assert.rejects(receipt, ({ cause }: MessageProxyError) => {
      assert.ok(cause instanceof MessageProxyError);
      assert.equal(cause.message, "resource exhausted: the server ended the stream with RESOURCE_EXHAUSTED");
      return true;
    });
  });
});
