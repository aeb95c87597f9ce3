"""Produce and consume messages in programs without asyncio.

    with Client("localhost:7070") as client:
        receipt = client.produce(topic="orders", key=b"ada", value=b"a cup")

        def bill(message: Message) -> None:
            ...  # returning ACKs the message, raising has it handled again

        client.subscription("billing", "orders").consume(bill)

Everything is as in `messageproxy`, whose options, limits and errors hold here. A client has an event loop in a thread
of its own; its methods may be called from any thread. Callbacks of futures and observers run on that thread: there,
`Client.close` doesn't wait, and calls that would have to wait raise RuntimeError.

Handlers run in threads of a pool, each of which handles many messages, one after another: context variables that a
handler sets are seen by later ones. What a handler raises that isn't an `Exception`, such as SystemExit, stops consume,
which raises it.

A thread can't be cancelled. A handler that should end, because its message was lost to it or its time is over, finds
`ending()` set; until it returns, the next message of its partition waits.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import inspect
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar, overload

import grpc

import messageproxy
from messageproxy._errors import ClosedError, InvalidTypeError, MessageProxyError, ProduceTimeoutError, copied
from messageproxy._events import Event
from messageproxy._handling import StopConsume
from messageproxy._message import Message, OutgoingMessage, Receipt, encode
from messageproxy._options import Duration, StartPosition, consume_config, seconds
from messageproxy._producer import Pending
from messageproxy._room import Room

__all__ = [
    "Client",
    "Consuming",
    "FailureHandler",
    "Handler",
    "ReceiptFuture",
    "Subscription",
    "ending",
    "skip_failed",
]

_Bytes = bytes | bytearray | memoryview
_Result = TypeVar("_Result")

Handler: TypeAlias = Callable[[Message], None]
"""Handles a message. When it returns, the message is ACKed; when it raises, it is called again."""

FailureHandler: TypeAlias = Callable[[Message, BaseException], None]
"""Decides what becomes of a message with which the handler failed for good: see `messageproxy.FailureHandler`."""

# Only as many threads are made as are in use at the same time.
_MANY_THREADS = 10_000


def skip_failed(message: Message, error: BaseException) -> None:
    """A failure handler that ACKs the message, as if it had been handled. Only the log tells of it."""


_handling = threading.local()


def ending() -> threading.Event:
    """Is set when the handler that runs in this thread should end: its ACK won't count, or consume waits no longer."""
    event = getattr(_handling, "ending", None)
    if not isinstance(event, threading.Event):
        raise RuntimeError("no handler runs in this thread")
    return event


if TYPE_CHECKING:
    _Future = concurrent.futures.Future[Receipt]
else:
    _Future = concurrent.futures.Future


class ReceiptFuture(_Future):
    """The future of a receipt. Its callbacks run on the client's thread, and must not block."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client
        self._pending: Pending | None = None

    def cancel(self) -> bool:
        """Withdraws the message, if it isn't on the wire yet, and tells whether it has."""
        if self.done():
            return self.cancelled()
        try:
            return self._client._call(partial(self._client._withdraw, self))
        except ClosedError:
            return False


class _Submission(NamedTuple):
    """A message on its way to the client's thread."""

    encoded: bytes
    size: int
    future: ReceiptFuture
    deadline: float | None


