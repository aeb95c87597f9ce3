"""The errors of the package, and what they are made of on the wire."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

from messageproxy.v1 import messageproxy_pb2 as wire

if TYPE_CHECKING:
    from messageproxy._message import Message


class Code(IntEnum):
    """The kind of a `MessageProxyError`: the numbers of the wire contract's ErrorCode.

    Numbers that this version doesn't know, of a newer server, are kept: `Code(999)` is a code too.
    """

    UNSPECIFIED = 0
    """The server gave no code."""
    INVALID_ARGUMENT = 1
    """The message or an option isn't valid; the error says which and why."""
    TOPIC_NOT_FOUND = 2
    """There is no such topic."""
    PARTITION_NOT_FOUND = 3
    """The topic has no such partition."""
    MESSAGE_TOO_LARGE = 4
    """The message is above a limit of the client, the server or the broker."""
    BROKER_UNAVAILABLE = 5
    """The proxy can't be reached, or not the broker behind it."""
    UNKNOWN_OUTCOME = 6
    """The message may or may not be stored: the answer was lost."""
    CONSUME_FAILED = 7
    """The server can't receive messages from the broker."""
    ACK_FAILED = 8
    """The server can't make ACKs durable."""
    NOT_HELD = 9
    """ACKs of messages that this client doesn't hold any more."""
    ACK_TIMEOUT = 10
    """This client's oldest message wasn't ACKed in time."""
    SUBSCRIPTION_CONFLICT = 11
    """The subscription is in use with other topics or another start position."""
    UNAUTHENTICATED = 12
    """The credentials are missing or not accepted."""
    PERMISSION_DENIED = 13
    """The credentials don't allow this."""
    RESOURCE_EXHAUSTED = 14
    """A limit of the server is reached."""
    SHUTTING_DOWN = 15
    """The server is shutting down."""
    INTERNAL = 16
    """Something went wrong in the server."""
    MESSAGES_EXPIRED = 17
    """The broker deleted messages before they were delivered."""
    UNSUPPORTED = 18
    """The server or the broker behind it doesn't have the feature."""

    @classmethod
    def _missing_(cls, value: object) -> Code | None:
        if not isinstance(value, int):
            return None
        # Not remembered: a server could send any number of them.
        code = int.__new__(cls, value)
        code._name_ = f"CODE_{value}"
        code._value_ = value
        return code

    def __str__(self) -> str:
        """The code in a person's words."""
        return _WORDS.get(self.value, f"code {self.value}")


_WORDS = {
    **{code.value: code.name.lower().replace("_", " ") for code in Code},
    Code.UNSPECIFIED.value: "error",
    Code.BROKER_UNAVAILABLE.value: "unavailable",
    Code.ACK_FAILED.value: "ACK failed",
    Code.ACK_TIMEOUT.value: "ACK timeout",
    Code.INTERNAL.value: "internal error",
}


