"""Clients and subscriptions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, overload

import grpc

from messageproxy._consumer import Consumer
from messageproxy._errors import ClosedError, InvalidTypeError, invalid
from messageproxy._events import Event
from messageproxy._message import OutgoingMessage, Receipt, encode
from messageproxy._messages import Messages
from messageproxy._options import (
    Duration,
    FailureHandler,
    Handler,
    StartPosition,
    check_stop,
    client_config,
    consume_config,
    seconds,
)
from messageproxy._producer import Pending, Producer
from messageproxy._target import check_target, credentials_of

_Bytes = bytes | bytearray | memoryview


class Client:
    """Produces and consumes messages. Make one per application and share it.

    A client belongs to the event loop in which it is first used, and is not thread-safe; see `messageproxy.sync` for
    programs without asyncio. It is an async context manager that closes it.
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
        """Makes a client of the message proxy at `target`; it connects when it is first used.

        Args:
            target: `host:port`, or any target that gRPC knows (`dns:///proxies.example.com:7070`). Where the name has
                several addresses, clients spread over them and move on when one fails.
            client_name: Names this client in the logs and metrics of the server, in at most 512 bytes. Need not be
                unique. Default: the host's name.
            tls: True: TLS with the system's roots. `grpc.ssl_channel_credentials(root_certificates)` or other
                credentials of gRPC: those. Default: plaintext.
            reconnect_backoff: How long to wait before connecting again: a random time up to a limit that doubles from
                the first to the second. Default: 100 ms and 10 s.
            max_outstanding: At most so many messages, and so many bytes of keys, values and headers, are taken over to
                produce and not answered; above that, produce waits. A message that is alone may be larger. Default:
                1,000 messages (as many as a server reads ahead by default) and 64 MiB.
            max_message_bytes: The largest message (key, value and headers, and 16 bytes for each header) that is sent;
                larger ones fail with `Code.MESSAGE_TOO_LARGE`. It protects the messages of others: the server answers
                a message above its own limit, but one that is far above it breaks the stream that all share.
                Default: 60 MiB. At most 1 GiB.
            logger: Gets lost streams, trouble and notices of the server and failing handlers as warnings, the rest of
                what happens to subscriptions as information; never a key, value or header. Default:
                `logging.getLogger("messageproxy")`, which shows nothing unless the application configures logging.
            channel_options: Options for gRPC's channels, stronger than the client's own. Default: none.

        Raises:
            MessageProxyError: With `Code.INVALID_ARGUMENT`: the target can never work, or an option is out of range.
        """
        check_target(target)
        self._target = target
        self._config = client_config(
            client_name,
            credentials_of(tls),
            reconnect_backoff,
            max_outstanding,
            max_message_bytes,
            logger,
            channel_options,
        )
        self._producer = Producer(target, self._config)
        self._consumers: set[Consumer] = set()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Client:
        self._check_loop()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @overload
    async def produce(self, message: OutgoingMessage, /, *, timeout: Duration | None = None) -> Receipt: ...

    @overload
    async def produce(
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

    async def produce(
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
        """Sends a message, given as such or as the fields of an `OutgoingMessage`, and waits until it is stored.

        Calls of many tasks share one stream and are batched: whatever gathers while a send is under way goes out
        together, and a message alone goes out at once. Messages are stored in the order of the calls in each partition.
        The message is copied: what changes afterwards has no effect. While the proxy can't be reached, it waits.

        An error for which `outcome_unknown` is true leaves open whether the message is stored; every other error says
        that it certainly is not and never will be. The client never sends a message twice, except after the server has
        said that it was not stored.

        Args:
            message: The message; instead of its fields.
            topic, key, value, headers, partition, timestamp: The fields of `OutgoingMessage`.
            timeout: Bounds the whole call, in seconds or as a timedelta. Default: no limit.

        Raises:
            ProduceTimeoutError: The timeout ended before the message was on the wire.
            UnknownOutcomeError: The message may be stored: the connection was lost, the client closed, or the timeout
                ended, before the server's answer.
            MessageProxyError: What the server says; or with `Code.INVALID_ARGUMENT` or `Code.MESSAGE_TOO_LARGE`, what
                is wrong with the message.
            ClosedError: The client is closed.
            asyncio.CancelledError: The task was cancelled. Its `__cause__` is an `UnknownOutcomeError` if the message
                was on the wire, and otherwise why there is no connection, if there is none.
        """
        loop = self._check_loop()
        limit = None if timeout is None else seconds("timeout", timeout)
        producer = self._producer
        encoded, size = encode(message, topic, key, value, headers, partition, timestamp, producer.max_message_bytes)
        pending = producer.take(encoded, size, loop.create_future())
        timer = None if limit is None else loop.call_later(limit, producer.expire, pending)
        try:
            return await pending.future
        except asyncio.CancelledError as cancelled:
            cancelled.__cause__ = producer.cancelled(pending)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    @overload
    async def produce_async(self, message: OutgoingMessage, /) -> asyncio.Future[Receipt]: ...

    @overload
    async def produce_async(
        self,
        /,
        *,
        topic: str,
        key: _Bytes | None = None,
        value: _Bytes | None = None,
        headers: Sequence[tuple[str, _Bytes | None]] = (),
        partition: int | None = None,
        timestamp: datetime | int | None = None,
    ) -> asyncio.Future[Receipt]: ...

    async def produce_async(
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
    ) -> asyncio.Future[Receipt]:
        """Is `produce` without the wait for the broker: it returns when the message is taken over.

        Before that it waits while as much is outstanding as `max_outstanding` allows. The future has the outcome;
        cancelling it withdraws the message, if it isn't on the wire yet. It raises what is wrong with the message and
        `ClosedError` itself; everything else is the future's.
        """
        future: asyncio.Future[Receipt] = self._check_loop().create_future()
        producer = self._producer
        encoded, size = encode(message, topic, key, value, headers, partition, timestamp, producer.max_message_bytes)
        pending = producer.take(encoded, size, future)
        future.add_done_callback(partial(_end_if_cancelled, producer, pending))
        await producer.taken_over(pending)
        return future

    async def flush(self) -> None:
        """Waits until every message that was taken over before the call is answered. Raises `ClosedError` if the client
        is closed."""
        self._check_loop()
        await self._producer.flush()

    async def close(self) -> None:
        """Ends the client. May be called twice.

        Unanswered messages fail: with `ClosedError` if they were never put on the wire, else with
        `UnknownOutcomeError`; `flush` before has them answered. Running consume calls stop in good order and end with
        `ClosedError`, each when its handlers have returned; close doesn't wait for them.
        """
        self._check_loop()
        self._begin_close()
        await self._producer.close()

    def _begin_close(self) -> None:
        self._closed = True
        for consumer in list(self._consumers):
            consumer.close()
        self._producer.begin_close()

    def subscription(self, name: str, *topics: str) -> Subscription:
        """A subscription: a named, durable reading position over some topics, shared by all clients that give the
        same name. All clients of one subscription give the same topics. Nothing happens until it is consumed."""
        return Subscription(self, name, topics)

    def _check_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            if self._loop is not None:
                raise RuntimeError("the client belongs to another event loop; see messageproxy.sync for use in threads")
            self._loop = loop
        return loop


def _end_if_cancelled(producer: Producer, pending: Pending, future: asyncio.Future[Receipt]) -> None:
    if future.cancelled():
        producer.cancelled(pending)


class Subscription:
    """A named, durable reading position over some topics. Made by `Client.subscription`."""

    def __init__(self, client: Client, name: str, topics: tuple[str, ...]) -> None:
        self._client = client
        self._name = name
        self._topics = topics

    async def consume(
        self,
        handler: Handler,
        *,
        stop: asyncio.Event | None = None,
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
        """Joins the subscription, on a connection of its own, and calls the async function `handler` with its
        messages.

        A handler that returns has its message ACKed; one that raises is called again. Messages of a partition are
        handled one after another, in order; several partitions at the same time. Calls of consume, as many as you
        like, are members of the subscription each.

        Delivery is at least once: a message may come again after a lost connection, here or at another client. When
        the connection is lost or a partition moves to another server, messages that haven't begun are dropped, running
        handlers are cancelled (`asyncio.CancelledError` is raised in them), and the partition's next handler starts
        only when its predecessor has ended.

        A task calls one handler after another: context variables that one sets are seen by later ones. Cancelling that
        task from outside ends consume with a `HandlerError`; the message is not ACKed.

        It goes on until it is stopped, and connects again after whatever can be retried. To stop it, set `stop`, or
        cancel its task: it asks for no more messages, waits for running handlers, sends their ACKs, and leaves. With
        `stop` it then returns, cancelled it raises `asyncio.CancelledError`. Cancelled a second time it leaves at once.

        Args:
            handler: Called with each `Message`.
            stop: When it is set, consume stops in good order and returns. Default: none.
            max_handlers: How many handlers run at once. Default, and 0: one for each partition that has messages.
            key_workers: So many workers handle messages by key instead of by partition: messages with equal keys are
                handled one after another, in order, others at the same time; those without a key in no order. Messages
                may then be ACKed while earlier ones of their partition are not. A broker that keeps one position for
                each partition (Kafka) forgets such ACKs when the partition goes to another server, or when the last
                client leaves: those messages come again. Default, and 0: by partition.
            attempts: How often a handler is called with a message before it has failed for good. All attempts begin
                within nine tenths of the ACK timeout; when the next one couldn't, it has failed for good earlier.
                Messages that must stay in order wait meanwhile. Default: 5.
            retry_backoff: The wait between attempts: a random time up to a limit that doubles from the first to the
                second. Default: 100 ms, 10 s.
            failure_handler: Decides what becomes of a message with which the handler failed for good: when it returns
                the message is ACKed, when it raises consume stops with that error. `skip_failed` is a ready-made one.
                Default: consume stops with a `HandlerError`; the message is not ACKed and so delivered again.
            max_unacked: Lowers the server's limit of messages that this call holds without having ACKed them. Default,
                and 0: the server's limit, 1,000 unless configured otherwise. At most 2^31 - 1.
            ack_timeout: Asks for another time that this call may take over its oldest message before it is thrown out.
                The server has a maximum. Default, and 0: the server's, 60 s unless configured otherwise.
            start: Where the subscription begins in partitions in which it has no position yet. All clients of a
                subscription give the same. Default: the oldest message.
            drain_timeout: How long to wait, when stopping, for running handlers. Then they are cancelled and get a
                second more. Default: 20 s.
            observer: Called with each `Event`. It must not block. Default: none.

        Raises:
            HandlerError: A handler failed for good. (Or what the failure handler raised.)
            MessageProxyError: The server ended the stream with an error that trying again won't help:
                INVALID_ARGUMENT, TOPIC_NOT_FOUND, PARTITION_NOT_FOUND, SUBSCRIPTION_CONFLICT, UNAUTHENTICATED,
                PERMISSION_DENIED, UNSUPPORTED, or one of a code that this version doesn't know and that isn't
                retryable. Or, with INVALID_ARGUMENT, an option is out of range.
            HandlersRunningError: Handlers ran on after the drain timeout, and were left behind.
            ClosedError: The client is closed.
            asyncio.CancelledError: The task was cancelled. Its `__cause__` is the error, if there was one besides.
        """
        config = consume_config(
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
        check_stop(stop)
        if not callable(handler):
            raise InvalidTypeError("consume: the handler can't be called")
        for name in (self._name, *self._topics):
            _check_name(name)
        client = self._client
        client._check_loop()
        if client._closed:
            raise ClosedError
        consumer = Consumer(client._target, client._config, self._name, self._topics, handler, config)
        client._consumers.add(consumer)
        watcher = asyncio.create_task(_stop_when(stop, consumer)) if stop is not None else None
        try:
            await _run(consumer)
        finally:
            client._consumers.discard(consumer)
            if watcher is not None:
                watcher.cancel()

    def messages(
        self,
        *,
        stop: asyncio.Event | None = None,
        max_unacked: int = 0,
        ack_timeout: Duration = 0.0,
        start: StartPosition = StartPosition.EARLIEST,
        observer: Callable[[Event], object] | None = None,
    ) -> Messages:
        """The messages of the subscription, for `async for`, one at a time. See `Messages`; the options, limits and
        errors are those of `consume`. Without `max_unacked`, as many as the server allows wait in the client."""

        check_stop(stop)

        def consume(handler: Handler, stopping: asyncio.Event) -> asyncio.Task[None]:
            return asyncio.create_task(
                self.consume(
                    handler,
                    stop=stopping,
                    max_handlers=1,
                    max_unacked=max_unacked,
                    ack_timeout=ack_timeout,
                    start=start,
                    observer=observer,
                ),
                name="messageproxy: messages",
            )

        return Messages(consume, stop)


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        raise InvalidTypeError(f"consume: {name!r} is not a str, which subscriptions and topics must be")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise invalid(f"consume: {name!r} is not valid Unicode, which subscriptions and topics must be") from None


async def _stop_when(stop: asyncio.Event, consumer: Consumer) -> None:
    await stop.wait()
    consumer.stop(None)


async def _run(consumer: Consumer) -> None:
    """Runs a consumer in a task of its own, so that the end of the caller's can be answered in good order."""
    task = asyncio.create_task(consumer.run(), name="messageproxy: consumer")
    try:
        # Unlike await, and asyncio.shield, this neither passes the cancellation on nor forgets an error.
        await asyncio.wait({task})
    except asyncio.CancelledError as cancelled:
        consumer.stop(None)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
        if not task.cancelled():
            cancelled.__cause__ = task.exception()
        raise
    await task