class Client:
    """Is `messageproxy.Client` for threads. Make one per application and share it.

    It is a context manager that closes it.
    """

    def __init__(
        self,
        target: str,
        *,
        client_name: str | None = None,
        tls: bool | grpc.ChannelCredentials = False,
        reconnect_backoff: tuple[Duration, Duration] = (0.1, 10.0),
        max_outstanding: tuple[int, int] = (1000, 64 << 20),
        max_message_bytes: int = 60 << 20,
        logger: logging.Logger | None = None,
        channel_options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        """Makes a client; it connects when it is first used. See `messageproxy.Client` for the arguments and errors."""
        self._client = messageproxy.Client(
            target,
            client_name=client_name,
            tls=tls,
            reconnect_backoff=reconnect_backoff,
            max_outstanding=max_outstanding,
            max_message_bytes=max_message_bytes,
            logger=logger,
            channel_options=channel_options,
        )
        self._room = self._client._producer.room = _WaitingRoom(*max_outstanding, self._check_may_wait)
        self._client._producer.on_end_for_good = self._room.fail_waiting
        # Guards what follows.
        self._lock = threading.Lock()
        self._inbox: deque[_Submission] = deque()  # not empty: the loop is about to look
        self._ended = False  # the loop takes no more
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="messageproxy", daemon=True)
        self._thread.start()
        self._started.wait()

    def _run(self) -> None:
        """Is the thread."""
        try:
            asyncio.run(self._serve())
        except (SystemExit, KeyboardInterrupt) as e:
            warning = self._client._config.logger.warning
            warning("the client is closed, since a callback has raised %s on its thread", type(e).__name__)

    async def _serve(self) -> None:
        """Runs until the client is closed and its consume calls have ended."""
        self._loop = asyncio.get_running_loop()
        self._closing = asyncio.Event()
        self._client._check_loop()
        self._started.set()
        try:
            await self._closing.wait()
            await _others_end()
        finally:  # also when a callback of the application's has torn the loop down
            self._room.close()
            self._client._begin_close()
            with self._lock:
                self._ended = True
            await asyncio.sleep(0)  # what was called before that begins
            await _others_end()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @overload
    def produce(self, message: OutgoingMessage, /, *, timeout: Duration | None = None) -> Receipt: ...

    @overload
    def produce(
        self,
        /,
        *,
        topic: str,
        key: _Bytes | None = None,
        value: _Bytes | None = None,
        headers: Sequence[tuple[str, _Bytes | None]] = (),
        partition: int | None = None,
        timestamp: datetime | int | None = None,
        timeout: Duration | None = None,
    ) -> Receipt: ...

    def produce(
        self,
        message: OutgoingMessage | None = None,
        /,
        *,
        topic: str | None = None,
        key: _Bytes | None = None,
        value: _Bytes | None = None,
        headers: Sequence[tuple[str, _Bytes | None]] = (),
        partition: int | None = None,
        timestamp: datetime | int | None = None,
        timeout: Duration | None = None,
    ) -> Receipt:
        """Sends a message and waits until it is stored. See `messageproxy.Client.produce`; use `produce_async` where
        one thread has many messages."""
        deadline = None if timeout is None else time.monotonic() + seconds("timeout", timeout)
        self._check_may_wait()
        limit = self._client._producer.max_message_bytes
        future = self._produce(*encode(message, topic, key, value, headers, partition, timestamp, limit), deadline)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # such as KeyboardInterrupt; nothing if it has ended
            raise

    @overload
    def produce_async(self, message: OutgoingMessage, /) -> ReceiptFuture: ...

    @overload
    def produce_async(
        self,
        /,
        *,
        topic: str,
        key: _Bytes | None = None,
        value: _Bytes | None = None,
        headers: Sequence[tuple[str, _Bytes | None]] = (),
        partition: int | None = None,
        timestamp: datetime | int | None = None,
    ) -> ReceiptFuture: ...

    def produce_async(
        self,
        message: OutgoingMessage | None = None,
        /,
        *,
        topic: str | None = None,
        key: _Bytes | None = None,
        value: _Bytes | None = None,
        headers: Sequence[tuple[str, _Bytes | None]] = (),
        partition: int | None = None,
        timestamp: datetime | int | None = None,
    ) -> ReceiptFuture:
        """Is `produce` without the wait for the broker: it returns when the message is taken over.

        Before that it waits while as much is outstanding as `max_outstanding` allows. The messages of a thread go out
        in the order of its calls. It raises what is wrong with the message and `ClosedError` itself; everything else
        is the future's.
        """
        limit = self._client._producer.max_message_bytes
        return self._produce(*encode(message, topic, key, value, headers, partition, timestamp, limit), None)

    def _produce(self, encoded: bytes, size: int, deadline: float | None) -> ReceiptFuture:
        future = ReceiptFuture(self)
        submission = _Submission(encoded, size, future, deadline)
        inbox: deque[_Submission] = deque()
        try:
            self._room.enter(size, deadline)
        except ProduceTimeoutError as timeout:
            timeout.__cause__ = self._client._producer.trouble()
            raise
        try:
            with self._lock:
                if self._ended:
                    raise ClosedError
                inbox = self._inbox
                if not inbox:
                    # First, as Ctrl-C may come after it: what is there while nobody is about to look would stay there.
                    self._loop.call_soon_threadsafe(self._take_submissions)
                inbox.append(submission)
        except BaseException:
            with self._lock:
                submitted = submission in inbox  # which the loop may have taken meanwhile
            if submitted:
                future.cancel()
            else:
                self._room.give(1, size)
            raise
        return future

    def _take_submissions(self) -> None:
        with self._lock:
            inbox, self._inbox = self._inbox, deque()
        for encoded, size, future, deadline in inbox:
            answer: asyncio.Future[Receipt] = self._loop.create_future()
            try:
                pending = self._client._producer.take(encoded, size, answer)
            except ClosedError as e:
                self._room.give(1, size)
                # Not here: a callback that raises SystemExit would leave the rest of the inbox without an outcome.
                self._loop.call_soon(future.set_exception, e)
                continue
            future._pending = pending
            answer.add_done_callback(partial(self._answered, future))
            if deadline is not None:
                left = max(0.0, deadline - time.monotonic())
                timer = self._loop.call_later(left, self._client._producer.expire, pending)
                answer.add_done_callback(lambda _, timer=timer: timer.cancel())  # type: ignore[misc]

    def _answered(self, future: ReceiptFuture, answer: asyncio.Future[Receipt]) -> None:
        if answer.cancelled():
            return
        error = answer.exception()
        if error is None:
            future.set_result(answer.result())
        else:
            future.set_exception(error)

    def _withdraw(self, future: ReceiptFuture) -> bool:
        """Withdraws a message on the loop's thread, if that can be done."""
        pending = future._pending
        if pending is None or not self._client._producer.withdraw(pending):
            return False
        concurrent.futures.Future.cancel(future)
        future.set_running_or_notify_cancel()
        return True

    def flush(self, timeout: Duration | None = None) -> None:
        """Waits until every message that was taken over before the call is answered. Raises TimeoutError if `timeout`
        (seconds or a timedelta; default: none) is over first, and `ClosedError` if the client is closed."""
        limit = _limit(timeout)
        self._check_may_wait()
        flushing = self._submit(self._client.flush)
        try:
            _result(flushing, limit)
        except concurrent.futures.TimeoutError:
            flushing.cancel()
            raise TimeoutError("messages are unanswered still") from None

    def close(self) -> None:
        """Ends the client; see `messageproxy.Client.close`. May be called twice. Call `flush` before to have messages
        answered. In a callback or an observer it has the client end, and returns before it has."""
        self._room.close()
        with contextlib.suppress(ClosedError):  # it was closed before
            closing = self._submit(self._close)
            if threading.current_thread() is not self._thread:
                _result(closing)

    async def _close(self) -> None:
        try:
            await self._client.close()
        finally:
            self._closing.set()

    def subscription(self, name: str, *topics: str) -> Subscription:
        """A named, durable reading position over some topics: see `messageproxy.Client.subscription`."""
        return Subscription(self, name, topics)

    def _submit(self, function: Callable[[], Coroutine[Any, Any, _Result]]) -> concurrent.futures.Future[_Result]:
        """Runs a coroutine on the client's thread."""
        with self._lock:
            if self._ended:
                raise ClosedError
            return asyncio.run_coroutine_threadsafe(function(), self._loop)

    def _call(self, function: Callable[[], _Result]) -> _Result:
        """Calls a function on the client's thread, after what was produced before."""
        if threading.current_thread() is self._thread:
            return function()

        async def call() -> _Result:
            return function()

        return _result(self._submit(call))

    def _check_may_wait(self) -> None:
        if threading.current_thread() is self._thread:
            raise RuntimeError("callbacks and observers run on the client's thread, which would wait for itself")


