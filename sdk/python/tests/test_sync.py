"""The client for programs without asyncio."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import grpc
import pytest
from memory import Memory, proxy_in_thread
from scripted import PATIENCE, Server, delivered, error

from messageproxy import (
    ClosedError,
    Code,
    HandlerError,
    InvalidTypeError,
    Message,
    MessageProxyError,
    ProduceTimeoutError,
    UnknownOutcomeError,
)
from messageproxy.sync import Client, ending, skip_failed


@pytest.fixture
def memory() -> Iterator[Memory]:
    with proxy_in_thread() as memory:
        yield memory


def test_messages_go_in_and_come_out(memory: Memory) -> None:
    with Client(memory.server.target) as client:
        receipt = client.produce(topic="orders", key=b"ada", value=b"0", timeout=PATIENCE)
        assert receipt.message_id == "id-1"
        futures = [client.produce_async(topic="orders", value=b"%d" % n) for n in range(1, 3000)]
        client.flush(timeout=PATIENCE)
        assert all(future.done() for future in futures)
        assert [int(m.value) for m in memory.topics["orders"]] == list(range(3000))

        seen: list[int] = []

        def handler(message: Message) -> None:
            seen.append(int(message.value or b""))
            if len(seen) == 3000:
                consuming.stop()

        consuming = client.subscription("billing", "orders").start(handler)
        consuming.result(timeout=PATIENCE)
        assert consuming.done()
        consuming.stop()
        assert seen == list(range(3000))
        assert len(memory.acked["billing"]) == 3000


def test_many_threads_share_a_client(memory: Memory) -> None:
    with Client(memory.server.target, max_outstanding=(3, 1000)) as client:

        def produce(thread: int) -> None:
            for n in range(50):
                client.produce(topic="t", key=b"%d" % thread, value=b"%d" % n)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(produce, range(8)))
    for thread in range(8):
        values = [int(m.value) for m in memory.topics["t"] if m.key == b"%d" % thread]
        assert values == list(range(50))


def test_errors_are_those_of_the_other_client(memory: Memory) -> None:
    client = Client(memory.server.target)
    with pytest.raises(MessageProxyError, match="topic"):
        client.produce(topic="")
    with pytest.raises(TypeError):
        client.produce(topic="t", value="text")  # type: ignore[call-overload]
    with pytest.raises(MessageProxyError, match="max_handlers") as caught:
        client.subscription("billing", "orders").start(print, max_handlers=-1)
    assert caught.value.code is Code.INVALID_ARGUMENT
    client.close()
    client.close()
    for call in (client.produce, client.produce_async):
        with pytest.raises(ClosedError):
            call(topic="t")
    with pytest.raises(ClosedError):
        client.flush()
    for consume in (client.subscription("billing", "orders").consume, client.subscription("billing", "orders").start):
        with pytest.raises(ClosedError):
            consume(print)


def test_a_handler_that_fails(memory: Memory) -> None:
    def handler(message: Message) -> None:
        raise ValueError("always")

    with Client(memory.server.target) as client:
        client.produce(topic="orders")
        subscription = client.subscription("billing", "orders")
        with pytest.raises(HandlerError, match=r"2 times .* always"):
            subscription.consume(handler, attempts=2, retry_backoff=(0, 0))
        skipping = subscription.start(handler, attempts=1, failure_handler=skip_failed)
        asyncio.run(wait_acked(memory))
        with pytest.raises(TimeoutError):
            skipping.result(timeout=0)
    with pytest.raises(ClosedError):
        skipping.result(timeout=PATIENCE)


async def wait_acked(memory: Memory) -> None:
    loop = memory.loop
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(memory.wait_acked("billing", 1), loop))


def test_a_call_that_ends_while_nobody_listens_is_withdrawn() -> None:
    with Client("127.0.0.1:1", max_outstanding=(1, 10)) as client:
        with pytest.raises(ProduceTimeoutError):
            client.produce(topic="t", timeout=0.01)
        future = client.produce_async(topic="t")
        with pytest.raises(ProduceTimeoutError):
            client.produce(topic="t", timeout=0.01)  # there is no room
        with pytest.raises(TimeoutError):
            client.flush(timeout=0.01)
        assert future.cancel()
        assert future.cancelled()
        assert future.cancel()
        client.flush(timeout=PATIENCE)
        left = client.produce_async(topic="t")
    with pytest.raises(ClosedError):
        left.result(timeout=PATIENCE)


def test_a_call_that_finds_no_room_tells_why(caplog: pytest.LogCaptureFixture) -> None:
    logged = threading.Event()

    def notice(record: logging.LogRecord) -> bool:
        if "can't produce" in record.getMessage():
            logged.set()
        return True

    caplog.handler.addFilter(notice)
    with Client("127.0.0.1:1", max_outstanding=(1, 10)) as client:
        client.produce_async(topic="t")
        assert logged.wait(PATIENCE)
        with pytest.raises(ProduceTimeoutError, match="no connection to the proxy") as caught:
            client.produce(topic="t", timeout=0.01)
        assert isinstance(caught.value.__cause__, MessageProxyError)


@pytest.mark.parametrize("begun", [False, True])
def test_ctrl_c_while_a_message_is_handed_over_leaves_nothing(
    begun: bool, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(memory.server.target) as client:
        call_soon = client._loop.call_soon_threadsafe

        def interrupted(*arguments: Any) -> None:
            if begun:
                call_soon(*arguments)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(client._loop, "call_soon_threadsafe", interrupted)
            with pytest.raises(KeyboardInterrupt):
                client.produce_async(topic="t", value=b"interrupted")
        client.produce_async(topic="t", value=b"next").result(PATIENCE)
        assert client._room._messages == 0
    assert [m.value for m in memory.topics["t"]] == [b"next"]


async def test_what_is_on_the_wire_cannot_be_cancelled(server: Server) -> None:
    client = await asyncio.to_thread(Client, server.target)
    future = client.produce_async(topic="t")
    stream = await server.produce_stream()
    await stream.messages(1)
    assert not await asyncio.to_thread(future.cancel)
    closing = asyncio.create_task(asyncio.to_thread(client.close))
    with pytest.raises(UnknownOutcomeError):
        await asyncio.wrap_future(future)
    assert await stream.request() is None
    stream.end()
    await closing


class TellingCondition(threading.Condition):
    """A condition that tells when someone waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.awaited = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.awaited.set()
        return super().wait(timeout)