class MessageProxyError(Exception):
    """An error that the server sent, or that the client found in the server's place.

    What caused it, if something did, is its `__cause__`.
    """

    code: Code
    """Its kind."""
    message: str
    """For a person: what happened and what to do."""
    retryable: bool
    """Whether the same call can succeed later."""
    message_ids: tuple[str, ...]
    """The messages that the error is about, if it is about some; at most 1,000."""

    def __init__(
        self, code: Code, message: str = "", *, retryable: bool = False, message_ids: Sequence[str] = ()
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.message_ids = tuple(message_ids)

    def __str__(self) -> str:
        """The kind, what happened, and the cause."""
        parts = [str(self.code), self.message, str(self.__cause__) if self.__cause__ else ""]
        return ": ".join(part for part in parts if part)


class UnknownOutcomeError(MessageProxyError):
    """A produced message may or may not be stored. Its code is `Code.UNKNOWN_OUTCOME`.

    Produce the message again if a duplicate is better than a loss.
    """

    def __init__(self, message: str = "", *, message_ids: Sequence[str] = ()) -> None:
        super().__init__(Code.UNKNOWN_OUTCOME, message, retryable=True, message_ids=message_ids)


class InvalidTypeError(MessageProxyError, TypeError):
    """Something has a type that it can't have: a `str` where bytes are needed, for example. `Code.INVALID_ARGUMENT`."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.INVALID_ARGUMENT, message)


class ProduceTimeoutError(TimeoutError):
    """The `timeout` of a produce ended before its message was on the wire: it is certainly not stored.

    If there was no connection to the proxy, `__cause__` says why.
    """

    def __str__(self) -> str:
        text = "the message was not sent before the timeout ended"
        return f"{text} (no connection to the proxy: {self.__cause__})" if self.__cause__ else text


class ClosedError(Exception):
    """The client is closed."""

    def __init__(self) -> None:
        super().__init__("the client is closed")


class HandlerError(Exception):
    """A handler failed for good. Consume ends with it unless a failure handler decides otherwise.

    The error of the last attempt is its `__cause__`.
    """

    message: Message
    """The message, which is not ACKed."""
    attempts: int
    """How many times the handler was called with it."""

    def __init__(self, message: Message, attempts: int, cause: BaseException) -> None:
        super().__init__(message, attempts, cause)
        self.message = message
        self.attempts = attempts
        self.__cause__ = cause

    def __repr__(self) -> str:
        # Gets into logs, and so without the message's key, value and headers.
        return f"{type(self).__name__}({str(self)!r})"

    def __str__(self) -> str:
        m = self.message
        return (
            f"the handler failed {self.attempts} times with message {m.id} of {m.topic}/{m.partition}: "
            f"{describe(self.__cause__)}"
        )


class HandlersRunningError(Exception):
    """Consume gave up waiting for handlers, and left them behind.

    Why it stopped, if with an error, is its `__cause__`.
    """

    running: int
    """How many still ran."""

    def __init__(self, running: int, drain_timeout: float) -> None:
        super().__init__(
            f"handlers are still running: {running} did not return within the drain timeout of {drain_timeout:g} s"
        )
        self.running = running


def outcome_unknown(error: BaseException | None) -> bool:
    """Whether `error`, of a produce, leaves open whether the message is stored. If not, it certainly isn't.

    It looks at the error and its causes, and so is right for an `asyncio.CancelledError` too, and for the
    `TimeoutError` that `asyncio.timeout` makes of one.
    """
    while error is not None:
        if isinstance(error, MessageProxyError):
            return error.code == Code.UNKNOWN_OUTCOME
        cause, context = error.__cause__, error.__context__
        if cause is None and isinstance(error, CancelledError) and isinstance(context, CancelledError):
            cause = context  # Python 3.10 raises another one where the task is awaited
        error = cause
    return False


def describe(error: BaseException | None) -> str:
    """The text of an error; its type if it has none."""
    return str(error) or type(error).__name__


def error_from_wire(error: wire.Error) -> MessageProxyError:
    """What an Error of the wire contract says. Codes that this version doesn't know keep their number."""
    code = Code(error.code)
    if code == Code.UNKNOWN_OUTCOME:
        unknown = UnknownOutcomeError(error.message, message_ids=error.message_ids)
        unknown.retryable = error.retryable
        return unknown
    return MessageProxyError(code, error.message, retryable=error.retryable, message_ids=tuple(error.message_ids))


def invalid(message: str) -> MessageProxyError:
    """The error of something that the caller gave."""
    return MessageProxyError(Code.INVALID_ARGUMENT, message)


def unavailable(message: str) -> MessageProxyError:
    """The error of a stream that ended without saying why."""
    return MessageProxyError(Code.BROKER_UNAVAILABLE, message, retryable=True)


def copied(error: MessageProxyError) -> MessageProxyError:
    """An error that says the same; one that is raised in several places would gather all their tracebacks."""
    copy = MessageProxyError(error.code, error.message, retryable=error.retryable, message_ids=error.message_ids)
    copy.__cause__ = error.__cause__
    return copy


_FOR_GOOD = frozenset(
    {
        Code.INVALID_ARGUMENT,
        Code.TOPIC_NOT_FOUND,
        Code.PARTITION_NOT_FOUND,
        Code.SUBSCRIPTION_CONFLICT,
        Code.UNAUTHENTICATED,
        Code.PERMISSION_DENIED,
        Code.UNSUPPORTED,
    }
)
_FOR_NOW = frozenset(
    {
        Code.SHUTTING_DOWN,
        Code.BROKER_UNAVAILABLE,
        Code.CONSUME_FAILED,
        Code.ACK_FAILED,
        Code.ACK_TIMEOUT,
        Code.RESOURCE_EXHAUSTED,
        Code.INTERNAL,
    }
)


def ends_for_good(error: MessageProxyError) -> bool:
    """Whether a stream that ended with `error` would only end with it again.

    Some codes decide that whatever the server says; the others by `retryable`.
    """
    if error.code in _FOR_GOOD:
        return True
    return error.code not in _FOR_NOW and not error.retryable
