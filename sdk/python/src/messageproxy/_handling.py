"""Calls handlers, again when they fail, and decides what becomes of their messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from messageproxy._backoff import Backoff, wait_until
from messageproxy._errors import Code, HandlerError, MessageProxyError
from messageproxy._lanes import Batch
from messageproxy._message import Message

if TYPE_CHECKING:
    from messageproxy._consumer import Consumer
    from messageproxy._session import Partition, Session

# How long handlers that never wait may keep the event loop from sending their ACKs.
_MAX_BUSY = 0.005


class Delivery(NamedTuple):
    """A message that its handler has begun with."""

    partition: Partition
    message: Message
    id: str  # the message's; the handler may change what it was given


class Verdict(Enum):
    """What became of a message."""

    DROPPED = 0  # it isn't this client's any more, or consume is stopping
    HANDLED = 1  # ACK it
    FAILED = 2  # stop consume


class _Decision(NamedTuple):
    verdict: Verdict
    error: BaseException | None = None


_DROPPED = _Decision(Verdict.DROPPED)
_HANDLED = _Decision(Verdict.HANDLED)


class NotHandled(Exception):  # noqa: N818 - it is no error
    """A handler of this package's own raises it to have its message neither ACKed nor handled again."""


class StopConsume(Exception):  # noqa: N818 - it is no error
    """A handler or an observer of this package's own raises it to have consume end with it, whatever the options say
    about handlers that fail."""


