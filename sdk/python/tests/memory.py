"""A proxy in memory, for programs that just produce and consume: one partition a topic, one client a subscription."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager

from scripted import PATIENCE, Server, Stream

from messageproxy.v1 import messageproxy_pb2 as wire


class Memory:
    """Serves a `Server`'s streams. Owned by the event loop."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.loop = asyncio.get_running_loop()
        self.topics: dict[str, list[wire.OutgoingMessage]] = defaultdict(list)
        self.acked: dict[str, list[str]] = defaultdict(list)  # by subscription
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Serves streams until it is cancelled."""
        await asyncio.gather(
            self._serve_all(self.server.next_produce, self._produce),
            self._serve_all(self.server.next_consume, self._consume),
        )

    async def _serve_all(
        self, next_stream: Callable[[], Awaitable[Stream]], serve: Callable[[Stream], Coroutine[None, None, None]]
    ) -> None:
        while True:
            serving = asyncio.create_task(serve(await next_stream()))
            self._tasks.add(serving)
            serving.add_done_callback(self._tasks.discard)

    async def wait_acked(self, subscription: str, count: int) -> None:
        """Waits until members of a subscription have ACKed so many messages."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(lambda: len(self.acked[subscription]) >= count), PATIENCE)

    async def _produce(self, stream: Stream) -> None:
        while (request := await stream.request(patience=None)) is not None:
            async with self._changed:
                for message in request.messages:
                    self.topics[message.topic].append(message)
                self._changed.notify_all()
            await stream.store(*request.messages)
        stream.end()

    async def _consume(self, stream: Stream) -> None:
        subscribe = await stream.subscribe()
        delivering = asyncio.create_task(self._deliver(stream, subscribe.topics[0]))
        while (request := await stream.request(patience=None)) is not None:
            async with self._changed:
                self.acked[subscribe.subscription].extend(request.ack.message_ids)
                self._changed.notify_all()
        delivering.cancel()
        stream.end()

    async def _deliver(self, stream: Stream, topic: str) -> None:
        delivered = 0
        while True:
            async with self._changed:
                while len(self.topics[topic]) == delivered:
                    await self._changed.wait()
            new = self.topics[topic][delivered:]
            messages = [
                wire.Message(
                    id=f"{topic}/{delivered + i}", key=m.key, value=m.value, timestamp_ms=1, delivery_attempt=1
                )
                for i, m in enumerate(new)
            ]
            delivered += len(new)
            part = wire.PartitionMessages(topic=topic, messages=messages)
            await stream.send(wire.ConsumeResponse(batch=wire.MessageBatch(partitions=[part])))


@contextmanager
def proxy_in_thread(port: int = 0) -> Iterator[Memory]:
    """A proxy in memory with an event loop in a thread of its own, for clients that block the test's."""
    started = threading.Event()
    memory: Memory | None = None
    serving: asyncio.Task[None] | None = None

    async def run() -> None:
        nonlocal memory, serving
        server = Server()
        server.port = port
        async with server:
            memory = Memory(server)
            serving = asyncio.create_task(memory.serve())
            started.set()
            await asyncio.wait({serving})

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert started.wait(PATIENCE)
    assert memory is not None
    assert serving is not None
    try:
        yield memory
    finally:
        memory.loop.call_soon_threadsafe(serving.cancel)
        thread.join()
