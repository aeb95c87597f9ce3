"""The messages of a subscription, for `async for`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType

from messageproxy._handling import NotHandled
from messageproxy._message import Message
from messageproxy._options import Handler


class Messages:
    """The messages of a subscription, one at a time. Made by `Subscription.messages`.

        async with subscription.messages() as messages:
            async for message in messages:
                ...

    A message is ACKed when the loop asks for the next one. If the loop ends before that, by break or an error, it is
    not ACKed and so delivered again. At the end of the `async with` block the subscription is left in good order;
    without `async with`, that happens in the background after the loop has ended.

    The loop ends when the event `stop` is set; it raises what `Subscription.consume` does otherwise. What a loop does
    with a message is never cancelled: if its stream is lost meanwhile, it just isn't ACKed. It can be iterated over
    once.
    """

    def __init__(
        self, consume: Callable[[Handler, asyncio.Event], asyncio.Task[None]], stop: asyncio.Event | None
    ) -> None:
        self._consume = consume
        self._stop = stop
        self._stopping = asyncio.Event()  # has consume leave
        self._changed = asyncio.Event()  # for the loop that waits: a message, consume's end, or stop
        self._offered: Message | None = None
        self._finished: asyncio.Future[bool] | None = None  # of the latest message: whether the loop is done with it
        self._task: asyncio.Task[None] | None = None
        self._iterated = False

    async def __aenter__(self) -> Messages:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close()

    def __aiter__(self) -> AsyncIterator[Message]:
        if self._iterated:
            raise RuntimeError("messages can be iterated over once")
        self._iterated = True
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[Message]:
        # A generator, because asyncio closes one that was left before its end.
        self._task = task = self._consume(self._handle, self._stopping)
        task.add_done_callback(lambda _: self._changed.set())
        watcher = asyncio.create_task(self._watch(self._stop)) if self._stop is not None else None
        try:
            while (message := await self._next(task)) is not None:
                yield message
                self._finish(done=True)
        finally:
            if watcher is not None:
                watcher.cancel()
            await self._close()

    async def _watch(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._changed.set()

    async def _next(self, task: asyncio.Task[None]) -> Message | None:
        """The next message; None when asked to stop. Raises why consume has ended."""
        while True:
            if self._stopping.is_set() or (self._stop is not None and self._stop.is_set()):
                return None
            if self._offered is not None:
                message, self._offered = self._offered, None
                return message
            if task.done():
                task.result()
                return None
            self._changed.clear()
            await self._changed.wait()

    async def _handle(self, message: Message) -> None:
        """The handler of the subscription: gives the message to the loop, and waits until that is done with it."""
        if self._stopping.is_set():
            raise NotHandled
        self._finished = finished = asyncio.get_running_loop().create_future()
        self._offered = message
        self._changed.set()
        told = False
        while not finished.done():
            try:
                await asyncio.wait({finished})
            except asyncio.CancelledError:
                if self._offered is message:  # it hasn't begun
                    self._offered = None
                    raise
                # The loop goes on with what it has, and the next message waits for it.
                told = True
        if told or not finished.result():
            raise NotHandled

    def _finish(self, *, done: bool) -> None:
        if self._finished is not None and not self._finished.done():
            self._finished.set_result(done)

    async def _close(self) -> None:
        """Leaves the subscription in good order; may be called twice."""
        self._stopping.set()
        self._finish(done=False)
        task = self._task
        if task is None:
            return
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            raise
        if not task.cancelled():
            task.exception()  # the loop has raised it, or was left before it could