class Runner:
    """A task that handles messages until no lane has any. It may be told to end the handler that it runs."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self.partition: Partition | None = None  # of the message that a handler runs for
        self._told = False
        self._attempt = 0  # of the latest handler that has failed
        # So that it ends only when the accounts are right, whatever a handler raises.
        self._ended = False
        consumer.runners.add(self)
        task = asyncio.get_running_loop().create_task(self._run(), name="messageproxy: handlers")
        task.add_done_callback(self._done)
        _all_tasks.add(task)

    def tell_to_end(self) -> None:
        """Tells the handler that runs, if one does, to end: cancels it, once."""
        if self.partition is not None and not self._told:
            self._told = True
            self._task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        _all_tasks.discard(task)
        self._consumer.runners.discard(self)
        if not self._ended:  # the loop is shutting down
            self._consumer.lanes.runners -= 1
        self._consumer.note_idle()
        if task.cancelled():
            # By others, while no handler ran: the messages of its lane would wait for ever.
            self._consumer.stop(MessageProxyError(Code.INTERNAL, "a task that calls handlers was cancelled"))
            return
        error = task.exception()
        if error is not None:  # KeyboardInterrupt or the like
            self._consumer.stop(error)

    async def _run(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        # Not by whoever made it: an eager task begins before that.
        self._task = task
        # How many cancellations nobody has taken back. Not known before Python 3.11.
        self._cancelling: Callable[[], int] = getattr(task, "cancelling", lambda: 0)
        self._busy_until = monotonic() + _MAX_BUSY
        lanes = self._consumer.lanes
        while (lane := lanes.take()) is not None:
            batch = lane.waiting.popleft()
            if not await self._handle_all(batch):
                lane.waiting.appendleft(batch)
            lanes.put_back(lane)
        self._ended = True

    async def _handle_all(self, batch: Batch) -> bool:
        """Handles the messages of a batch; false when it lets other lanes go first."""
        consumer, partition = self._consumer, batch.partition
        handler, lanes, bounded = consumer.handler, consumer.lanes, consumer.config.max_handlers > 0
        session, cancelling = partition.session, self._cancelling
        acks, enough, busy_until = session.acks, session.enough_acks, self._busy_until
        failure: BaseException | None
        # Whoever tells a handler to end isn't called between here and the handler: nothing is awaited there.
        self.partition = partition
        began = monotonic()
        for message in batch.messages:
            if partition.withdrawn or consumer.stopping:
                break
            message_id = message.id
            try:
                await handler(message)
            except BaseException as e:
                failure = e  # dealt with outside, where it is not the context of others
            else:
                failure = None
            if failure is None and not self._told and not cancelling():
                if not acks:  # as session.ack, but for the call
                    session.wake()
                acks.append(message_id)
            else:
                await self._end(Delivery(partition, message, message_id), failure, began)
                failure = None
            began = monotonic()
            if began > busy_until or len(acks) >= enough:
                await self._let_others_go()
                began, busy_until = monotonic(), self._busy_until
            if bounded and lanes.others_wait():
                return False
        self.partition = None
        return True

    async def _let_others_go(self) -> None:
        partition, self.partition = self.partition, None
        await asyncio.sleep(0)
        self.partition = partition
        self._busy_until = monotonic() + _MAX_BUSY

    async def _end(self, delivery: Delivery, failure: BaseException | None, began: float) -> None:
        """Ends with a message whose handler has failed, or was cancelled."""
        decision = _HANDLED if failure is None else await self._failed(delivery, failure, began)
        self.partition = None
        if self._told or self._cancelling():
            await self._forget_cancellations()
            self._told = False
        self._finish(delivery, decision)
        self.partition = delivery.partition

    def _finish(self, delivery: Delivery, decision: _Decision) -> None:
        """Does what was decided about a message, before its lane goes on."""
        if decision.verdict is Verdict.FAILED:
            self._consumer.stop(decision.error)
        elif decision.verdict is Verdict.HANDLED and not delivery.partition.gone:
            delivery.partition.session.ack(delivery.id)

    async def _failed(self, delivery: Delivery, error: BaseException, began: float) -> _Decision:
        """Decides about a message whose handler has failed. It may be told to end meanwhile."""
        try:
            return await self._attempt_again(delivery, error, began)
        except asyncio.CancelledError as cancelled:
            if self._told:
                return _DROPPED
            # By others, and perhaps with the whole loop: it is too late for another attempt, and for the failure
            # handler, but the message must not be forgotten without a word.
            return _Decision(Verdict.FAILED, HandlerError(delivery.message, self._attempt, cancelled))

    async def _forget_cancellations(self) -> None:
        """Makes the task go on after it was cancelled, whether the handler has noticed that or not."""
        self._uncancel()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if self._cancelling():  # again, by others
                raise

    def _uncancel(self) -> None:
        if hasattr(self._task, "uncancel"):  # Python 3.11
            while self._task.uncancel() > 0:
                pass

    async def _attempt_again(self, delivery: Delivery, first: BaseException, began: float) -> _Decision:
        """Calls the handler again until it succeeds or the attempts run out."""
        consumer = self._consumer
        config = consumer.config
        retry = Backoff(config.min_retry_backoff, config.max_retry_backoff)
        self._attempt = attempt = 1
        error = self._of_handler(first)
        while True:
            if isinstance(error, StopConsume):
                return _Decision(Verdict.FAILED, error)
            if self._told or isinstance(error, NotHandled):
                return _DROPPED
            consumer.log_failure(f"a handler failed, attempt {attempt}", delivery, error)
            wait = retry.next()
            after = monotonic() - began + wait
            if attempt == config.attempts or not _may_retry(delivery.partition.session, after):
                return await self._failed_for_good(delivery, attempt, error)
            if await wait_until(consumer.stopped, wait):
                return _DROPPED
            self._attempt = attempt = attempt + 1
            again = await self._call(consumer.handler, delivery.message)
            if again is None:
                return _HANDLED
            error = again

    async def _call(self, handler: Callable[..., Awaitable[None]], *arguments: object) -> BaseException | None:
        """Calls somebody's handler. The result is the error with which it failed."""
        self._uncancel()  # what an earlier one has swallowed is none of this one's
        try:
            await handler(*arguments)
        except BaseException as e:
            return self._of_handler(e)
        return None

    def _of_handler(self, error: BaseException) -> BaseException:
        """An error that a handler has failed with. Raises those that are not its own."""
        if isinstance(error, asyncio.CancelledError):
            if self._told or self._cancelling():
                raise error
            return error  # it has awaited something that was cancelled
        if not isinstance(error, Exception):
            raise error  # such as KeyboardInterrupt
        return error

    async def _failed_for_good(self, delivery: Delivery, attempts: int, cause: BaseException) -> _Decision:
        """Does what the options say."""
        consumer = self._consumer
        handler_error = HandlerError(delivery.message, attempts, cause)
        decide = consumer.config.failure_handler
        if decide is None:
            return _Decision(Verdict.FAILED, handler_error)
        error = await self._call(decide, delivery.message, cause)
        if error is None:
            return _HANDLED
        if isinstance(error, StopConsume):
            return _Decision(Verdict.FAILED, error)
        consumer.log_failure("the failure handler failed", delivery, error)
        if self._told:
            return _DROPPED
        if isinstance(error, asyncio.CancelledError):
            # As it is, it would say that consume's caller was cancelled.
            error = HandlerError(delivery.message, attempts, error)
        if error.__context__ is None:
            error.__context__ = handler_error  # shows in its traceback why it was called
        return _Decision(Verdict.FAILED, error)


# The loop alone doesn't keep a task alive.
_all_tasks: set[asyncio.Task[None]] = set()


def _may_retry(session: Session, after: float) -> bool:
    """Whether another attempt may begin so long after the first: within the ACK timeout, less a tenth for the ACK."""
    return session.ack_timeout <= 0 or after < 0.9 * session.ack_timeout