class Subscription:
    """A named, durable reading position over some topics. Made by `Client.subscription`."""

    def __init__(self, client: Client, name: str, topics: tuple[str, ...]) -> None:
        self._client = client
        self._name = name
        self._topics = topics

    def consume(
        self,
        handler: Handler,
        *,
        max_handlers: int = 0,
        key_workers: int = 0,
        attempts: int = 5,
        retry_backoff: tuple[Duration, Duration] = (0.1, 10.0),
        failure_handler: FailureHandler | None = None,
        max_unacked: int = 0,
        ack_timeout: Duration = 0.0,
        start: StartPosition = StartPosition.EARLIEST,
        drain_timeout: Duration = 20.0,
        observer: Callable[[Event], object] | None = None,
    ) -> None:
        """Calls `handler` with the messages of the subscription, in threads of a pool, until a handler fails for good
        or the client is closed. KeyboardInterrupt stops it in good order. See `messageproxy.Subscription.consume` for
        the options and errors; `observer` is called on the client's thread. Use `start` to stop it yourself."""
        self._client._check_may_wait()
        consuming = self.start(
            handler,
            max_handlers=max_handlers,
            key_workers=key_workers,
            attempts=attempts,
            retry_backoff=retry_backoff,
            failure_handler=failure_handler,
            max_unacked=max_unacked,
            ack_timeout=ack_timeout,
            start=start,
            drain_timeout=drain_timeout,
            observer=observer,
        )
        try:
            consuming.result()
        except KeyboardInterrupt:
            consuming.stop()
            consuming.result()
            raise

    def start(
        self,
        handler: Handler,
        *,
        max_handlers: int = 0,
        key_workers: int = 0,
        attempts: int = 5,
        retry_backoff: tuple[Duration, Duration] = (0.1, 10.0),
        failure_handler: FailureHandler | None = None,
        max_unacked: int = 0,
        ack_timeout: Duration = 0.0,
        start: StartPosition = StartPosition.EARLIEST,
        drain_timeout: Duration = 20.0,
        observer: Callable[[Event], object] | None = None,
    ) -> Consuming:
        """Is `consume` in the background."""
        for name, function in (("handler", handler), ("failure_handler", failure_handler)):
            if not (callable(function) or (function is None and name == "failure_handler")):
                raise InvalidTypeError(f"consume: the {name} can't be called")
            if inspect.iscoroutinefunction(function):
                raise InvalidTypeError(f"consume: the {name} is an async function, which messageproxy.Client is for")
        consume_config(
            max_handlers=max_handlers,
            key_workers=key_workers,
            attempts=attempts,
            retry_backoff=retry_backoff,
            max_unacked=max_unacked,
            ack_timeout=ack_timeout,
            start=start,
            drain_timeout=drain_timeout,
            observer=observer,
        )  # here, so that the caller learns at once what is wrong
        client = self._client
        if client._client._closed:
            raise ClosedError
        stop = asyncio.Event()

        async def run() -> BaseException | None:
            """Consumes. The result is what must not be raised on the loop, since it would end that."""
            threads = max_handlers or key_workers or _MANY_THREADS
            pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="messageproxy-handler")
            try:
                await client._client.subscription(self._name, *self._topics).consume(
                    partial(_handle, pool, handler),
                    stop=stop,
                    max_handlers=max_handlers,
                    key_workers=key_workers,
                    attempts=attempts,
                    retry_backoff=retry_backoff,
                    failure_handler=None if failure_handler is None else partial(_handle, pool, failure_handler),
                    max_unacked=max_unacked,
                    ack_timeout=ack_timeout,
                    start=start,
                    drain_timeout=drain_timeout,
                    observer=None if observer is None else partial(_contain, observer),
                )
            except StopConsume as e:
                return e.__cause__
            finally:
                pool.shutdown(wait=False)
            return None

        return Consuming(client, stop, client._submit(run))


