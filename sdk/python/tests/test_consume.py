"""Consuming: delivery, order, concurrency, events and streams that are lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from scripted import PATIENCE, Server, Stream, delivered, error

from messageproxy import (
    Client,
    Code,
    Event,
    EventKind,
    Message,
    MessageProxyError,
    StartPosition,
    TopicPartition,
)
from messageproxy.v1 import messageproxy_pb2 as wire


class Handlers:
    """Handlers that end when the test says so."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.running: dict[str, asyncio.Future[None]] = {}
        self.cancelled: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, message: Message) -> None:
        name = message.id
        self.running[name] = end = asyncio.get_running_loop().create_future()
        self.begun.put_nowait(name)
        try:
            await end
        except asyncio.CancelledError:
            self.cancelled.put_nowait(name)
            raise
        finally:
            del self.running[name]

    async def begin(self, *names: str) -> None:
        """Waits until exactly these have begun, in any order."""
        begun = [await asyncio.wait_for(self.begun.get(), PATIENCE) for _ in names]
        assert sorted(begun) == sorted(names)
        assert self.begun.empty()

    def end(self, *names: str) -> None:
        for name in names:
            self.running[name].set_result(None)


@asynccontextmanager
async def consuming(
    client: Client, handler: Callable[[Message], Any], *, topics: tuple[str, ...] = ("orders",), **options: Any
) -> AsyncIterator[asyncio.Task[None]]:
    """Consumes until the end of the block, and then leaves at once."""
    task = asyncio.create_task(client.subscription("billing", *topics).consume(handler, **options))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})


async def ignore(message: Message) -> None:
    """A handler that never waits."""


async def test_the_request_has_what_the_options_say(server: Server, client: Client) -> None:
    async with consuming(client, Handlers(), topics=("a", "b")):
        stream = await server.consume_stream()
        assert (await stream.request()).subscribe == wire.SubscribeRequest(
            subscription="billing",
            topics=["a", "b"],
            start_position=wire.START_POSITION_EARLIEST,
            client_name="tester",
        )
    async with consuming(client, Handlers(), max_unacked=5, ack_timeout=1.5, start=StartPosition.LATEST):
        request = (await (await server.consume_stream()).request()).subscribe
        assert request.start_position == wire.START_POSITION_LATEST
        assert request.max_unacked_messages == 5
        assert request.ack_timeout.ToMilliseconds() == 1500


async def test_a_message_is_as_the_server_sent_it(server: Server, client: Client) -> None:
    received: asyncio.Queue[Message] = asyncio.Queue()

    async def handler(message: Message) -> None:
        received.put_nowait(message)
        message.id = "changed"

    async with consuming(client, handler):
        stream = await server.consume_stream()
        await stream.subscribe()
        sent = wire.Message(
            id="id",
            key=b"",
            headers=[wire.Header(key="h"), wire.Header(key="h", value=b"")],
            timestamp_ms=-(1 << 62),
            delivery_attempt=3,
        )
        part = wire.PartitionMessages(topic="orders", partition=4, messages=[sent])
        await stream.send(wire.ConsumeResponse(batch=wire.MessageBatch(partitions=[part])))
        message = await received.get()
        assert await stream.acks(1) == ["id"]  # whatever the handler does to its message
        message.id = "id"
        assert message == Message("orders", 4, b"", None, (("h", None), ("h", b"")), -(1 << 62), "id", 3)


async def test_partitions_are_handled_at_the_same_time_each_in_order(server: Server, client: Client) -> None:
    handlers = Handlers()
    async with consuming(client, handlers):
        stream = await server.consume_stream()
        await stream.subscribe()
        await stream.send(delivered(b"a1", b"a2", partition=0))
        await stream.send(delivered(b"b1", b"b2", partition=1))
        await handlers.begin("a1", "b1")
        handlers.end("b1")
        await handlers.begin("b2")
        assert await stream.acks(1) == ["b1"]
        handlers.end("a1", "b2")
        await handlers.begin("a2")
        assert sorted(await stream.acks(2)) == ["a1", "b2"]


async def test_max_handlers_bounds_how_many_run(server: Server, client: Client) -> None:
    handlers = Handlers()
    async with consuming(client, handlers, max_handlers=2):
        stream = await server.consume_stream()
        await stream.subscribe()
        for partition in range(3):
            await stream.send(delivered(b"%d" % partition, partition=partition))
        await handlers.begin("0", "1")
        handlers.end("0")
        await handlers.begin("2")


