"""One call of consume: opens one session after another and has their messages handled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from messageproxy._backoff import Backoff, wait_until
from messageproxy._errors import (
    ClosedError,
    Code,
    HandlersRunningError,
    MessageProxyError,
    describe,
    ends_for_good,
    unavailable,
)
from messageproxy._events import Event, EventKind
from messageproxy._handling import Delivery, Runner, StopConsume
from messageproxy._lanes import Lanes
from messageproxy._message import Message
from messageproxy._options import ClientConfig, ConsumeConfig, Handler
from messageproxy._received import Received, decode
from messageproxy._session import Partition, Session
from messageproxy._stream import Stream, StreamEndedError, open_stream
from messageproxy.v1 import messageproxy_pb2 as wire

# How long handlers have to return once they are told to end and consume has nothing else to do.
_CANCEL_GRACE = 1.0
# Bounds how long the last ACKs and the end of the stream may take.
_LEAVE_TIMEOUT = 5.0


class Consumer:
    """Owned by the event loop. One task connects (`run`); each session has one that receives and one that sends;
    runners call handlers, as many as lanes have messages."""

    def __init__(
        self,
        target: str,
        client_config: ClientConfig,
        subscription: str,
        topics: tuple[str, ...],
        handler: Handler,
        config: ConsumeConfig,
    ) -> None:
        self._target = target
        self.client_config = client_config
        self.subscription = subscription
        self.topics = topics
        self.handler: Handler = handler
        self.config = config
        self.lanes = Lanes(config.key_workers, config.max_handlers)
        self.runners: set[Runner] = set()
        # No more handlers may begin; everything that waits ends.
        self.stopped = asyncio.Event()
        self.stopping = False  # the same, for those who look at it with each message
        self._stop_error: BaseException | None = None
        self._idle = asyncio.Event()  # no handler is running
        self._idle.set()
        # When to stop waiting for handlers, once that has begun.
        self._drain_by: float | None = None
        self._logger = client_config.logger

    # -------------------------------------------------------------- for the others

    def stop(self, error: BaseException | None) -> None:
        """Lets no more handlers begin. `error` is what consume ends with, unless it was stopped before."""
        if self.stopped.is_set():
            return
        self._stop_error = error
        self.stopping = True
        self.stopped.set()
        self.lanes.purge(lambda batch: True)

    def close(self) -> None:
        """Stops because the client is closed."""
        self.stop(ClosedError())

    def push(self, partition: Partition, messages: Iterator[Message]) -> None:
        """Queues messages of one partition for their handler."""
        for _ in range(self.lanes.push(partition, messages)):
            self._idle.clear()
            Runner(self)

    def note_idle(self) -> None:
        """Wakes whoever waits for the last handler, if it was that."""
        if self.lanes.runners == 0:
            self._idle.set()

    def log_failure(self, what: str, delivery: Delivery, error: BaseException) -> None:
        """Logs an error of the application's."""
        message = delivery.message
        self._logger.warning(
            "%s: subscription %r, message %s of %s/%d: %s",
            what,
            self.subscription,
            delivery.id,
            message.topic,
            message.partition,
            describe(error),
            exc_info=error,
        )

    # -------------------------------------------------------------------- sessions

    async def run(self) -> None:
        """Opens sessions until one is the last. Raises why consume has ended, if not because it was asked to."""
        try:
            await self._run_sessions()
            running = await self._wait_for_handlers(None)
        finally:
            self._tell_handlers()
        if running is not None:
            raise running from self._stop_error
        if self._stop_error is not None:
            raise self._stop_error

    async def _run_sessions(self) -> None:
        retry = Backoff(self.client_config.min_backoff, self.client_config.max_backoff)
        while not self.stopped.is_set():
            reason = await self._run_session(retry)
            if self.stopped.is_set():
                return
            self.event(Event(EventKind.DISCONNECTED, error=reason))
            if ends_for_good(reason):
                self.stop(reason)
                return
            await wait_until(self.stopped, retry.next())

    async def _run_session(self, retry: Backoff) -> MessageProxyError:
        """Opens a stream and serves it until it is lost or consume stops; then it leaves in good order."""
        try:
            stream = await self._open()
        except StreamEndedError as e:
            return e.reason
        except Exception as e:
            return _unexpected(e)
        if stream is None:
            return unavailable("stopped while connecting")
        session = Session(self, stream)
        receiver = asyncio.create_task(session.receive(), name="messageproxy: consumer's receiver")
        sender = asyncio.create_task(session.send(), name="messageproxy: consumer's sender")
        try:
            return await self._serve(session, receiver, stream)
        finally:
            stream.cancel()
            session.end()
            sender.cancel()
            await asyncio.wait({receiver, sender})
            await stream.close()
            lasted = asyncio.get_running_loop().time() - session.started
            if session.progressed or lasted > self.client_config.max_backoff:
                retry.reset()

    async def _open(self) -> Stream[Received] | None:
        """Opens a stream, unless consume is stopped before that succeeds."""
        opening = asyncio.create_task(
            open_stream(
                self._target,
                self.client_config,
                "Consume",
                wire.ConsumeRequest.SerializeToString,
                decode,
            )
        )
        stopped = asyncio.create_task(self.stopped.wait())
        try:
            await asyncio.wait({opening, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            if not opening.done():
                opening.cancel()
                await asyncio.wait({opening})
        if opening.cancelled():
            return None
        return opening.result()

    async def _serve(
        self, session: Session, receiver: asyncio.Task[MessageProxyError], stream: Stream[Received]
    ) -> MessageProxyError:
        """Waits for the end of the session, or consume's, which it brings about in good order: leave, handlers, ACKs,
        half-close."""
        stopped = asyncio.create_task(self.stopped.wait())
        try:
            await asyncio.wait({receiver, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        if not receiver.done():
            session.leave()
            await self._wait_for_handlers(receiver)  # run looks again
            session.finish()
            await asyncio.wait({receiver}, timeout=_LEAVE_TIMEOUT)
        if not receiver.done():
            stream.cancel()
            await asyncio.wait({receiver})
        error = receiver.exception()
        if isinstance(error, Exception):
            return _unexpected(error)
        return receiver.result()

    # -------------------------------------------------------------------- stopping

    async def _wait_for_handlers(
        self, stream_end: asyncio.Task[MessageProxyError] | None
    ) -> HandlersRunningError | None:
        """Waits until no handler runs, at most for what is left of the drain timeout; then it tells them to end and
        waits a little more. It stops waiting when the stream ends."""
        loop = asyncio.get_running_loop()
        if self._drain_by is None:
            self._drain_by = loop.time() + self.config.drain_timeout
        if await self._wait_idle(self._drain_by - loop.time(), stream_end):
            return None
        if stream_end is None or not stream_end.done():
            self._tell_handlers()
        if await self._wait_idle(self._drain_by + _CANCEL_GRACE - loop.time(), stream_end):
            return None
        return HandlersRunningError(self.lanes.runners, self.config.drain_timeout)

    async def _wait_idle(self, seconds: float, stream_end: asyncio.Task[MessageProxyError] | None) -> bool:
        """Waits until no handler runs, for at most `seconds` or until the stream ends, and tells whether none does."""
        if self._idle.is_set():
            return True
        idle = asyncio.create_task(self._idle.wait())
        ends: set[asyncio.Task[object]] = {idle, stream_end} if stream_end else {idle}
        try:
            await asyncio.wait(ends, timeout=max(0, seconds), return_when=asyncio.FIRST_COMPLETED)
        finally:
            idle.cancel()
        return self._idle.is_set()

    def _tell_handlers(self) -> None:
        for runner in list(self.runners):
            runner.tell_to_end()

    # ---------------------------------------------------------------------- events

    def event(self, event: Event) -> None:
        """Logs what happened and passes it on."""
        self._log_event(event)
        if self.config.observer is None:
            return
        try:
            self.config.observer(event)
        except StopConsume as e:
            self.stop(e)
        except Exception:
            self._logger.warning("the observer of subscription %r failed", self.subscription, exc_info=True)

    def _log_event(self, event: Event) -> None:
        info, warning, name = self._logger.info, self._logger.warning, self.subscription
        partitions = ", ".join(map(str, event.partitions))
        if event.kind is EventKind.CONNECTED:
            text = "subscribed to %r: max_unacked %d, ack_timeout %g s"
            info(text, name, event.max_unacked, event.ack_timeout)
        elif event.kind is EventKind.ASSIGNED:
            info("partitions of %r assigned: %s", name, partitions or "none")
        elif event.kind is EventKind.WITHDRAWN:
            info("partitions of %r withdrawn: %s, time left %g s", name, partitions, event.time_left)
        elif event.kind is EventKind.TROUBLE:
            warning("the server has trouble with the broker, subscription %r: %s", name, event.error)
        elif event.kind is EventKind.RECOVERED:
            info("the server's trouble with the broker is over, subscription %r: %s", name, event.error)
        elif event.kind is EventKind.NOTICE:
            warning("notice from the server, subscription %r: %s", name, event.error)
        else:
            warning("the stream of %r has ended: %s", name, event.error)


def _unexpected(error: Exception) -> MessageProxyError:
    internal = MessageProxyError(Code.INTERNAL, "the stream failed", retryable=True)
    internal.__cause__ = error
    return internal
