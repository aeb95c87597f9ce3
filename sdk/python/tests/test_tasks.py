"""Tasks that begin at once, and tasks that others cancel."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading

import pytest
from memory import proxy_in_thread
from scripted import PATIENCE, Server, delivered
from test_consume import consuming
from test_consume_end import finish, leave

from messageproxy import Client, Code, HandlerError, Message, MessageProxyError, UnknownOutcomeError, outcome_unknown


def test_tasks_may_begin_at_once() -> None:
    if sys.version_info < (3, 12):
        pytest.skip("there are no eager tasks")
    handled: list[str] = []

    async def run(target: str) -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        stop = asyncio.Event()

        async def handler(message: Message) -> None:
            handled.append(message.id)
            if len(handled) == 1:
                raise asyncio.CancelledError  # of something that it awaited
            stop.set()

        async with Client(target) as client:
            for _ in range(2):
                await client.produce(topic="orders", timeout=PATIENCE)
            consume = client.subscription("billing", "orders").consume(handler, stop=stop, retry_backoff=(0, 0))
            await asyncio.wait_for(consume, PATIENCE)

    with proxy_in_thread() as memory:
        asyncio.run(run(memory.server.target))
    assert handled[:2] == ["orders/0", "orders/0"]


def test_a_loop_ends_whose_client_was_not_closed() -> None:
    async def run(target: str) -> None:
        await Client(target).produce(topic="orders", timeout=PATIENCE)

    with proxy_in_thread() as memory:
        running = threading.Thread(target=asyncio.run, args=(run(memory.server.target),), daemon=True)
        running.start()
        running.join(PATIENCE)
        assert not running.is_alive()


def named(name: str) -> set[asyncio.Task[object]]:
    """The tasks with a name."""
    tasks = {task for task in asyncio.all_tasks() if task.get_name() == name}
    assert tasks
    return tasks


async def cancel_producer() -> None:
    """Cancels the task that sends messages, as programs do that cancel all tasks, and waits for its end."""
    tasks = named("messageproxy: producer")
    for task in tasks:
        task.cancel()
    await asyncio.wait_for(asyncio.wait(tasks), PATIENCE)


async def test_a_producer_that_is_cancelled_begins_again(server: Server, client: Client) -> None:
    call = asyncio.create_task(client.produce(topic="t"))
    await (await server.produce_stream()).messages(1)
    await cancel_producer()
    with pytest.raises(UnknownOutcomeError):
        await call
    later = asyncio.create_task(client.produce(topic="t"))
    stream = await server.produce_stream()
    await stream.store(*await stream.messages(1))
    await later


async def test_what_a_producer_that_is_cancelled_had_not_sent_fails(server: Server) -> None:
    await server.stop()
    async with Client(server.target, max_outstanding=(1, 10)) as client:
        calls = [asyncio.create_task(client.produce(topic="t")) for _ in range(2)]  # one waits for room
        await asyncio.sleep(0)
        await cancel_producer()
        for call in calls:
            with pytest.raises(MessageProxyError, match="cancelled") as caught:
                await asyncio.wait_for(call, PATIENCE)
            assert not outcome_unknown(caught.value)
        await client.flush()


def cancel_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


async def test_a_handler_that_is_cancelled_stops_consume(server: Server, client: Client) -> None:
    async def handler(message: Message) -> None:
        cancel_itself()
        await asyncio.sleep(0)

    async with consuming(client, handler, attempts=1) as task:
        stream = await server.consume_stream()
        await stream.subscribe()
        await stream.send(delivered(b"1", b"2"))
        await leave(stream)
        with pytest.raises(HandlerError, match="1 times with message 1 of orders/0: CancelledError") as caught:
            await task
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)


async def test_a_cancellation_that_a_handler_has_swallowed_is_forgotten(server: Server, client: Client) -> None:
    attempts: list[str] = []

    async def handler(message: Message) -> None:
        attempts.append(message.id)
        if attempts in (["1"], ["1", "2"]):
            cancel_itself()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        if message.id == "2" and attempts.count("2") == 1:
            raise ValueError("for once")
        if message.id == "2" and attempts.count("2") == 2:
            raise asyncio.CancelledError  # of something that it awaited

    async with consuming(client, handler, retry_backoff=(0, 0)):
        stream = await server.consume_stream()
        await stream.subscribe()
        await stream.send(delivered(b"1", b"2"))
        assert await stream.acks(2) == ["1", "2"]
    assert attempts == ["1", "2", "2", "2"]


async def test_messages_do_not_wait_for_a_task_that_is_cancelled(server: Server, client: Client) -> None:
    leaving = asyncio.Event()

    async def handler(message: Message) -> None:
        for task in named("messageproxy: handlers"):
            if task is not asyncio.current_task():
                task.cancel()  # that of the other partition, before it has begun
        await leaving.wait()

    async with consuming(client, handler) as task:
        stream = await server.consume_stream()
        await stream.subscribe()
        both = delivered(b"a", partition=0)
        both.batch.partitions.extend(delivered(b"b", partition=1).batch.partitions)
        await stream.send(both)
        await stream.leave()
        leaving.set()
        assert await stream.acks(1) == ["a"]
        await finish(stream)
        with pytest.raises(MessageProxyError, match="cancelled") as caught:
            await task
        assert caught.value.code is Code.INTERNAL


async def test_consume_does_not_end_as_if_it_was_cancelled(server: Server, client: Client) -> None:
    async def handler(message: Message) -> None:
        raise ValueError("always")

    async def failure_handler(message: Message, error: BaseException) -> None:
        raise asyncio.CancelledError  # of something that it awaited

    async with consuming(client, handler, attempts=1, failure_handler=failure_handler) as task:
        stream = await server.consume_stream()
        await stream.subscribe()
        await stream.send(delivered(b"1"))
        await leave(stream)
        with pytest.raises(HandlerError) as caught:
            await task
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