async def test_threads_that_wait_for_room_fail_with_a_stream_that_ends_for_good(server: Server) -> None:
    client = await asyncio.to_thread(Client, server.target, max_outstanding=(1, 10), reconnect_backoff=(0.001, 0.01))
    client._room._changed = condition = TellingCondition()
    sent = client.produce_async(topic="t")
    waiting = asyncio.create_task(asyncio.to_thread(client.produce, topic="t"))
    stream = await server.produce_stream()
    await stream.messages(1)
    assert await asyncio.to_thread(condition.awaited.wait, PATIENCE)
    stream.end(grpc.StatusCode.PERMISSION_DENIED, detail=error(13, "not you"))
    with pytest.raises(UnknownOutcomeError):
        await asyncio.wrap_future(sent)
    with pytest.raises(MessageProxyError, match="not you") as caught:
        await asyncio.wait_for(waiting, PATIENCE)
    assert caught.value.code is Code.PERMISSION_DENIED
    later = client.produce_async(topic="t")
    stream = await server.produce_stream()
    await stream.store(*await stream.messages(1))
    await asyncio.wrap_future(later)
    closing = asyncio.create_task(asyncio.to_thread(client.close))
    assert await stream.request() is None
    stream.end()
    await closing


async def test_a_message_keeps_its_place_until_it_is_answered(server: Server) -> None:
    client = await asyncio.to_thread(Client, server.target, max_outstanding=(1, 10))
    client._room._changed = condition = TellingCondition()
    expired = client.produce_async(topic="t")
    stream = await server.produce_stream()
    messages = await stream.messages(1)
    assert expired._pending is not None
    await asyncio.to_thread(client._call, partial(client._client._producer.expire, expired._pending))
    with pytest.raises(UnknownOutcomeError):
        await asyncio.wrap_future(expired)
    waiting = asyncio.create_task(asyncio.to_thread(client.produce, topic="t", timeout=1e10))
    assert await asyncio.to_thread(condition.awaited.wait, PATIENCE)
    await stream.store(*messages)  # only now is there room
    messages = await stream.messages(1)
    flushing = asyncio.create_task(asyncio.to_thread(client.flush, 1e10))
    await stream.store(*messages)
    await waiting
    await flushing
    closing = asyncio.create_task(asyncio.to_thread(client.close))
    assert await stream.request() is None
    stream.end()
    await closing


async def test_a_callback_does_not_wait_for_its_client(server: Server) -> None:
    client = await asyncio.to_thread(Client, server.target, max_outstanding=(1, 10))
    refused: list[RuntimeError] = []

    def callback(_: object) -> None:
        client.produce_async(topic="t")
        calls: list[Callable[[], object]] = [
            client.flush,
            partial(client.produce, topic="t"),
            partial(client.produce_async, topic="t"),  # there is no room
            partial(client.subscription("billing", "orders").consume, print),
            client.subscription("billing", "orders").start(print).result,
        ]
        for call in calls:
            with pytest.raises(RuntimeError, match="thread") as caught:
                call()
            refused.append(caught.value)
        client.close()

    future = client.produce_async(topic="t")
    future.add_done_callback(callback)
    stream = await server.produce_stream()
    await stream.store(*await stream.messages(1))
    await asyncio.wait_for(asyncio.wrap_future(future), PATIENCE)
    server.closing.set()  # nobody is left to end the streams
    await asyncio.to_thread(client._thread.join, PATIENCE)
    assert not client._thread.is_alive()
    assert len(refused) == 5