class Consuming:
    """A consume in the background. Made by `Subscription.start`."""

    def __init__(
        self, client: Client, stop: asyncio.Event, future: concurrent.futures.Future[BaseException | None]
    ) -> None:
        self._client = client
        self._stop = stop
        self._future = future

    def stop(self) -> None:
        """Has it stop in good order, and returns at once. May be called twice, and by a handler."""
        with contextlib.suppress(ClosedError):  # it has ended
            self._client._call(self._stop.set)

    def done(self) -> bool:
        """Whether it has ended."""
        return self._future.done()

    def result(self, timeout: Duration | None = None) -> None:
        """Waits until it has ended, and raises why, if it was not stopped. Raises TimeoutError if `timeout` (seconds or
        a timedelta; default: none) is over first."""
        limit = _limit(timeout)
        if not self._future.done():
            self._client._check_may_wait()
        try:
            error = _result(self._future, limit)
        except concurrent.futures.TimeoutError:
            if self._future.done():
                raise
            raise TimeoutError("it has not ended yet") from None
        if error is not None:
            raise error


def _limit(timeout: Duration | None) -> float | None:
    """A timeout as the standard library takes it."""
    return None if timeout is None else min(seconds("timeout", timeout), threading.TIMEOUT_MAX)


def _result(future: concurrent.futures.Future[_Result], limit: float | None = None) -> _Result:
    """Waits for what runs on a client's thread."""
    try:
        return future.result(limit)
    except concurrent.futures.CancelledError:
        raise ClosedError from None  # the thread has ended


