"""Takes messages over, has them sent on one stream at a time, and tells the callers what became of them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

from messageproxy._backoff import Backoff, wait_until
from messageproxy._errors import (
    ClosedError,
    Code,
    MessageProxyError,
    ProduceTimeoutError,
    UnknownOutcomeError,
    copied,
    ends_for_good,
    error_from_wire,
)
from messageproxy._message import Receipt, frame, receipt_from_wire
from messageproxy._options import ClientConfig
from messageproxy._room import Room
from messageproxy._stream import Stream, StreamEndedError, open_stream
from messageproxy.v1 import messageproxy_pb2 as wire

# About how much goes into one frame.
_FRAME_BYTES = 256 << 10
# How many callers are answered before they may go on. What they produce next is on its way while the others are
# answered; all at once, everything outstanding would soon go to and fro in a single frame.
_ANSWERED_TOGETHER = 200
# How often the event loop goes round before a frame is sent that has room for more. So often it takes from an answer to
# the caller's next message. But not for longer than so many seconds, where others keep the loop busy.
_GATHERING_TURNS = 2
_LONGEST_GATHERING = 0.001
# Bounds how long a closing client waits for the server to end a stream that has nothing left to say.
_CLOSE_TIMEOUT = 1.0


class _Place(Enum):
    """Where a message is."""

    WAITING = 0  # for room
    QUEUED = 1  # taken over, not on the wire
    ON_WIRE = 2  # given to a stream: it may have reached the server
    OFF_WIRE = 3  # answered, or its stream is lost: nothing will come of it any more
    DROPPED = 4  # it never was on the wire, and never will be


# A member of an Enum takes longer to look up than the rest of what is done with a message.
_WAITING: Final = _Place.WAITING
_QUEUED: Final = _Place.QUEUED
_ON_WIRE: Final = _Place.ON_WIRE
_OFF_WIRE: Final = _Place.OFF_WIRE
_DROPPED: Final = _Place.DROPPED


class Pending:
    """A message to produce, and the future of its receipt. Its producer owns all its state.

    Invariant: it counts as outstanding (room) while it is QUEUED or ON_WIRE, whenever its caller is answered.
    """

    __slots__ = ("encoded", "future", "place", "size")

    def __init__(self, encoded: bytes, size: int, future: asyncio.Future[Receipt]) -> None:
        self.encoded = encoded
        self.size = size
        self.future = future
        self.place = _WAITING


class _ProduceStream:
    """What the producer knows of its stream."""

    __slots__ = ("full", "progressed", "sequence", "unanswered")

    def __init__(self) -> None:
        self.sequence = 0
        # By sequence, and so in order.
        self.unanswered: dict[int, Pending] = {}
        self.progressed = False  # a result has come
        self.full = False  # the latest frame was: more than a frame gathers while one is sent


class Producer:
    """Owned by the event loop: nothing of it may be called from another thread.

    One task connects (`_run`); each stream has one that writes and one that reads.
    """

    def __init__(self, target: str, config: ClientConfig) -> None:
        self.max_message_bytes = config.max_message_bytes
        self.room = Room(config.outstanding_messages, config.outstanding_bytes)
        # Is called when a stream has ended for good, before there is room again, for those who wait elsewhere.
        self.on_end_for_good: Callable[[MessageProxyError], object] | None = None
        # So many messages are sent without waiting for more: the server has work while their callers are answered.
        self._enough = config.outstanding_messages // 4
        self._target = target
        self._config = config
        self._retry = Backoff(config.min_backoff, config.max_backoff)
        # What waits for room, in order, and what tells that it waits no longer, once someone wants to know.
        self._waiting: OrderedDict[Pending, asyncio.Event | None] = OrderedDict()
        # What was taken over and never given to a stream, in order.
        self._queue: dict[Pending, None] = {}
        self._wake = asyncio.Event()  # the queue has something
        self._closing = asyncio.Event()
        self._stream: _ProduceStream | None = None
        self._trouble: MessageProxyError | None = None  # why there is no stream
        self._runner: asyncio.Task[None] | None = None

    # ------------------------------------------------------------ taking over

    def take(self, encoded: bytes, size: int, future: asyncio.Future[Receipt]) -> Pending:
        """Takes a message over, or has it wait for room; `future` gets its receipt. Raises ClosedError."""
        if self._closing.is_set():
            raise ClosedError
        pending = Pending(encoded, size, future)
        if not self._waiting and self.room.take(size):
            self._enqueue(pending)
        else:
            self._waiting[pending] = None
        return pending

    async def taken_over(self, m: Pending) -> None:
        """Waits until a message is taken over. Raises why it isn't."""
        if m.place is _WAITING:
            self._waiting[m] = admitted = asyncio.Event()
            try:
                await admitted.wait()
            except asyncio.CancelledError as cancelled:
                cancelled.__cause__ = self.cancelled(m)
                raise
        if m.place is _DROPPED:
            m.future.result()

    def _admit(self) -> None:
        """Takes over what waits, as long as there is room."""
        while self._waiting:
            first = next(iter(self._waiting))
            if not self.room.take(first.size):
                return
            admitted = self._waiting.pop(first)
            self._enqueue(first)
            if admitted is not None:
                admitted.set()

    def _enqueue(self, m: Pending) -> None:
        m.place = _QUEUED
        first = not self._queue
        self._queue[m] = None  # before the task may look: an eager one begins at once
        if first:
            self._wake.set()
            if self._runner is None or self._runner.done():
                self._runner = asyncio.create_task(self._run(), name="messageproxy: producer")
                self._runner.add_done_callback(self._runner_ended)

    # -------------------------------------------------------------- answering

    def cancelled(self, m: Pending) -> BaseException | None:
        """Ends m's call because its caller was cancelled. The result is what is known of m beside that."""
        if m.future.done() and not m.future.cancelled():
            # The answer and the cancellation have met.
            return m.future.exception() or UnknownOutcomeError("the call was cancelled while the receipt came")
        m.future.cancel()
        return self._abandon(m, "the call was cancelled before the server answered")

    def withdraw(self, m: Pending) -> bool:
        """Ends m's call if m isn't on the wire, and tells whether it has."""
        if m.future.done() or m.place not in (_WAITING, _QUEUED):
            return False
        self.cancelled(m)
        return True

    def expire(self, m: Pending) -> None:
        """Ends m's call because its timeout is over."""
        if m.future.done():
            return
        error = self._abandon(m, "the timeout ended before the server answered")
        if not isinstance(error, UnknownOutcomeError):
            timeout = ProduceTimeoutError()
            timeout.__cause__ = error
            error = timeout
        m.future.set_exception(error)

    def _abandon(self, m: Pending, why: str) -> Exception | None:
        """Gives m up, whose caller has ended the call.

        If it was never on the wire it is withdrawn, and the result is why there is no connection, if there is none.
        Otherwise its place stays taken until the server answers or the stream ends.
        """
        place = m.place
        if place is _DROPPED:
            return None
        if place is _WAITING:
            del self._waiting[m]
        elif place is _QUEUED:
            del self._queue[m]
            self.room.give(1, m.size)
        else:
            return UnknownOutcomeError(why)
        m.place = _DROPPED
        self._admit()  # m may have been too large where the next ones fit
        return self.trouble()

    def trouble(self) -> MessageProxyError | None:
        """Why there is no connection, if there is none. May be called from any thread."""
        trouble = self._trouble
        return copied(trouble) if trouble else None

    def _fail_unsent(self, error: MessageProxyError | None) -> None:
        """Fails what was never on the wire, with `error`, or because the client is closed."""
        queue, self._queue = self._queue, {}
        waiting, self._waiting = self._waiting, OrderedDict()
        for m in queue:
            self.room.give(1, m.size)
        for m in (*queue, *waiting):
            m.place = _DROPPED
            if not m.future.done():
                m.future.set_exception(copied(error) if error else ClosedError())
        for admitted in waiting.values():
            if admitted is not None:
                admitted.set()

    # ----------------------------------------------------------------- streams

    async def _run(self) -> None:
        """Has a stream open from when there is something to send until it is lost, and again."""
        while await self._wait_for_work():
            reason = await self._run_stream()
            if self._closing.is_set():
                return
            self._config.logger.warning("can't produce; connecting again: %s", reason)
            await wait_until(self._closing, self._retry.next())

    def _runner_ended(self, task: asyncio.Task[None]) -> None:
        """Fails what nobody sends any more, if the task was cancelled by others and not replaced yet."""
        if self._runner is task and not self._closing.is_set():
            self._fail_unsent(MessageProxyError(Code.INTERNAL, "the task that sends messages was cancelled"))

    async def _wait_for_work(self) -> bool:
        while not self._queue and not self._closing.is_set():
            self._wake.clear()
            await self._wake.wait()
        return not self._closing.is_set()

    async def _run_stream(self) -> MessageProxyError:
        """Opens a stream and serves it until it ends; the result is why."""
        try:
            stream = await open_stream(self._target, self._config, "Produce", None, wire.ProduceResponse.FromString)
        except Exception as e:
            # Such as a target that gRPC can't parse. Waiting for a connection has no end but the caller's.
            reason = e.reason if isinstance(e, StreamEndedError) else _unexpected(e)
            self._note_trouble(reason)
            return reason
        self._stream = s = _ProduceStream()
        self._trouble = None
        # Not by this task, which may be cancelled: that would look like the end of the stream to whoever reads.
        reader = asyncio.create_task(self._receive(stream, s), name="messageproxy: producer's reader")
        writer = asyncio.create_task(self._write(stream, s), name="messageproxy: producer's writer")
        end = None
        try:
            await asyncio.wait({reader})
            end = reader.result()
        finally:
            stream.cancel()
            writer.cancel()
            self._detach(s, end)
            await asyncio.wait({reader, writer})
            await stream.close()
        return end

    async def _write(self, stream: Stream[wire.ProduceResponse], s: _ProduceStream) -> None:
        """Sends what gathers in the queue until the stream ends or the producer is closed."""
        try:
            while not self._closing.is_set():
                if not self._queue:
                    self._wake.clear()
                    # Whoever else is about to produce goes first, and shares the frame.
                    await self._wake.wait()
                    continue
                await self._let_gather(s)
                messages = self._fill_frame(s)
                if messages and not await stream.write(messages):
                    return
            await stream.half_close()
        except BaseException:
            stream.cancel()
            raise

    async def _let_gather(self, s: _ProduceStream) -> None:
        """Lets callers who are about to produce go first, and share the frame, which costs more than most messages. A
        message alone goes out at once, and so does what is more than a frame."""
        loop = asyncio.get_running_loop()
        latest = loop.time() + _LONGEST_GATHERING
        for _ in range(_GATHERING_TURNS):
            if not s.unanswered or s.full or len(self._queue) >= self._enough or loop.time() >= latest:
                return
            await asyncio.sleep(0)

    def _fill_frame(self, s: _ProduceStream) -> bytes:
        """Takes from the queue what has gathered, up to a frame's size, and puts it on the wire."""
        unanswered, sequence = s.unanswered, s.sequence
        taken: list[Pending] = []
        messages: list[bytes] = []
        size = 0
        for m in self._queue:
            taken.append(m)
            if m.future.done():  # cancelled just now; its caller doesn't know yet
                m.place = _DROPPED
                self.room.give(1, m.size)
                continue
            m.place = _ON_WIRE
            sequence += 1
            unanswered[sequence] = m
            encoded = m.encoded
            messages.append(encoded)
            size += len(encoded)
            if size >= _FRAME_BYTES:
                break
        first, s.sequence, s.full = s.sequence + 1, sequence, size >= _FRAME_BYTES
        if len(taken) == len(self._queue):
            self._queue.clear()
        else:
            for m in taken:
                del self._queue[m]
        if len(messages) < len(taken):
            self._admit()
        return frame(messages, first)

    async def _receive(self, stream: Stream[wire.ProduceResponse], s: _ProduceStream) -> MessageProxyError:
        """Takes results until the stream ends; the result is why."""
        terminal: MessageProxyError | None = None
        while True:
            try:
                response = await stream.read()
            except StreamEndedError as e:
                return terminal or e.reason
            except Exception as e:
                return terminal or _unexpected(e)
            results = response.results
            for start in range(0, len(results), _ANSWERED_TOGETHER):
                if start > 0:
                    await asyncio.sleep(0)
                self._take_results(s, results[start : start + _ANSWERED_TOGETHER])
            if response.HasField("terminal_error"):
                terminal = error_from_wire(response.terminal_error)

    def _take_results(self, s: _ProduceStream, results: Sequence[wire.ProduceResult]) -> None:
        unanswered = s.unanswered
        messages = size = 0
        for result in results:
            m = unanswered.pop(result.sequence, None)
            if m is None:
                continue
            messages += 1
            size += m.size
            m.place = _OFF_WIRE
            future = m.future
            if future.done():
                continue
            if result.HasField("receipt"):
                future.set_result(receipt_from_wire(result.receipt))
            elif result.HasField("error"):
                future.set_exception(error_from_wire(result.error))
            else:  # of a newer server
                future.set_exception(
                    UnknownOutcomeError("the server's answer is of a kind that this version doesn't know")
                )
        if messages:
            s.progressed = True
            self.room.give(messages, size)
            self._admit()

    def _detach(self, s: _ProduceStream, reason: MessageProxyError | None) -> None:
        """Decides what becomes of the messages that a stream leaves unanswered, and of those that were never sent.

        After SHUTTING_DOWN they were certainly not stored, and go out again, in order and before all others; otherwise
        nobody knows. Without a reason, the event loop is ending.
        """
        self._stream = None
        if s.progressed:
            self._retry.reset()
        if reason is not None:
            self._note_trouble(reason)
        unanswered, s.unanswered = list(s.unanswered.values()), {}
        not_stored = reason is not None and reason.code == Code.SHUTTING_DOWN and not self._closing.is_set()
        again: list[Pending] = []
        for m in unanswered:
            if not_stored and not m.future.done():
                m.place = _QUEUED
                again.append(m)
                continue
            m.place = _OFF_WIRE
            self.room.give(1, m.size)
            _lose(m, "the stream was lost before the server answered", reason)
        if again:
            self._queue = dict.fromkeys((*again, *self._queue))
        self._admit()

    def _note_trouble(self, reason: MessageProxyError) -> None:
        """Notes why there is no stream. What trying again won't help fails everything that was never on the wire."""
        self._trouble = reason
        if ends_for_good(reason):
            if self.on_end_for_good is not None:
                self.on_end_for_good(reason)
            self._fail_unsent(reason)

    # -------------------------------------------------------------- flush, close

    async def flush(self) -> None:
        """Waits until everything that was taken over before is answered. Raises ClosedError."""
        if self._closing.is_set():
            raise ClosedError
        on_wire = self._stream.unanswered.values() if self._stream else ()
        unanswered = [m.future for m in (*on_wire, *self._queue) if not m.future.done()]
        if unanswered:
            await asyncio.wait(unanswered)

    async def close(self) -> None:
        """Answers what is unanswered, now, and returns when the tasks have ended. May be called twice."""
        self.begin_close()
        runner = self._runner
        if runner is None:
            return
        try:
            if self._stream is not None:
                await asyncio.wait({runner}, timeout=_CLOSE_TIMEOUT)
        finally:
            runner.cancel()
        await asyncio.wait({runner})

    def begin_close(self) -> None:
        """Answers what is unanswered, now."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._wake.set()
        self._fail_unsent(None)
        for m in list(self._stream.unanswered.values()) if self._stream else ():
            _lose(m, "the client was closed before the server answered", ClosedError())


def _lose(m: Pending, why: str, cause: Exception | None) -> None:
    """Fails m, which may be stored, unless its caller was answered before."""
    if not m.future.done():
        error = UnknownOutcomeError(why)
        error.__cause__ = cause
        m.future.set_exception(error)


def _unexpected(error: Exception) -> MessageProxyError:
    internal = MessageProxyError(Code.INTERNAL, "the stream failed", retryable=True)
    internal.__cause__ = error
    return internal