async def test_a_callback_that_exits_closes_the_client(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    client = await asyncio.to_thread(Client, server.target)
    exiting, other = client.produce_async(topic="t"), client.produce_async(topic="t")
    consuming = client.subscription("billing", "orders").start(print)
    await (await server.consume_stream()).subscribe()
    exiting.add_done_callback(lambda _: sys.exit(3))
    stream = await server.produce_stream()
    first, _ = await stream.messages(2)
    await stream.store(first)
    with pytest.raises(UnknownOutcomeError):
        await asyncio.wait_for(asyncio.wrap_future(other), PATIENCE)
    for call in (client.flush, partial(client.produce, topic="t"), partial(consuming.result, PATIENCE)):
        with pytest.raises(ClosedError):
            await asyncio.to_thread(call)
    await asyncio.to_thread(client.close)
    await asyncio.to_thread(client._thread.join, PATIENCE)
    assert not client._thread.is_alive()
    assert "SystemExit" in caplog.text


def fail(*_: object) -> None:
    raise ValueError("always")


def leave(*_: object) -> None:
    sys.exit(3)


@pytest.mark.parametrize(
    "functions",
    [
        {"handler": leave, "failure_handler": skip_failed},
        {"handler": fail, "attempts": 1, "failure_handler": leave},
        {"handler": print, "observer": leave},
    ],
)
def test_a_handler_that_exits_stops_consume(functions: dict[str, Any], memory: Memory) -> None:
    with Client(memory.server.target) as client:
        client.produce(topic="orders")
        consuming = client.subscription("billing", "orders").start(**functions)
        with pytest.raises(SystemExit, match="3"):
            consuming.result(PATIENCE)
        client.produce(topic="orders", timeout=PATIENCE)  # the client goes on
    assert memory.acked["billing"] == []


def test_a_handler_may_raise_what_futures_cannot_have(memory: Memory) -> None:
    def handler(message: Message) -> None:
        raise StopIteration

    with Client(memory.server.target) as client:
        client.produce(topic="orders")
        consuming = client.subscription("billing", "orders").start(handler, attempts=1)
        with pytest.raises(HandlerError, match="StopIteration"):
            consuming.result(PATIENCE)


async def forgotten(*_: object) -> None:
    raise AssertionError("nobody awaits it")


def test_async_handlers_are_refused(memory: Memory) -> None:
    with Client(memory.server.target) as client:
        subscription = client.subscription("billing", "orders")
        with pytest.raises(InvalidTypeError, match=r"the handler .* async"):
            subscription.start(forgotten)  # type: ignore[arg-type]
        with pytest.raises(InvalidTypeError, match=r"the failure_handler .* async"):
            subscription.start(print, failure_handler=forgotten)  # type: ignore[arg-type]


@pytest.mark.parametrize("handler", [lambda message: forgotten(), lambda message: (n for n in [message])])
def test_a_handler_that_has_not_run_has_failed(handler: Any, memory: Memory) -> None:
    with Client(memory.server.target) as client:
        client.produce(topic="orders")
        consuming = client.subscription("billing", "orders").start(handler, attempts=1)
        with pytest.raises(HandlerError, match="must be a plain function"):
            consuming.result(PATIENCE)
    assert memory.acked["billing"] == []


async def test_a_handler_is_told_when_it_should_end(server: Server) -> None:
    client = await asyncio.to_thread(Client, server.target, reconnect_backoff=(0.001, 0.01))
    begun, told = threading.Event(), threading.Event()

    def handler(message: Message) -> None:
        if message.id == "1":
            begun.set()
            if ending().wait(PATIENCE):
                told.set()

    consuming = client.subscription("billing", "orders").start(handler)
    stream = await server.consume_stream()
    await stream.subscribe()
    await stream.send(delivered(b"1"))
    assert await asyncio.to_thread(begun.wait, PATIENCE)
    stream.end()
    assert await asyncio.to_thread(told.wait, PATIENCE)
    stream = await server.consume_stream()
    await stream.subscribe()
    await stream.send(delivered(b"2"))
    assert await stream.acks(1) == ["2"]
    await asyncio.to_thread(consuming.stop)
    await stream.leave()
    assert await stream.request() is None
    stream.end()
    await asyncio.to_thread(consuming.result, PATIENCE)
    await asyncio.to_thread(client.close)


def test_ending_is_for_handlers() -> None:
    with pytest.raises(RuntimeError, match="no handler"):
        ending()