class _WaitingRoom(Room):
    """The producer's room. Threads enter it before they hand their messages over, and wait for a place in the order in
    which they came; the producer gives the places back."""

    def __init__(self, max_messages: int, max_bytes: int, check_may_wait: Callable[[], None]) -> None:
        super().__init__(max_messages, max_bytes)
        self._check_may_wait = check_may_wait
        self._changed = threading.Condition()  # guards what follows, and the counts
        self._line: deque[_Ticket] = deque()
        self._closed = False

    def enter(self, size: int, deadline: float | None) -> None:
        """Takes a place, and waits until there is one."""
        with self._changed:
            ticket = _Ticket()
            self._line.append(ticket)
            try:
                while not self._may_go(ticket, size):
                    self._check_may_wait()
                    left = None if deadline is None else min(deadline - time.monotonic(), threading.TIMEOUT_MAX)
                    if left is not None and left <= 0:
                        raise ProduceTimeoutError
                    self._changed.wait(left)
            finally:
                self._line.remove(ticket)
                self._changed.notify_all()  # the next one may fit

    def _may_go(self, ticket: _Ticket, size: int) -> bool:
        """Takes a place if there is one and it is the ticket's turn. Raises why there never will be one."""
        if self._closed:
            raise ClosedError
        if ticket.error is not None:
            raise ticket.error
        return self._line[0] is ticket and super().take(size)

    def take(self, size: int) -> bool:
        """Is for the producer, whose messages have entered."""
        return True

    def give(self, messages: int, size: int) -> None:
        with self._changed:
            super().give(messages, size)
            self._changed.notify_all()

    def fail_waiting(self, error: MessageProxyError) -> None:
        """Has everybody who waits end with an error; those who come later wait as ever."""
        with self._changed:
            for ticket in self._line:
                ticket.error = copied(error)
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class _Ticket:
    """The place of a thread in the line of those who wait."""

    __slots__ = ("error",)

    def __init__(self) -> None:
        self.error: MessageProxyError | None = None


async def _handle(
    pool: concurrent.futures.ThreadPoolExecutor, handler: Callable[..., None], *arguments: object
) -> None:
    """Has a thread call somebody's handler."""
    end = threading.Event()
    called = asyncio.wrap_future(pool.submit(_call_in_thread, end, handler, *arguments))
    while not called.done():
        try:
            await asyncio.wait({called})
        except asyncio.CancelledError:
            end.set()  # it goes on until it notices
    called.result()


def _call_in_thread(end: threading.Event, handler: Callable[..., None], *arguments: object) -> None:
    _handling.ending = end
    try:
        _check_has_run(_contain(handler, *arguments))
    except StopIteration as e:
        raise RuntimeError("the handler raised StopIteration") from e  # which a future can't have
    finally:
        _handling.ending = None


def _contain(function: Callable[..., object], *arguments: object) -> object:
    """Calls a function of the application's, of which what would end the event loop ends consume instead."""
    try:
        return function(*arguments)
    except (Exception, asyncio.CancelledError):
        raise
    except BaseException as e:
        raise StopConsume from e


def _check_has_run(result: object) -> None:
    """Refuses what an async function or a generator has returned, of which nothing has run yet."""
    if result is None or not (inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result)):
        return
    if inspect.iscoroutine(result) or inspect.isgenerator(result):
        result.close()  # nobody will await it
    raise TypeError(f"the handler returned a {type(result).__name__}, and so has not run: it must be a plain function")


async def _others_end() -> None:
    """Waits until no other task is left on this loop."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)
