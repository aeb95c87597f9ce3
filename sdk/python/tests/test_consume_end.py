"""Handlers that fail, and how consume stops."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import grpc
import pytest
from scripted import PATIENCE, Server, Stream, delivered
from test_consume import Handlers, consuming, withdraw

from messageproxy import (
    Client,
    ClosedError,
    HandlerError,
    HandlersRunningError,
    InvalidTypeError,
    Message,
    skip_failed,
)


async def finish(stream: Stream) -> None:
    """Ends a stream as a server does that a client leaves."""
    assert await stream.request() is None
    stream.end()


async def leave(stream: Stream) -> None:
    """Lets a client leave that has no ACKs to send."""
    await stream.leave()
    await finish(stream)


async def test_a_handler_that_fails_is_called_again(
    server: Server, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: list[str] = []

    async def handler(message: Message) -> None:
        attempts.append(message.id)
        if message.id == "1" and attempts.count("1") == 1:
            raise ValueError("for once")
        if message.id == "1" and attempts.count("1") == 2:
            raise asyncio.CancelledError  # of something that it awaited

    async with consuming(client, handler, retry_backoff=(0, 0)):
        stream = await server.consume_stream()
        await stream.subscribe()
        await stream.send(delivered(b"1", b"2"))
        assert await stream.acks(2) == ["1", "2"]
    assert attempts == ["1", "1", "1", "2"]
    (record, _) = [record for record in caplog.records if "a handler failed" in record.message]
    assert record.levelno == logging.WARNING
    assert "attempt 1: subscription 'billing', message 1 of orders/0: for once" in record.message


async def test_a_handler_that_failed_for_good_stops_consume(server: Server, client: Client) -> None:
    others = Handlers()

    async def handler(message: Message) -> None:
        if message.id == "bad":
            raise ValueError("always")
        await others(message)

    async with consuming(client, handler, attempts=2, retry_backoff=(0, 0)) as task:
        stream = await server.consume_stream()
        await stream.subscribe()
        await stream.send(delivered(b"good", partition=1))
        await others.begin("good")
        await stream.send(delivered(b"bad", b"dropped"))
        await stream.leave()
        others.end("good")
        assert await stream.acks(1) == ["good"]
        await finish(stream)
        with pytest.raises(HandlerError, match="2 times with message bad of orders/0: always") as caught:
            await task
    assert (caught.value.attempts, caught.value.message.value) == (2, b"bad")
    assert isinstance(caught.value.__cause__, ValueError)


async def test_attempts_begin_within_the_ack_timeout(server: Server, client: Client) -> None:
    async def handler(message: Message) -> None:
        raise ValueError

    async with consuming(client, handler, attempts=100_000, retry_backoff=(0.01, 0.01)) as task:
        stream = await server.consume_stream()
        await stream.subscribe(ack_timeout=0.5)
        began = asyncio.get_running_loop().time()
        await stream.send(delivered(b"bad"))
        await leave(stream)
        with pytest.raises(HandlerError) as caught:
            await task
    assert 1 < caught.value.attempts < 100_000
    assert asyncio.get_running_loop().time() - began < 10


async def test_a_failure_handler_decides(server: Server, client: Client) -> None:
    decided: list[tuple[str, str]] = []

    async def handler(message: Message) -> None:
        raise ValueError(f"{message.id} is bad")

    async def failure_handler(message: Message, error: BaseException) -> None:
        decided.append((message.id, str(error)))
        if message.id == "2":
            raise LookupError("nowhere to put it")

    async with consuming(client, handler, attempts=1, failure_handler=failure_handler) as task:
        stream = await server.consume_stream()
        await stream.subscribe()
        await stream.send(delivered(b"1"))
        assert await stream.acks(1) == ["1"]
        await stream.send(delivered(b"2"))
        await leave(stream)
        with pytest.raises(LookupError, match="nowhere") as caught:
            await task
    assert decided == [("1", "1 is bad"), ("2", "2 is bad")]
    assert isinstance(caught.value.__context__, HandlerError)


async def test_failed_messages_can_be_skipped(server: Server, client: Client) -> None:
    async def handler(message: Message) -> None:
        raise ValueError

    async with consuming(client, handler, attempts=1, failure_handler=skip_failed):
        stream = await server.consume_stream()
        await stream.subscribe()
        await stream.send(delivered(b"1", b"2"))
        assert await stream.acks(2) == ["1", "2"]


async def test_a_failure_that_was_overtaken_counts_for_nothing(server: Server, client: Client) -> None:
    attempts: asyncio.Queue[str] = asyncio.Queue()

    async def handler(message: Message) -> None:
        attempts.put_nowait(message.id)
        if message.id == "bad":
            raise ValueError

    async with consuming(client, handler, retry_backoff=(1e6, 1e6)):
        stream = await server.consume_stream()
        await stream.subscribe(ack_timeout=1e7)
        await stream.send(delivered(b"bad"))
        assert await attempts.get() == "bad"
        await withdraw(stream, 0)  # while it waits for the next attempt
        await stream.send(delivered(b"good"))
        assert await stream.acks(1) == ["good"]
    assert attempts.get_nowait() == "good"
    assert attempts.empty()


@pytest.mark.parametrize("how", ["stop", "cancel", "close"])
async def test_consume_leaves_in_good_order(how: str, server: Server) -> None:
    client = Client(server.target)
    handlers, stop = Handlers(), asyncio.Event()
    task = asyncio.create_task(client.subscription("billing", "orders").consume(handlers, stop=stop))
    stream = await server.consume_stream()
    await stream.subscribe()
    await stream.send(delivered(b"1", b"2"))
    await handlers.begin("1")
    if how == "stop":
        stop.set()
    elif how == "cancel":
        task.cancel()
    else:
        await client.close()
    await stream.leave()
    await stream.send(delivered(b"3"))
    handlers.end("1")
    assert await stream.acks(1) == ["1"]
    assert not task.done()
    await finish(stream)
    errors = {"stop": None, "cancel": asyncio.CancelledError, "close": ClosedError}
    expected = errors[how]
    if expected is None:
        await task
    else:
        with pytest.raises(expected):
            await task
    assert handlers.begun.empty()  # no other has begun
    await client.close()


@pytest.mark.parametrize("stop", [True, threading.Event()])
async def test_a_stop_of_another_kind_is_refused(stop: Any, client: Client) -> None:
    subscription = client.subscription("billing", "orders")
    with pytest.raises(InvalidTypeError, match=r"stop: .* is not an asyncio\.Event"):
        subscription.messages(stop=stop)
    with pytest.raises(InvalidTypeError, match="stop"):
        await subscription.consume(Handlers(), stop=stop)


async def test_handlers_are_cancelled_when_the_drain_timeout_is_over(server: Server, client: Client) -> None:
    handlers, stop = Handlers(), asyncio.Event()
    async with consuming(client, handlers, stop=stop, drain_timeout=0.01) as task:
        stream = await server.consume_stream()
        await stream.subscribe()
        await stream.send(delivered(b"1"))
        await handlers.begin("1")
        stop.set()
        assert await asyncio.wait_for(handlers.cancelled.get(), PATIENCE) == "1"
        await leave(stream)
        await task


async def test_handlers_that_do_not_end_are_left_behind(server: Server, client: Client) -> None:
    stop, release, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handler(message: Message) -> None:
        stop.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        ended.set()

    async with consuming(client, handler, stop=stop, drain_timeout=0) as task:
        stream = await server.consume_stream()
        await stream.subscribe()
        await stream.send(delivered(b"1"))
        await leave(stream)
        with pytest.raises(HandlersRunningError, match="1 did not return") as caught:
            await task
    assert caught.value.running == 1
    release.set()
    await asyncio.wait_for(ended.wait(), PATIENCE)


async def test_a_stream_that_is_lost_while_leaving_does_not_keep_consume(server: Server, client: Client) -> None:
    handlers, stop = Handlers(), asyncio.Event()
    async with consuming(client, handlers, stop=stop) as task:
        stream = await server.consume_stream()
        await stream.subscribe()
        await stream.send(delivered(b"1"))
        await handlers.begin("1")
        stop.set()
        await stream.leave()
        stream.end(grpc.StatusCode.UNAVAILABLE)
        assert await handlers.cancelled.get() == "1"
        await task


async def test_cancelled_twice_consume_leaves_at_once(server: Server, client: Client) -> None:
    handlers = Handlers()
    async with consuming(client, handlers) as task:
        stream = await server.consume_stream()
        await stream.subscribe()
        await stream.send(delivered(b"1"))
        await handlers.begin("1")
        task.cancel()
        await stream.leave()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await handlers.cancelled.get() == "1"


async def test_consume_stops_while_it_cannot_connect(server: Server) -> None:
    await server.stop()
    stop = asyncio.Event()
    client = Client(server.target, reconnect_backoff=(60, 60))
    async with consuming(client, Handlers(), stop=stop) as task:
        await asyncio.sleep(0)
        stop.set()
        await asyncio.wait_for(task, PATIENCE)
    await client.close()
    with pytest.raises(ClosedError):
        await client.subscription("billing", "orders").consume(Handlers())


async def test_a_loop_has_the_messages_one_by_one(server: Server, client: Client) -> None:
    stop, seen = asyncio.Event(), []

    async def loop() -> None:
        async with client.subscription("billing", "orders").messages(stop=stop) as messages:
            async for message in messages:
                seen.append(message.id)
                if message.id == "3":
                    stop.set()

    task = asyncio.create_task(loop())
    stream = await server.consume_stream()
    await stream.subscribe()
    await stream.send(delivered(b"1", b"2"))
    assert await stream.acks(2) == ["1", "2"]
    await stream.send(delivered(b"3", b"4"))
    assert await stream.acks(1) == ["3"]  # the loop has asked for the next one
    await stream.leave()
    await finish(stream)
    await task
    assert seen == ["1", "2", "3"]


@pytest.mark.parametrize("how", ["break", "error", "cancel"])
async def test_what_a_loop_was_left_with_is_not_acked(how: str, server: Server, client: Client) -> None:
    begun = asyncio.Event()

    async def loop() -> None:
        async with client.subscription("billing", "orders").messages() as messages:
            async for message in messages:
                if message.id == "1":
                    continue
                if how == "break":
                    break
                if how == "error":
                    raise LookupError
                begun.set()
                await asyncio.Event().wait()

    task = asyncio.create_task(loop())
    stream = await server.consume_stream()
    await stream.subscribe()
    await stream.send(delivered(b"1", b"2", b"3"))
    assert await stream.acks(1) == ["1"]
    if how == "cancel":
        await begun.wait()
        task.cancel()
    await leave(stream)  # without an ACK
    (end,) = await asyncio.gather(task, return_exceptions=True)
    assert type(end) is {"break": type(None), "error": LookupError, "cancel": asyncio.CancelledError}[how]


async def test_a_loop_without_a_block_leaves_too(server: Server, client: Client) -> None:
    async def loop() -> None:
        async for _ in client.subscription("billing", "orders").messages():
            break

    task = asyncio.create_task(loop())
    stream = await server.consume_stream()
    await stream.subscribe()
    await stream.send(delivered(b"1"))
    await leave(stream)
    await task


async def test_a_loop_goes_on_after_a_lost_stream(server: Server, client: Client) -> None:
    go_on, begun, seen = asyncio.Event(), asyncio.Event(), []

    async def loop() -> None:
        async for message in client.subscription("billing", "orders").messages():
            seen.append(message.id)
            begun.set()
            await go_on.wait()

    task = asyncio.create_task(loop())
    stream = await server.consume_stream()
    await stream.subscribe()
    await stream.send(delivered(b"1"))
    await begun.wait()
    stream.end(grpc.StatusCode.UNAVAILABLE)
    stream = await server.consume_stream()
    await stream.subscribe()
    await stream.send(delivered(b"2"))
    go_on.set()
    assert await stream.acks(1) == ["2"]
    assert seen == ["1", "2"]
    await client.close()
    await leave(stream)
    with pytest.raises(ClosedError):
        await task