async def test_partitions_take_turns_where_handlers_are_few(server: Server, client: Client) -> None:
    handlers = Handlers()
    async with consuming(client, handlers, max_handlers=1):
        stream = await server.consume_stream()
        await stream.subscribe()
        both = delivered(b"a1", b"a2", partition=0)
        both.batch.partitions.extend(delivered(b"b1", b"b2", partition=1).batch.partitions)
        await stream.send(both)
        for name in ("a1", "b1", "a2", "b2"):
            await handlers.begin(name)
            handlers.end(name)
        assert sorted(await stream.acks(4)) == ["a1", "a2", "b1", "b2"]


async def test_acks_of_handlers_that_never_wait_are_sent(server: Server, client: Client) -> None:
    async with consuming(client, ignore):
        stream = await server.consume_stream()
        await stream.subscribe()
        ids = [b"%d" % n for n in range(3000)]
        for start in range(0, 3000, 10):
            await stream.send(delivered(*ids[start : start + 10], partition=start % 7))
        assert sorted(await stream.acks(3000)) == sorted(m.decode() for m in ids)


async def test_acks_are_sent_before_everything_is_handled(server: Server, client: Client) -> None:
    async with consuming(client, ignore):
        stream = await server.consume_stream()
        await stream.subscribe()
        await stream.send(delivered(*[b"%d" % n for n in range(1000)]))
        first = (await stream.request()).ack.message_ids
        assert len(first) <= 500  # half of what it may have
        assert [*first, *await stream.acks(1000 - len(first))] == [str(n) for n in range(1000)]


async def test_key_workers_keep_the_order_of_keys(server: Server, client: Client) -> None:
    handlers = Handlers()
    async with consuming(client, handlers, key_workers=2):
        stream = await server.consume_stream()
        await stream.subscribe()
        await stream.send(delivered(b"k1", b"k2", key=b"k"))
        await handlers.begin("k1")
        await stream.send(delivered(b"none1", b"none2"))  # without a key: one for each worker
        handlers.end("k1")
        first, second = await handlers.begun.get(), await handlers.begun.get()
        assert "k2" in (first, second)
        assert {first, second} & {"none1", "none2"}


async def test_what_is_not_known_is_ignored(server: Server, client: Client) -> None:
    handlers = Handlers()
    async with consuming(client, handlers):
        stream = await server.consume_stream()
        await stream.subscribe()
        newer = wire.ConsumeResponse()
        newer.MergeFromString(b"\xfa\x07\x03new")  # field 127
        await stream.send(newer)
        await stream.send(delivered(b"1"))
        await handlers.begin("1")


async def test_a_response_that_cannot_be_decoded_ends_the_stream(server: Server, client: Client) -> None:
    handlers, events = Handlers(), asyncio.Queue[Event]()
    async with consuming(client, handlers, observer=events.put_nowait):
        stream = await server.consume_stream()
        await stream.subscribe()
        await stream.send(b"no response")
        while (event := await events.get()).kind is not EventKind.DISCONNECTED:
            pass
        assert event.error is not None
        assert (event.error.code, event.error.message) == (Code.INTERNAL, "a response can't be decoded")
        stream = await server.consume_stream()
        await stream.subscribe()
        await stream.send(delivered(b"a"))
        await handlers.begin("a")


async def test_events_are_told(server: Server, client: Client) -> None:
    events: asyncio.Queue[Event] = asyncio.Queue()

    def observe(event: Event) -> None:
        events.put_nowait(event)
        raise ValueError("an observer's trouble is its own")

    async with consuming(client, Handlers(), observer=observe):
        stream = await server.consume_stream()
        await stream.subscribe(ack_timeout=2.5)
        partition = wire.TopicPartition(topic="orders", partition=1)
        withdrawn = wire.Withdrawn(partitions=[partition])
        withdrawn.time_left.FromMilliseconds(1500)
        for response in (
            wire.ConsumeResponse(assignment=wire.Assignment(partitions=[partition])),
            wire.ConsumeResponse(withdrawn=withdrawn),
            wire.ConsumeResponse(error=error(7, "trouble", retryable=True)),
            wire.ConsumeResponse(recovered=wire.Recovered(code=wire.ERROR_CODE_CONSUME_FAILED)),
            wire.ConsumeResponse(notice=error(9, "late")),
        ):
            await stream.send(response)
        stream.end(grpc.StatusCode.UNAVAILABLE, "lost")
        told = [await asyncio.wait_for(events.get(), PATIENCE) for _ in range(7)]
        await (await server.consume_stream()).subscribe()
        again = await asyncio.wait_for(events.get(), PATIENCE)
    names = (TopicPartition("orders", 1),)
    assert [event.kind for event in told] == list(EventKind)
    assert (told[0].max_unacked, told[0].ack_timeout) == (1000, 2.5)
    assert told[1].partitions == told[2].partitions == names
    assert told[2].time_left == 1.5
    assert [event.error.code for event in told if event.error] == [
        Code.CONSUME_FAILED,
        Code.CONSUME_FAILED,
        Code.NOT_HELD,
        Code.BROKER_UNAVAILABLE,
    ]
    assert again.kind is EventKind.CONNECTED


