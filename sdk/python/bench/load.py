"""Puts a load on a server, by the SDK or by the generated stubs, and measures it, as tools/bench/LOAD.md says."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import grpc.aio

from messageproxy import Client, Message
from messageproxy.v1 import messageproxy_pb2 as wire
from messageproxy.v1.messageproxy_pb2_grpc import MessageProxyStub

ProduceCall = grpc.aio.StreamStreamCall[wire.ProduceRequest, wire.ProduceResponse]


@dataclass(frozen=True)
class Spec:
    """What to do."""

    kind: str
    target: str
    topic: str
    subscription: str
    partitions: int
    value_bytes: int
    warmup: int
    messages: int
    outstanding: int
    frame: int


class LoadError(Exception):
    """A message was lost, refused or out of order."""


class Meter:
    """Measures from the last message of the warm-up to the last message of all."""

    def __init__(self, spec: Spec) -> None:
        self.first = spec.warmup
        self.last = spec.warmup + spec.messages
        self.messages = spec.messages
        self.done = 0
        self.over = asyncio.Event()
        if self.first == 0:
            self._begin()

    def add(self) -> None:
        """Says that one more message is done."""
        self.done += 1
        if self.done == self.first:
            self._begin()
        elif self.done == self.last:
            self.seconds = time.perf_counter() - self._began
            self.over.set()

    def _begin(self) -> None:
        say({"measuring": True})
        self._began = time.perf_counter()

    def result(self) -> dict[str, float]:
        if not self.over.is_set():
            raise LoadError(f"it ended after {self.done} messages")
        return {"messages": self.messages, "seconds": self.seconds, "done": self.done}


class Order:
    """Checks that the messages of each partition come without gaps, by the number at the beginning of their values."""

    def __init__(self, spec: Spec, meter: Meter) -> None:
        self._value_bytes = spec.value_bytes
        self._next = [0] * spec.partitions
        self._meter = meter

    def see(self, partition: int, value: bytes | None) -> None:
        if value is None or len(value) != self._value_bytes or partition >= len(self._next):
            raise LoadError(f"a message of partition {partition} came that nobody produced")
        number, expected = int.from_bytes(value[:8], "big"), self._next[partition]
        if number != expected:
            raise LoadError(f"message {number} of partition {partition} came where {expected} was next")
        self._next[partition] = expected + 1
        self._meter.add()


def say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def connect(target: str) -> grpc.aio.Channel:
    """A connection with gRPC's defaults, but for the limit on what is received: the SDK has none either."""
    return grpc.aio.insecure_channel(target, options=[("grpc.max_receive_message_length", -1)])


# -------------------------------------------------------------------- produce


async def run_callers(spec: Spec, meter: Meter, produce: Callable[..., Awaitable[object]]) -> None:
    """Has callers produce all messages, each one after another."""
    value = bytes(spec.value_bytes)
    turns = iter(range(meter.last))

    async def caller() -> None:
        for _ in turns:
            await produce(value=value)
            meter.add()

    await asyncio.gather(*[caller() for _ in range(spec.outstanding)])


async def sdk_produce(spec: Spec, meter: Meter) -> None:
    async with Client(spec.target) as client:
        await run_callers(spec, meter, partial(client.produce, topic=spec.topic))


async def stream_produce(spec: Spec, meter: Meter) -> None:
    async with connect(spec.target) as channel:
        call = MessageProxyStub(channel).Produce()
        producer = StreamProducer(call, spec.frame)
        callers = asyncio.ensure_future(run_callers(spec, meter, partial(producer.produce, topic=spec.topic)))
        sender = asyncio.create_task(producer.send())
        receiver = asyncio.create_task(producer.receive())
        await asyncio.wait({callers, sender, receiver}, return_when=asyncio.FIRST_COMPLETED)
        if not callers.done():
            await asyncio.gather(sender, receiver)  # one of them has failed, or the server has ended the stream
            raise LoadError("the server ended the stream")
        await callers
        await call.done_writing()
        await receiver
        sender.cancel()


class StreamProducer:
    """Produces by the stubs."""

    def __init__(self, call: ProduceCall, frame: int) -> None:
        self._call = call
        self._frame = frame
        self._sequence = 0
        self._gathered: deque[tuple[int, str, bytes]] = deque()
        self._wake = asyncio.Event()  # something has gathered
        self._unanswered: dict[int, asyncio.Future[wire.MessageReceipt]] = {}

    async def produce(self, *, topic: str, value: bytes) -> wire.MessageReceipt:
        self._sequence += 1
        answer: asyncio.Future[wire.MessageReceipt] = asyncio.get_running_loop().create_future()
        self._unanswered[self._sequence] = answer
        self._gathered.append((self._sequence, topic, value))
        self._wake.set()
        return await answer

    async def send(self) -> None:
        while await self._wake.wait():
            self._wake.clear()
            while self._gathered:
                request = wire.ProduceRequest()
                messages = request.messages
                for _ in range(min(self._frame, len(self._gathered))):
                    sequence, topic, value = self._gathered.popleft()
                    messages.add(sequence=sequence, topic=topic, value=value)
                await self._call.write(request)

    async def receive(self) -> None:
        async for response in self._call:
            if response.HasField("terminal_error"):
                raise LoadError(f"the server says: {response.terminal_error}")
            for result in response.results:
                answer = self._unanswered.pop(result.sequence)
                if result.HasField("error"):
                    answer.set_exception(LoadError(f"a message was not stored: {result.error}"))
                else:
                    answer.set_result(result.receipt)


# -------------------------------------------------------------------- consume


async def sdk_consume(spec: Spec, meter: Meter) -> None:
    order = Order(spec, meter)

    async def handle(message: Message) -> None:
        order.see(message.partition, message.value)

    async with Client(spec.target) as client:
        await client.subscription(spec.subscription, spec.topic).consume(handle, stop=meter.over, attempts=1)


async def stream_consume(spec: Spec, meter: Meter) -> None:
    order = Order(spec, meter)

    async def handle(partition: int, message: wire.Message) -> None:
        order.see(partition, message.value)

    async with connect(spec.target) as channel:
        call = MessageProxyStub(channel).Consume()
        subscribe = wire.SubscribeRequest(subscription=spec.subscription, topics=[spec.topic])
        await call.write(wire.ConsumeRequest(subscribe=subscribe))
        async for response in call:
            if response.HasField("terminal_error"):
                raise LoadError(f"the server says: {response.terminal_error}")
            if meter.over.is_set():
                continue  # the stream is half-closed
            ids = []
            for part in response.batch.partitions:
                partition = part.partition
                for message in part.messages:
                    await handle(partition, message)
                    ids.append(message.id)
            if ids:
                request = wire.ConsumeRequest()
                request.ack.message_ids.extend(ids)
                await call.write(request)
            if meter.over.is_set():
                await call.done_writing()


LOADS: dict[str, Callable[[Spec, Meter], Coroutine[Any, Any, None]]] = {
    "sdk produce": sdk_produce,
    "sdk consume": sdk_consume,
    "stream produce": stream_produce,
    "stream consume": stream_consume,
}


async def main() -> None:
    given = json.loads(sys.argv[1])
    spec = Spec(**{field.name: given[field.name] for field in fields(Spec)})
    meter = Meter(spec)
    await LOADS[spec.kind](spec, meter)
    say(meter.result())


if __name__ == "__main__":
    asyncio.run(main())
