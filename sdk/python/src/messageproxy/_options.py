"""The options of clients and of consume, checked."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any, TypeAlias

import grpc

from messageproxy._errors import InvalidTypeError, MessageProxyError, invalid
from messageproxy._events import Event
from messageproxy._message import Message

Duration: TypeAlias = float | timedelta
"""A time span: seconds, or a timedelta."""

Handler: TypeAlias = Callable[[Message], Awaitable[None]]
"""Handles a message. When it returns, the message is ACKed; when it raises, it is called again."""

FailureHandler: TypeAlias = Callable[[Message, BaseException], Awaitable[None]]
"""Decides what becomes of a message with which the handler failed for good, given the handler's last error.
When it returns, the message is ACKed and its partition goes on; when it raises, consume stops with that error."""

_LONGEST_NAME = 512
_LARGEST_MESSAGE = 1 << 30
_LARGEST_INT32 = (1 << 31) - 1
_LONGEST_DURATION = 315_576_000_000.0  # of protobuf's Duration


class StartPosition(Enum):
    """Where a subscription begins in partitions in which it has no position yet."""

    EARLIEST = "earliest"
    """At the oldest message."""
    LATEST = "latest"
    """With what comes after the subscription was first used."""


async def skip_failed(message: Message, error: BaseException) -> None:
    """A failure handler that ACKs the message, as if it had been handled. Only the log tells of it."""


@dataclass(slots=True, frozen=True)
class ClientConfig:
    """The options of a client, all valid."""

    client_name: str
    credentials: grpc.ChannelCredentials | None
    min_backoff: float
    max_backoff: float
    outstanding_messages: int
    outstanding_bytes: int
    max_message_bytes: int
    logger: logging.Logger
    channel_options: tuple[tuple[str, Any], ...]


@dataclass(slots=True, frozen=True)
class ConsumeConfig:
    """The options of a consume, all valid."""

    max_handlers: int
    key_workers: int
    attempts: int
    min_retry_backoff: float
    max_retry_backoff: float
    failure_handler: FailureHandler | None
    max_unacked: int
    ack_timeout: float
    start: StartPosition
    drain_timeout: float
    observer: Callable[[Event], object] | None


def client_config(
    client_name: str | None,
    credentials: grpc.ChannelCredentials | None,
    reconnect_backoff: tuple[Duration, Duration],
    max_outstanding: tuple[int, int],
    max_message_bytes: int,
    logger: logging.Logger | None,
    channel_options: Sequence[tuple[str, Any]],
) -> ClientConfig:
    """Checks the options of a client."""
    min_backoff, max_backoff = _pair("reconnect_backoff", reconnect_backoff)
    minimum, maximum = seconds("reconnect_backoff", min_backoff), seconds("reconnect_backoff", max_backoff)
    if minimum <= 0 or maximum < minimum:
        raise _out_of_range(
            "reconnect_backoff",
            f"{minimum} s and {maximum} s: the first must be above 0, the second not below the first",
        )
    messages, size = _pair("max_outstanding", max_outstanding)
    if not (isinstance(logger, logging.Logger) or logger is None):
        raise InvalidTypeError(f"logger: {type(logger).__name__} is not a logging.Logger")
    return ClientConfig(
        client_name=_name(client_name),
        credentials=credentials,
        min_backoff=minimum,
        max_backoff=maximum,
        outstanding_messages=_integer("max_outstanding", messages, 1),
        outstanding_bytes=_integer("max_outstanding", size, 1),
        max_message_bytes=_integer("max_message_bytes", max_message_bytes, 1, _LARGEST_MESSAGE),
        logger=logger or logging.getLogger("messageproxy"),
        channel_options=tuple(channel_options),
    )


def consume_config(
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
) -> ConsumeConfig:
    """Checks the options of a consume."""
    first, second = _pair("retry_backoff", retry_backoff)
    minimum, maximum = seconds("retry_backoff (of attempts)", first), seconds("retry_backoff (of attempts)", second)
    if maximum < minimum:
        raise _out_of_range(
            "retry_backoff (of attempts)", f"{minimum} s and {maximum} s: the second must not be below the first"
        )
    for option, function in (("failure_handler", failure_handler), ("observer", observer)):
        if function is not None and not callable(function):
            raise InvalidTypeError(f"{option}: {type(function).__name__} can't be called")
    try:
        start = StartPosition(start)
    except ValueError:
        raise _out_of_range("start", f"{start!r} is not a start position") from None
    return ConsumeConfig(
        max_handlers=_integer("max_handlers", max_handlers, 0),
        key_workers=_integer("key_workers", key_workers, 0),
        attempts=_integer("attempts", attempts, 1),
        min_retry_backoff=minimum,
        max_retry_backoff=maximum,
        failure_handler=failure_handler,
        max_unacked=_integer("max_unacked", max_unacked, 0, _LARGEST_INT32),
        ack_timeout=min(seconds("ack_timeout", ack_timeout), _LONGEST_DURATION),
        start=start,
        drain_timeout=seconds("drain_timeout", drain_timeout),
        observer=observer,
    )


def seconds(option: str, duration: Duration) -> float:
    """A time span as seconds; raises if it is none, or below 0."""
    if isinstance(duration, timedelta):
        duration = duration.total_seconds()
    if isinstance(duration, bool) or not isinstance(duration, int | float):
        raise InvalidTypeError(f"{option}: {type(duration).__name__} is no time span: give seconds or a timedelta")
    try:
        duration = float(duration)
    except OverflowError:
        raise _out_of_range(option, "the time span is too large") from None
    if not math.isfinite(duration) or duration < 0:
        raise _out_of_range(option, f"{duration} s is not a number from 0")
    return duration


def check_stop(stop: asyncio.Event | None) -> None:
    """Refuses events of other kinds: a threading.Event would have the loop wait, and with it everything."""
    if not (isinstance(stop, asyncio.Event) or stop is None):
        raise InvalidTypeError(f"stop: {type(stop).__module__}.{type(stop).__name__} is not an asyncio.Event")


def _name(name: str | None) -> str:
    if name is None:
        host = socket.gethostname().encode(errors="replace")
        return host[:_LONGEST_NAME].decode(errors="ignore")
    if not isinstance(name, str):
        raise InvalidTypeError(f"client_name: {type(name).__name__} is not str")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise _out_of_range("client_name", f"{name!r} is not valid Unicode") from None
    if size > _LONGEST_NAME:
        raise _out_of_range("client_name", f"the name has {size} bytes, more than {_LONGEST_NAME}")
    return name


def _integer(option: str, value: int, least: int, most: int | None = None) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidTypeError(f"{option}: {value!r} is not an integer")
    if value < least:
        raise _out_of_range(option, f"{value} is below {least}")
    if most is not None and value > most:
        raise _out_of_range(option, f"{value} is above {most}")
    return value


def _pair(option: str, value: tuple[Any, Any]) -> tuple[Any, Any]:
    try:
        first, second = value
    except (TypeError, ValueError):
        raise InvalidTypeError(f"{option}: {value!r} is not a pair") from None
    return first, second


def _out_of_range(option: str, why: str) -> MessageProxyError:
    return invalid(f"{option}: {why}")
