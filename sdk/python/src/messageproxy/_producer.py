"""Takes messages over, has them sent on one stream at a time, and tells the callers what became of them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
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
from messageproxy._message import OutgoingMessage, Receipt, encode, frame_part
from messageproxy._options import ClientConfig
from messageproxy._room import Room
from messageproxy._stream import Stream, StreamEndedError, open_stream
from messageproxy.v1 import messageproxy_pb2 as wire

# About how much goes into one frame.
_FRAME_BYTES = 256 << 10
# Bounds how long a closing client waits for the server to end a stream that has nothing left to say.
_CLOSE_TIMEOUT = 1.0


class _Place(Enum):
    """Where a message is."""

    WAITING = 0  # for room
    QUEUED = 1  # taken over, not on the wire
    ON_WIRE = 2  # given to a stream: it may have reached the server
    OFF = 3  # nothing will come of it any more from any stream


# A member of an Enum takes longer to look up than the rest of what is done with a message.
_WAITING: Final = _Place.WAITING
_QUEUED: Final = _Place.QUEUED
_ON_WIRE: Final = _Place.ON_WIRE
_OFF: Final = _Place.OFF


class Pending:
    """A message to produce, and the future of its receipt. Its producer owns all its state.

    Invariant: it counts as outstanding (room) from QUEUED until it is OFF, whenever its caller is answered.
    """

    __slots__ = ("admitted", "encoded", "ended", "flush", "future", "place", "size")

    def __init__(self, encoded: bytes, size: int, future: asyncio.Future[Receipt]) -> None:
        self.encoded = encoded
        self.size = size
        self.future = future
        self.place = _WAITING
        self.flush: _FlushGroup | None = None
        self.ended = False  # whatever its caller does, there is no more to it
        self.admitted: asyncio.Event | None = None  # it waits no longer; once someone wants to know


class _FlushGroup:
    """The unanswered messages that were taken over between two calls of flush."""

    __slots__ = ("answered", "unanswered")

    def __init__(self) -> None:
        self.unanswered = 0
        self.answered: asyncio.Event | None = None  # once someone waits


class _ProduceStream:
    """What the producer knows of its stream."""

    __slots__ = ("progressed", "sequence", "unanswered")

    def __init__(self) -> None:
        self.sequence = 0
        # By sequence, and so in order.
        self.unanswered: dict[int, Pending] = {}
        self.progressed = False  # a result has come


class Producer:
    """Owned by the event loop: nothing of it may be called from another thread.

    One task connects (`_run`); each stream has one that writes and one that reads.
    """

    def __init__(self, target: str, config: ClientConfig) -> None:
        self._target = target
        self._config = config
        self._retry = Backoff(config.min_backoff, config.max_backoff)
        self._room = Room(config.outstanding_messages, config.outstanding_bytes)
        # What waits for room, in order.
        self._waiting: OrderedDict[Pending, None] = OrderedDict()
        # What was taken over and never given to a stream, in order.
        self._queue: OrderedDict[Pending, None] = OrderedDict()
        self._wake = asyncio.Event()  # the queue has something
        self._closing = asyncio.Event()
        self._stream: _ProduceStream | None = None
        self._trouble: MessageProxyError | None = None  # why there is no stream
        self._flush = _FlushGroup()
        self._sealed: set[_FlushGroup] = set()
        self._runner: asyncio.Task[None] | None = None

    # ------------------------------------------------------------ taking over

    def encode(self, message: OutgoingMessage) -> tuple[bytes, int]:
        """A copy of a message for `take`, and its size. Raises why it can't be produced. For any thread."""
        return encode(message, self._config.max_message_bytes)

    def take(self, encoded: bytes, size: int, future: asyncio.Future[Receipt]) -> Pending:
        """Takes a message over, or has it wait for room; `future` gets its receipt. Raises ClosedError."""
        if self._closing.is_set():
            raise ClosedError
        pending = Pending(encoded, size, future)
        if not self._waiting and self._room.take(size):
            self._enqueue(pending)
        else:
            self._waiting[pending] = None
        return pending

    async def taken_over(self, m: Pending) -> None:
        """Waits until a message is taken over. Raises why it isn't."""
        if m.place is _WAITING and not m.future.done():
            m.admitted = asyncio.Event()
            try:
                await m.admitted.wait()
            except asyncio.CancelledError as cancelled:
                cancelled.__cause__ = self.cancelled(m)
                raise
        if m.place is _WAITING:
            m.future.result()

    def _admit(self) -> None:
        """Takes over what waits, as long as there is room."""
        while self._waiting:
            first = next(iter(self._waiting))
            if not self._room.take(first.size):
                return
            del self._waiting[first]
            self._enqueue(first)

    def _enqueue(self, m: Pending) -> None:
        m.place = _QUEUED
        if m.admitted is not None:
            m.admitted.set()
        m.flush = self._flush
        self._flush.unanswered += 1
        self._queue[m] = None
        if self._runner is None:
            self._runner = asyncio.create_task(self._run(), name="messageproxy: producer")
        self._wake.set()

    # -------------------------------------------------------------- answering

    def _fail(self, m: Pending, error: Exception) -> None:
        """Fails m, unless its outcome was decided before."""
        if not m.future.done():
            self._told(m)
            m.future.set_exception(error)

    def _told(self, m: Pending) -> None:
        """Notes that m's caller knows the outcome."""
        group, m.flush = m.flush, None
        if group is None:
            return
        group.unanswered -= 1
        if group.unanswered == 0 and group.answered is not None:
            self._sealed.discard(group)
            group.answered.set()

    def _off(self, m: Pending) -> None:
        """Notes that nothing will come of m any more; its place is free."""
        m.place = _OFF
        self._room.give(m.size)

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
        if m.ended:
            return None
        m.ended = True
        self._told(m)
        place = m.place
        if place is _WAITING:
            del self._waiting[m]
        elif place is _QUEUED:
            del self._queue[m]
            self._off(m)
        else:
            return UnknownOutcomeError(why)
        self._admit()  # m may have been too large where the next ones fit
        return copied(self._trouble) if self._trouble else None

    def _fail_queue(self, error: MessageProxyError | None) -> None:
        """Fails what was never on the wire, with `error`, or because the client is closed."""
        queue, self._queue = self._queue, OrderedDict()
        for m in queue:
            m.ended = True
            self._off(m)
        for m in queue:
            self._fail(m, copied(error) if error else ClosedError())

    # ----------------------------------------------------------------- streams

    async def _run(self) -> None:
        """Has a stream open from when there is something to send until it is lost, and again."""
        while await self._wait_for_work():
            reason = await self._run_stream()
            if self._closing.is_set():
                return
            self._note_trouble(reason)
            await wait_until(self._closing, self._retry.next())

    async def _wait_for_work(self) -> bool:
        while not self._queue and not self._closing.is_set():
            self._wake.clear()
            await self._wake.wait()
        return not self._closing.is_set()

    async def _run_stream(self) -> MessageProxyError:
        """Opens a stream and serves it until it ends; the result is why."""
        try:
            stream = await open_stream(self._target, self._config, "Produce", None, wire.ProduceResponse)
        except StreamEndedError as e:
            return e.reason
        except Exception as e:
            # Such as a target that gRPC can't parse. Waiting for a connection has no end but the caller's.
            return _unexpected(e)
        self._stream = s = _ProduceStream()
        self._trouble = None
        writer = asyncio.create_task(self._write(stream, s), name="messageproxy: producer's writer")
        reason = None
        try:
            reason = await self._receive(stream, s)
        finally:
            stream.cancel()
            writer.cancel()
            self._detach(s, reason)
            await asyncio.wait({writer})
            await stream.close()
        return reason

    async def _write(self, stream: Stream[wire.ProduceResponse], s: _ProduceStream) -> None:
        """Sends what gathers in the queue until the stream ends or the producer is closed."""
        try:
            while not self._closing.is_set():
                frame = self._fill_frame(s)
                if frame:
                    if not await stream.write(frame):
                        return
                else:
                    self._wake.clear()
                    # Whoever else is about to produce goes first, and shares the frame.
                    await self._wake.wait()
            await stream.half_close()
        except BaseException:
            stream.cancel()
            raise

    def _fill_frame(self, s: _ProduceStream) -> bytes:
        """Takes from the queue what has gathered, up to a frame's size, and puts it on the wire."""
        parts = []
        size = 0
        queue, unanswered = self._queue, s.unanswered
        while queue and size < _FRAME_BYTES:
            m, _ = queue.popitem(last=False)
            if m.future.done():  # cancelled just now; its caller doesn't know yet
                m.ended = True
                self._told(m)
                self._off(m)
                continue
            s.sequence = sequence = s.sequence + 1
            unanswered[sequence] = m
            m.place = _ON_WIRE
            part = frame_part(m.encoded, sequence)
            parts.append(part)
            size += len(part)
        return b"".join(parts)

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
            self._take_results(s, response)
            if response.HasField("terminal_error"):
                terminal = error_from_wire(response.terminal_error)

    def _take_results(self, s: _ProduceStream, response: wire.ProduceResponse) -> None:
        unanswered = s.unanswered
        for result in response.results:
            m = unanswered.pop(result.sequence, None)
            if m is None:
                continue
            s.progressed = True
            self._off(m)
            if m.future.done():
                continue
            self._told(m)
            if result.HasField("error"):
                m.future.set_exception(error_from_wire(result.error))
            else:
                receipt = result.receipt
                m.future.set_result(Receipt(receipt.message_id, receipt.partition, receipt.timestamp_ms))
        self._admit()

    def _detach(self, s: _ProduceStream, reason: MessageProxyError | None) -> None:
        """Decides what becomes of the messages that a stream leaves unanswered.

        After SHUTTING_DOWN they were certainly not stored, and go out again, in order and before all others; otherwise
        nobody knows. Without a reason, the event loop is ending.
        """
        self._stream = None
        if s.progressed:
            self._retry.reset()
        unanswered, s.unanswered = list(s.unanswered.values()), {}
        if reason is not None and reason.code == Code.SHUTTING_DOWN and not self._closing.is_set():
            for m in reversed(unanswered):
                if not m.future.done():
                    m.place = _QUEUED
                    self._queue[m] = None
                    self._queue.move_to_end(m, last=False)
        for m in unanswered:
            if m.place is _ON_WIRE:
                self._off(m)
                error = UnknownOutcomeError("the stream was lost before the server answered")
                error.__cause__ = reason
                self._fail(m, error)
        self._admit()

    def _note_trouble(self, reason: MessageProxyError) -> None:
        """Logs why there is no stream. What trying again won't help fails the queue, which was never on the wire."""
        self._trouble = reason
        if ends_for_good(reason):
            self._fail_queue(reason)
            self._admit()
        self._config.logger.warning("can't produce; connecting again: %s", reason)

    # -------------------------------------------------------------- flush, close

    async def flush(self) -> None:
        """Waits until everything that was taken over before is answered."""
        if self._flush.unanswered > 0:
            self._flush.answered = asyncio.Event()
            self._sealed.add(self._flush)
            self._flush = _FlushGroup()
        for group in list(self._sealed):
            if group.answered is not None:
                await group.answered.wait()

    async def close(self) -> None:
        """Answers what is unanswered, now, and returns when the tasks have ended. May be called twice."""
        if not self._closing.is_set():
            self._begin_close()
        runner = self._runner
        if runner is None:
            return
        try:
            if self._stream is not None:
                await asyncio.wait({runner}, timeout=_CLOSE_TIMEOUT)
        finally:
            runner.cancel()
        await asyncio.wait({runner})

    def _begin_close(self) -> None:
        self._closing.set()
        self._wake.set()
        self._fail_queue(None)
        waiting, self._waiting = self._waiting, OrderedDict()
        for m in waiting:
            m.ended = True
            self._fail(m, ClosedError())
            if m.admitted is not None:
                m.admitted.set()
        for m in list(self._stream.unanswered.values()) if self._stream else ():
            error = UnknownOutcomeError("the client was closed before the server answered")
            error.__cause__ = ClosedError()
            self._fail(m, error)


def _unexpected(error: Exception) -> MessageProxyError:
    internal = MessageProxyError(Code.INTERNAL, "the stream failed", retryable=True)
    internal.__cause__ = error
    return internal