@pytest.mark.parametrize("code", [Code.TOPIC_NOT_FOUND, Code.SUBSCRIPTION_CONFLICT, Code(999)])
async def test_an_error_that_ends_it_for_good_is_raised(code: Code, server: Server, client: Client) -> None:
    async with consuming(client, Handlers()) as task:
        stream = await server.consume_stream()
        await stream.send(wire.ConsumeResponse(terminal_error=error(code, "no")))
        stream.end(grpc.StatusCode.UNAVAILABLE)
        with pytest.raises(MessageProxyError, match="no") as caught:
            await task
        assert caught.value.code == code


async def test_a_lost_stream_drops_what_has_not_begun_and_cancels_what_has(server: Server, client: Client) -> None:
    handlers = Handlers()
    async with consuming(client, handlers):
        stream = await server.consume_stream()
        await stream.subscribe()
        await stream.send(delivered(b"1", b"2"))
        await handlers.begin("1")
        stream.end(grpc.StatusCode.UNAVAILABLE)
        assert await handlers.cancelled.get() == "1"
        stream = await server.consume_stream()
        await stream.subscribe()
        await stream.send(delivered(b"3"))
        await handlers.begin("3")
        handlers.end("3")
        assert await stream.acks(1) == ["3"]


async def test_a_handler_that_ignores_its_cancellation_holds_its_partition_up(server: Server, client: Client) -> None:
    told, release = asyncio.Event(), asyncio.Event()
    handled: list[str] = []

    async def handler(message: Message) -> None:
        handled.append(message.id)
        if message.id == "stubborn":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                told.set()
            await release.wait()
            handled.append("its end")

    async with consuming(client, handler):
        stream = await server.consume_stream()
        await stream.subscribe()
        await stream.send(delivered(b"stubborn"))
        await stream.send(delivered(b"other", partition=1))
        assert await stream.acks(1) == ["other"]
        stream.end(grpc.StatusCode.UNAVAILABLE)
        await asyncio.wait_for(told.wait(), PATIENCE)
        stream = await server.consume_stream()
        await stream.subscribe()
        await stream.send(delivered(b"next"))
        await stream.send(delivered(b"another", partition=1))
        assert await stream.acks(1) == ["another"]
        release.set()
        assert await stream.acks(1) == ["next"]  # and not the stubborn one's, which came on another stream
    assert handled == ["stubborn", "other", "another", "its end", "next"]


async def withdraw(stream: Stream, time_left: float) -> None:
    withdrawn = wire.Withdrawn(partitions=[wire.TopicPartition(topic="orders")])
    withdrawn.time_left.FromMicroseconds(round(time_left * 1e6))
    await stream.send(wire.ConsumeResponse(withdrawn=withdrawn))


async def test_acks_of_a_withdrawn_partition_count_for_the_time_left(server: Server, client: Client) -> None:
    handlers = Handlers()
    async with consuming(client, handlers):
        stream = await server.consume_stream()
        await stream.subscribe()
        await stream.send(delivered(b"1", b"2"))
        await handlers.begin("1")
        await withdraw(stream, 60)
        await stream.send(delivered(b"other", partition=1))
        await handlers.begin("other")
        handlers.end("1")
        assert await stream.acks(1) == ["1"]
        assert handlers.begun.empty()  # "2" was dropped


@pytest.mark.parametrize("time_left", [0, 0.01])
async def test_after_that_handlers_are_cancelled(time_left: float, server: Server, client: Client) -> None:
    handlers = Handlers()
    async with consuming(client, handlers):
        stream = await server.consume_stream()
        await stream.subscribe()
        await stream.send(delivered(b"1"))
        await handlers.begin("1")
        await withdraw(stream, time_left)
        assert await asyncio.wait_for(handlers.cancelled.get(), PATIENCE) == "1"
        await stream.send(delivered(b"2"))  # it has come back
        await handlers.begin("2")
        handlers.end("2")
        assert await stream.acks(1) == ["2"]
