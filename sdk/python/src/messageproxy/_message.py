"""Messages and receipts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import NamedTuple, TypeAlias

from messageproxy._errors import Code, InvalidTypeError, MessageProxyError, invalid
from messageproxy.v1 import messageproxy_pb2 as wire

Header: TypeAlias = tuple[str, bytes | None]
"""An entry of a message's headers: its key, and its value, where absent (None) is another value than empty."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

HEADER_BYTES = 16
"""About what a header costs beside its own bytes."""


class TopicPartition(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        """`topic/partition`"""
        return f"{self.topic}/{self.partition}"


@dataclass(slots=True)
class OutgoingMessage:
    """A message to produce."""

    topic: str
    """Where it goes. Required."""
    key: bytes | bytearray | memoryview | None = None
    """Messages of a topic with equal keys go to the same partition and so stay in order.
    None: absent, any partition; which is not the same as empty."""
    value: bytes | bytearray | memoryview | None = None
    """The payload. None: absent (a tombstone on a compacted topic), which is not the same as empty."""
    headers: Sequence[tuple[str, bytes | bytearray | memoryview | None]] = ()
    """Keys and values, in order; keys may repeat."""
    partition: int | None = None
    """Sends the message to this partition, whatever its key. None: the key chooses."""
    timestamp: datetime | int | None = None
    """When the event happened: a datetime with a time zone, or milliseconds since the Unix epoch.
    None: the time at which the server receives the message."""


@dataclass(slots=True)
class Message:
    """A message that was consumed."""

    topic: str
    """Where it comes from."""
    partition: int
    """The partition of `topic` that it comes from."""
    key: bytes | None
    """Its key. None: absent, which is not the same as empty."""
    value: bytes | None
    """Its payload. None: absent, which is not the same as empty."""
    headers: tuple[Header, ...]
    """Its headers, in order; keys may repeat."""
    timestamp_ms: int
    """When the event happened, in milliseconds since the Unix epoch."""
    id: str
    """Identifies the message: the same on every delivery, and never that of another message."""
    delivery_attempt: int
    """1 when the message is delivered for the first time, as far as the server knows, 2 the next time, ...
    A handler that is called again after a failure sees the same number."""

    @property
    def timestamp(self) -> datetime:
        """`timestamp_ms` as a datetime in UTC. Raises OverflowError beyond the year 9999."""
        return _EPOCH + timedelta(milliseconds=self.timestamp_ms)


@dataclass(slots=True)
class Receipt:
    """Where a produced message is stored."""

    message_id: str
    """The id that consumers will see. Empty where the broker doesn't tell."""
    partition: int
    """The partition to which it went."""
    timestamp_ms: int
    """The stored timestamp, in milliseconds since the Unix epoch."""

    @property
    def timestamp(self) -> datetime:
        """`timestamp_ms` as a datetime in UTC. Raises OverflowError beyond the year 9999."""
        return _EPOCH + timedelta(milliseconds=self.timestamp_ms)


def encode(message: OutgoingMessage, max_bytes: int) -> tuple[bytes, int]:
    """`message` as the wire has it but for its sequence, and its size. Raises why it can't be produced.

    What it lets through can always be sent, so that no message can break the stream of the others.
    """
    if not message.topic:
        raise _refused("it has no topic")
    _check_text("topic", message.topic)
    key, value = message.key, message.value
    if type(key) is not bytes:
        key = _as_bytes("key", key)
    if type(value) is not bytes:
        value = _as_bytes("value", value)
    size = (len(key) if key else 0) + (len(value) if value else 0)
    headers: list[wire.Header] = []
    for i, header in enumerate(message.headers):
        try:
            name, content = header
        except (TypeError, ValueError):
            raise InvalidTypeError(f"{_CANT}: its header {i} is not a pair of key and value") from None
        name_bytes = _check_text(f"header {i}'s key", name)
        content = _as_bytes(f"header {i}'s value", content)
        headers.append(wire.Header(key=name, value=content))
        size += name_bytes + len(content or b"") + HEADER_BYTES
    if size > max_bytes:
        raise MessageProxyError(
            Code.MESSAGE_TOO_LARGE,
            f"the message for topic {message.topic!r} has {size} bytes, above the client's limit of {max_bytes}; "
            "if the server takes it, raise max_message_bytes",
        )
    try:
        encoded = wire.OutgoingMessage(topic=message.topic, key=key, value=value)
        if headers:
            encoded.headers.extend(headers)
        if message.partition is not None:
            encoded.partition = message.partition
        if message.timestamp is not None:
            encoded.timestamp_ms = _milliseconds(message.timestamp)
    except TypeError as e:
        raise InvalidTypeError(f"{_CANT}: {e}") from e
    except ValueError as e:  # a number that is out of range
        raise _refused(str(e)) from e
    return encoded.SerializeToString(), size


_CANT = "the message can't be produced"


def _refused(why: str) -> MessageProxyError:
    return invalid(f"{_CANT}: {why}")


def _check_text(what: str, text: object) -> int:
    """How many bytes `text` has; raises if it can't be sent."""
    if not isinstance(text, str):
        raise InvalidTypeError(f"{_CANT}: its {what} is {type(text).__name__}, not str")
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise _refused(f"its {what} {text!r} is not valid Unicode") from None


def _as_bytes(what: str, value: object) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    raise InvalidTypeError(f"{_CANT}: its {what} is {type(value).__name__}, not bytes; encode text with .encode()")


def _milliseconds(timestamp: datetime | int) -> int:
    if not isinstance(timestamp, datetime):
        return timestamp
    if timestamp.tzinfo is None:
        raise _refused("its timestamp has no time zone")
    return (timestamp - _EPOCH) // timedelta(milliseconds=1)


def frame_part(encoded: bytes, sequence: int) -> bytes:
    """An encoded message with its sequence, as one of ProduceRequest.messages. A frame is several of them."""
    number = _varint(sequence)
    # Tags: ProduceRequest.messages is field 1 (bytes), OutgoingMessage.sequence field 1 (varint).
    return b"".join((b"\x0a", _varint(1 + len(number) + len(encoded)), b"\x08", number, encoded))


def _varint(value: int) -> bytes:
    if value < 1 << 7:
        return bytes((value,))
    if value < 1 << 14:  # the lengths of most messages, and their sequences
        return bytes((value & 0x7F | 0x80, value >> 7))
    if value < 1 << 21:
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))
    return bytes((value & 0x7F | 0x80,)) + _varint(value >> 7)


def messages_from_wire(part: wire.PartitionMessages) -> list[Message]:
    """The messages of one partition."""
    topic, partition = part.topic, part.partition
    return [
        Message(
            topic,
            partition,
            m.key if m.HasField("key") else None,
            m.value if m.HasField("value") else None,
            tuple([(h.key, h.value if h.HasField("value") else None) for h in m.headers]) if m.headers else (),
            m.timestamp_ms,
            m.id,
            m.delivery_attempt,
        )
        for m in part.messages
    ]
