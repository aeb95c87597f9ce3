"""Producing, while nothing is lost."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import Any

import pytest
from scripted import PATIENCE, Server, error

from messageproxy import (
    Client,
    ClosedError,
    Code,
    InvalidTypeError,
    Message,
    MessageProxyError,
    OutgoingMessage,
    ProduceTimeoutError,
    Receipt,
    UnknownOutcomeError,
    outcome_unknown,
)
from messageproxy.v1 import messageproxy_pb2 as wire


async def test_a_message_reaches_the_server_as_it_is(server: Server, client: Client) -> None:
    calls = [
        client.produce(
            topic="orders",
            key=b"",
            value=bytearray(b"a cup"),
            headers=[("twice", None), ("twice", b""), ("", b"\xff")],
            partition=7,
            timestamp=datetime(2026, 1, 1, tzinfo=timezone.utc),
        ),
        client.produce(OutgoingMessage("orders", value=memoryview(b"")), timeout=PATIENCE),
    ]
    answers = asyncio.gather(*calls)
    stream = await server.produce_stream()
    first, second = await stream.messages(2)
    assert first == wire.OutgoingMessage(
        sequence=1,
        topic="orders",
        key=b"",
        value=b"a cup",
        headers=[wire.Header(key="twice"), wire.Header(key="twice", value=b""), wire.Header(value=b"\xff")],
        partition=7,
        timestamp_ms=1767225600000,
    )
    assert second == wire.OutgoingMessage(sequence=2, topic="orders", value=b"")
    await stream.store(second, first)  # results may come in any order
    assert await answers == [Receipt("id-1", 3, 5), Receipt("id-2", 3, 5)]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "no topic"),
        ({"topic": ""}, "no topic"),
        ({"topic": "\ud800"}, "not valid Unicode"),
        ({"topic": b"orders"}, "not str"),
        ({"topic": "orders", "headers": [("\ud800", b"")]}, "header 0's key"),
        ({"topic": "orders", "headers": [("k", b"", 1)]}, "not a pair"),
        ({"topic": "orders", "headers": [("k", "text")]}, "header 0's value is str"),
        ({"topic": "orders", "headers": 5}, "its headers are int"),
        ({"topic": "orders", "timeout": 10**400}, "timeout: .* too large"),
        ({"topic": "orders", "key": "text"}, "its key is str"),
        ({"topic": "orders", "value": 5}, "its value is int"),
        ({"topic": "orders", "partition": 1 << 31}, "out of range|Value"),
        ({"topic": "orders", "partition": "1"}, "produced"),
        ({"topic": "orders", "timestamp": datetime(2026, 1, 1)}, "time zone"),
    ],
)
async def test_messages_that_cannot_be_produced_fail_at_once(
    fields: dict[str, Any], problem: str, client: Client
) -> None:
    with pytest.raises(MessageProxyError, match=problem) as caught:
        await client.produce(**fields)
    assert caught.value.code is Code.INVALID_ARGUMENT


async def test_a_value_of_a_wrong_type_is_a_type_error(client: Client) -> None:
    with pytest.raises(TypeError):
        await client.produce(topic="orders", value="text")  # type: ignore[call-overload]
    with pytest.raises(InvalidTypeError, match="either"):
        await client.produce(OutgoingMessage("orders"), topic="orders")  # type: ignore[call-overload]


async def test_a_message_may_have_so_many_bytes(server: Server) -> None:
    async with Client(server.target, max_message_bytes=20) as client:
        with pytest.raises(MessageProxyError) as caught:
            await client.produce(topic="orders", headers=[("é", b"123")])
        assert caught.value.code is Code.MESSAGE_TOO_LARGE
        call = asyncio.create_task(client.produce(topic="orders", headers=[("é", b"12")]))
        stream = await server.produce_stream()
        await stream.store(*await stream.messages(1))
        await call


async def test_errors_of_the_server_are_those_of_their_messages(server: Server, client: Client) -> None:
    calls = asyncio.gather(*[client.produce(topic="orders") for _ in range(2)], return_exceptions=True)
    stream = await server.produce_stream()
    first, second = await stream.messages(2)
    results = [
        wire.ProduceResult(sequence=99, error=error(1)),  # of no message
        wire.ProduceResult(sequence=second.sequence, error=error(6, "perhaps", retryable=True)),
        wire.ProduceResult(sequence=first.sequence, error=error(999, "new", retryable=True)),
    ]
    await stream.send(wire.ProduceResponse(results=results))
    new, unknown = await calls
    assert isinstance(new, MessageProxyError)
    assert (new.code, new.message, new.retryable) == (999, "new", True)
    assert isinstance(unknown, UnknownOutcomeError)


async def test_an_answer_of_a_newer_server_leaves_the_outcome_open(server: Server, client: Client) -> None:
    call = asyncio.create_task(client.produce(topic="orders"))
    stream = await server.produce_stream()
    (message,) = await stream.messages(1)
    result = wire.ProduceResult(sequence=message.sequence)
    result.MergeFromString(b"\xfa\x07\x03new")  # field 127
    await stream.send(wire.ProduceResponse(results=[result]))
    with pytest.raises(UnknownOutcomeError, match="of a kind"):
        await call


async def test_an_answer_that_cannot_be_decoded_ends_the_stream(server: Server, client: Client) -> None:
    call = asyncio.create_task(client.produce(topic="orders"))
    stream = await server.produce_stream()
    await stream.messages(1)
    await stream.send(b"no response")
    with pytest.raises(UnknownOutcomeError) as raised:
        await call
    assert isinstance(raised.value.__cause__, MessageProxyError)
    assert raised.value.__cause__.code is Code.INTERNAL
    again = asyncio.create_task(client.produce(topic="orders"))
    stream = await server.produce_stream()
    await stream.store(*await stream.messages(1))
    await again


async def test_what_gathers_goes_out_together_up_to_a_limit(server: Server, client: Client) -> None:
    calls = asyncio.gather(*[client.produce(topic="orders", value=bytes(100_000)) for _ in range(5)])
    stream = await server.produce_stream()
    frames = [(await stream.request()).messages for _ in range(2)]
    assert [len(frame) for frame in frames] == [3, 2]
    for frame in frames:
        await stream.store(*frame)
    await calls


async def test_a_message_waits_for_the_next_one_only_while_others_are_unanswered(
    server: Server, client: Client
) -> None:
    async def produce_later() -> None:
        await asyncio.sleep(0)
        await client.produce(topic="orders")

    first = asyncio.create_task(client.produce(topic="orders"))
    stream = await server.produce_stream()
    await stream.store(*await stream.messages(1))
    await first
    calls = asyncio.gather(client.produce(topic="orders"), produce_later())
    frames = [(await stream.request()).messages for _ in range(2)]
    assert [len(frame) for frame in frames] == [1, 1]
    more = asyncio.gather(client.produce(topic="orders"), produce_later())
    frames.append((await stream.request()).messages)
    assert len(frames[2]) == 2
    for frame in frames:
        await stream.store(*frame)
    await asyncio.gather(calls, more)


async def test_callers_wait_for_room_in_their_order(server: Server) -> None:
    async with Client(server.target, max_outstanding=(2, 10)) as client:
        futures = [asyncio.create_task(client.produce(topic="t", value=bytes(n))) for n in (4, 4, 11, 1)]
        stream = await server.produce_stream()
        first, second = await stream.messages(2)
        await stream.store(first)
        await futures[0]
        assert not futures[3].done()  # it waits behind the large one
        await stream.store(second)
        (large,) = await stream.messages(1)  # alone
        assert len(large.value) == 11
        await stream.store(large)
        await stream.store(*await stream.messages(1))
        await asyncio.gather(*futures)


async def test_produce_async_waits_for_room_only(server: Server) -> None:
    async with Client(server.target, max_outstanding=(1, 10)) as client:
        first = await client.produce_async(topic="t", value=b"1")
        waiting = asyncio.create_task(client.produce_async(topic="t", value=b"2"))
        withdrawn = asyncio.create_task(client.produce_async(topic="t", value=b"3"))
        stream = await server.produce_stream()
        message = await stream.messages(1)
        withdrawn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await withdrawn
        assert not waiting.done()
        await stream.store(*message)
        assert (await first).message_id == "id-1"
        second = await waiting
        (message_2,) = await stream.messages(1)
        assert message_2.value == b"2"
        await stream.store(message_2)
        assert (await second).message_id == "id-2"


async def test_a_caller_that_ends_before_withdraws_its_message(server: Server) -> None:
    async with Client(server.target, max_outstanding=(1, 10)) as client:
        first = asyncio.create_task(client.produce(topic="t", value=b"1"))
        cancelled = asyncio.create_task(client.produce(topic="t", value=b"2"))
        timed_out = asyncio.create_task(client.produce(topic="t", value=b"3", timeout=0.001))
        last = asyncio.create_task(client.produce(topic="t", value=b"4"))
        stream = await server.produce_stream()
        message = await stream.messages(1)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await cancelled
        assert not outcome_unknown(caught.value)
        with pytest.raises(ProduceTimeoutError):
            await timed_out
        await stream.store(*message)
        (next_message,) = await stream.messages(1)
        assert next_message.value == b"4"
        await stream.store(next_message)
        await asyncio.gather(first, last)


async def test_a_message_that_is_withdrawn_while_it_is_about_to_be_sent_makes_room(server: Server) -> None:
    async with Client(server.target, max_outstanding=(1, 10)) as client:
        first = asyncio.create_task(client.produce(topic="t"))
        stream = await server.produce_stream()
        await stream.store(*await stream.messages(1))
        await first
        withdrawn = asyncio.create_task(client.produce(topic="t", value=b"withdrawn"))
        waiting = asyncio.create_task(client.produce(topic="t", value=b"waiting"))
        await asyncio.sleep(0)  # they have begun, and the writer is next
        withdrawn.cancel()
        (message,) = await stream.messages(1)
        assert message.value == b"waiting"
        with pytest.raises(asyncio.CancelledError) as caught:
            await withdrawn
        assert not outcome_unknown(caught.value)
        await stream.store(message)
        await waiting


async def test_a_caller_that_ends_after_does_not_know_the_outcome(server: Server) -> None:
    async with Client(server.target, max_outstanding=(2, 10)) as client:
        first = asyncio.create_task(client.produce(topic="t"))
        stream = await server.produce_stream()
        await stream.store(*await stream.messages(1))
        await first  # from now on, messages go out at once
        cancelled = asyncio.create_task(client.produce(topic="t"))
        timed_out = asyncio.create_task(client.produce(topic="t", timeout=1))
        later = asyncio.create_task(client.produce(topic="t", value=b"later"))
        messages = await stream.messages(2)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await cancelled
        assert outcome_unknown(caught.value)
        with pytest.raises(UnknownOutcomeError, match="timeout"):
            await timed_out
        await stream.store(messages[0])  # only now is there room
        (message,) = await stream.messages(1)
        assert message.value == b"later"
        await stream.store(message)
        await later


async def test_the_timeout_of_asyncio_tells_too(server: Server, client: Client) -> None:
    with pytest.raises(asyncio.TimeoutError) as caught:
        await asyncio.wait_for(asyncio.create_task(_produce_until_sent(server, client)), 3)
    assert outcome_unknown(caught.value.__cause__ or caught.value.__context__)


async def _produce_until_sent(server: Server, client: Client) -> None:
    async def take() -> None:
        await (await server.produce_stream()).messages(1)

    taking = asyncio.create_task(take())
    try:
        await client.produce(topic="t")
    finally:
        await taking


async def test_flush_waits_for_what_was_taken_over_before(server: Server, client: Client) -> None:
    await client.flush()
    first = await client.produce_async(topic="t")
    flushing = asyncio.create_task(client.flush())
    stream = await server.produce_stream()
    message = await stream.messages(1)
    later = await client.produce_async(topic="t")
    later_message = await stream.messages(1)
    assert not flushing.done()
    await stream.store(*message)
    await asyncio.wait_for(flushing, PATIENCE)
    assert first.done()
    assert not later.done()
    await stream.store(*later_message)
    await later


async def test_close_fails_what_is_unanswered(server: Server) -> None:
    client = Client(server.target, max_outstanding=(1, 10))
    sent = asyncio.create_task(client.produce(topic="t"))
    waiting = asyncio.create_task(client.produce(topic="t"))
    admitted = asyncio.create_task(client.produce_async(topic="t"))
    stream = await server.produce_stream()
    await stream.messages(1)
    closing = asyncio.create_task(client.close())
    with pytest.raises(UnknownOutcomeError, match="closed"):
        await sent
    for call in (waiting, admitted):
        with pytest.raises(ClosedError):
            await call
    assert await stream.request() is None  # it half-closes
    stream.end()
    await closing
    await client.close()


async def test_calls_on_a_closed_client_fail(client: Client) -> None:
    await client.close()

    async def handler(message: Message) -> None:
        raise AssertionError("it must not come to this")

    async def loop() -> None:
        async for message in client.subscription("billing", "orders").messages():
            await handler(message)

    calls = [
        client.produce(topic="t"),
        client.produce_async(topic="t"),
        client.flush(),
        client.subscription("billing", "orders").consume(handler),
        loop(),
    ]
    for call in calls:
        with pytest.raises(ClosedError):
            await call


async def test_a_client_that_was_never_used_closes() -> None:
    await Client("localhost:1").close()


def test_a_client_belongs_to_one_loop() -> None:
    client = Client("localhost:1")
    asyncio.run(client.flush())
    with pytest.raises(RuntimeError, match="another event loop"):
        asyncio.run(client.flush())
