"""Producing, while streams and connections are lost."""

from __future__ import annotations

import asyncio
import logging
import sys

import grpc
import pytest
from scripted import PATIENCE, Server, error

from messageproxy import Client, ClosedError, Code, MessageProxyError, ProduceTimeoutError, UnknownOutcomeError
from messageproxy.v1 import messageproxy_pb2 as wire


async def test_what_was_on_the_wire_is_unknown_and_the_rest_goes_on(server: Server, client: Client) -> None:
    first = asyncio.create_task(client.produce(topic="t", value=b"1"))
    stream = await server.produce_stream()
    await stream.messages(1)
    stream.end(grpc.StatusCode.UNAVAILABLE, "lost")
    with pytest.raises(UnknownOutcomeError) as caught:
        await first
    cause = caught.value.__cause__
    assert isinstance(cause, MessageProxyError)
    assert (cause.code, cause.message) == (Code.BROKER_UNAVAILABLE, "lost")
    second = asyncio.create_task(client.produce(topic="t", value=b"2"))
    stream = await server.produce_stream()
    (message,) = await stream.messages(1)
    assert (message.sequence, message.value) == (1, b"2")
    await stream.store(message)
    await second


async def test_a_cut_connection_is_survived(server: Server, client: Client) -> None:
    first = asyncio.create_task(client.produce(topic="t", value=b"1"))
    await (await server.produce_stream()).messages(1)
    await server.stop()
    with pytest.raises(UnknownOutcomeError):
        await first
    second = asyncio.create_task(client.produce(topic="t", value=b"2"))
    await server.listen()
    stream = await server.produce_stream()
    await stream.store(*await stream.messages(1))
    await second


async def test_after_shutting_down_it_goes_out_again_in_order(server: Server, client: Client) -> None:
    calls = [asyncio.create_task(client.produce(topic="t", value=b"%d" % n)) for n in range(3)]
    stream = await server.produce_stream()
    messages = await stream.messages(3)
    await stream.store(messages[1])
    await calls[1]
    calls[2].cancel()  # nobody wants it any more
    await asyncio.wait({calls[2]})
    await stream.send(wire.ProduceResponse(terminal_error=error(15, "going down")))
    stream.end(grpc.StatusCode.UNAVAILABLE)
    later = asyncio.create_task(client.produce(topic="t", value=b"later"))
    stream = await server.produce_stream()
    again = await stream.messages(2)
    assert [(m.sequence, m.value) for m in again] == [(1, b"0"), (2, b"later")]
    await stream.store(*again)
    await asyncio.gather(calls[0], later)


async def test_a_stream_that_ends_for_good_fails_what_was_never_sent(server: Server) -> None:
    async with Client(server.target, max_outstanding=(1, 1)) as client:
        first = asyncio.create_task(client.produce(topic="t"))
        stream = await server.produce_stream()
        await stream.messages(1)
        stream.end(grpc.StatusCode.PERMISSION_DENIED, "its own text", detail=error(13, "not you"))
        with pytest.raises(UnknownOutcomeError, match="not you"):
            await first
        later = asyncio.create_task(client.produce(topic="t"))  # tries again
        stream = await server.produce_stream()
        await stream.store(*await stream.messages(1))
        await later


@pytest.mark.parametrize("max_outstanding", [(1, 1000), (1000, 5)])
async def test_calls_that_wait_for_room_fail_with_it(max_outstanding: tuple[int, int], server: Server) -> None:
    async with Client(server.target, max_outstanding=max_outstanding, reconnect_backoff=(0.001, 0.01)) as client:

        async def produce_again() -> None:
            with pytest.raises(UnknownOutcomeError):
                await client.produce(topic="t", value=b"first")
            await client.produce(topic="t", value=b"again")  # is a later one

        again = asyncio.create_task(produce_again())
        waiting = [
            asyncio.create_task(client.produce(topic="t", value=b"12345")),
            asyncio.create_task(client.produce_async(topic="t", value=b"12345")),
        ]
        stream = await server.produce_stream()
        await stream.messages(1)
        stream.end(grpc.StatusCode.PERMISSION_DENIED, detail=error(13, "not you"))
        for call in waiting:
            with pytest.raises(MessageProxyError, match="not you") as caught:
                await asyncio.wait_for(call, PATIENCE)
            assert caught.value.code is Code.PERMISSION_DENIED
        stream = await server.produce_stream()
        (message,) = await stream.messages(1)
        assert message.value == b"again"
        await stream.store(message)
        await again


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, Code.INVALID_ARGUMENT, False),
        (grpc.StatusCode.UNAUTHENTICATED, Code.UNAUTHENTICATED, False),
        (grpc.StatusCode.UNIMPLEMENTED, Code.UNSUPPORTED, False),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Code.RESOURCE_EXHAUSTED, True),
        (grpc.StatusCode.INTERNAL, Code.INTERNAL, True),
        (grpc.StatusCode.CANCELLED, Code.BROKER_UNAVAILABLE, True),
        (grpc.StatusCode.DATA_LOSS, Code.BROKER_UNAVAILABLE, True),
        (grpc.StatusCode.OK, Code.BROKER_UNAVAILABLE, True),
    ],
)
async def test_what_a_status_says(
    status: grpc.StatusCode, code: Code, retryable: bool, server: Server, client: Client
) -> None:
    call = asyncio.create_task(client.produce(topic="t"))
    stream = await server.produce_stream()
    await stream.messages(1)
    stream.end(status, "why")
    with pytest.raises(UnknownOutcomeError) as caught:
        await call
    cause = caught.value.__cause__
    assert isinstance(cause, MessageProxyError)
    assert (cause.code, cause.retryable) == (code, retryable)


async def test_while_nobody_listens_produce_waits(
    server: Server, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    await server.stop()
    logged = asyncio.Event()

    def notice(record: logging.LogRecord) -> bool:
        if "can't produce" in record.getMessage():
            logged.set()
        return True

    caplog.handler.addFilter(notice)
    call = asyncio.create_task(client.produce(topic="t", value=b"secret"))
    await asyncio.wait_for(logged.wait(), PATIENCE)
    with pytest.raises(ProduceTimeoutError, match=r"no connection to the proxy: unavailable: .*refused"):
        await client.produce(topic="t", timeout=0.001)
    cancelled = asyncio.create_task(client.produce(topic="t"))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await cancelled
    error = caught.value if sys.version_info >= (3, 11) else caught.value.__context__
    assert error is not None
    assert isinstance(error.__cause__, MessageProxyError)
    assert all(record.levelno == logging.WARNING and "secret" not in record.getMessage() for record in caplog.records)
    await server.listen()
    stream = await server.produce_stream()
    (message,) = await stream.messages(1)
    assert message.value == b"secret"
    await stream.store(message)
    await call


async def test_a_client_that_cannot_connect_closes(server: Server) -> None:
    await server.stop()
    client = Client(server.target, reconnect_backoff=(60, 60))
    call = asyncio.create_task(client.produce(topic="t"))
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(ClosedError):
        await call
