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


def encode(
    message: OutgoingMessage | None,
    topic: str | None,
    key: bytes | bytearray | memoryview | None,
    value: bytes | bytearray | memoryview | None,
    headers: Sequence[tuple[str, bytes | bytearray | memoryview | None]],
    partition: int | None,
    timestamp: datetime | int | None,
    max_bytes: int,
) -> tuple[bytes, int]:
    """What produce was given, a message or the fields of one, as the wire has it but for its sequence, and its size.
    Raises why it can't be produced.

    What it lets through can always be sent, so that no message can break the stream of the others.
    """
    if message is not None:
        _check_alone(message, topic, key, value, headers or None, partition, timestamp)
        m = message
        return encode(None, m.topic, m.key, m.value, m.headers, m.partition, m.timestamp, max_bytes)
    # The fields that most messages have are encoded by hand, which takes a third of the time.
    encoded = _encoded_topics.get(topic) if type(topic) is str else None
    if encoded is None:
        encoded = _encode_topic(topic)
    if key is not None and type(key) is not bytes:
        key = _as_bytes("key", key)
    if value is not None and type(value) is not bytes:
        value = _as_bytes("value", value)
    size = (len(key) if key else 0) + (len(value) if value else 0)
    others = None
    if headers or partition is not None or timestamp is not None:
        others = _other_fields(headers, partition, timestamp)
        size += sum(len(h.key.encode()) + len(h.value) + HEADER_BYTES for h in others.headers)
    if size > max_bytes:
        raise MessageProxyError(
            Code.MESSAGE_TOO_LARGE,
            f"the message for topic {topic!r} has {size} bytes, above the client's limit of {max_bytes}; "
            "if the server takes it, raise max_message_bytes",
        )
    # Tags: OutgoingMessage.key is field 3, value field 4 (both bytes).
    if key is not None:
        encoded = encoded + b"\x1a" + _varint(len(key)) + key
    if value is not None:
        encoded = encoded + b"\x22" + _varint(len(value)) + value
    if others is not None:
        encoded += others.SerializeToString()
    return encoded, size


def _check_alone(message: object, *fields: object) -> None:
    if not isinstance(message, OutgoingMessage):
        raise InvalidTypeError(f"produce takes an OutgoingMessage, not {type(message).__name__}")
    if any(field is not None for field in fields):
        raise InvalidTypeError("produce takes either a message or its fields")


# The topics of late, encoded. Applications have few.
_encoded_topics: dict[str, bytes] = {}
_MOST_ENCODED_TOPICS = 1000


def _encode_topic(topic: object) -> bytes:
    """A message that has nothing but its topic."""
    if not topic:
        raise _refused("it has no topic")
    encoded = wire.OutgoingMessage(topic=_checked_text("topic", topic)).SerializeToString()
    if type(topic) is str:
        if len(_encoded_topics) >= _MOST_ENCODED_TOPICS:
            _encoded_topics.clear()
        _encoded_topics[topic] = encoded
    return encoded


def _other_fields(
    headers: Sequence[tuple[str, bytes | bytearray | memoryview | None]],
    partition: int | None,
    timestamp: datetime | int | None,
) -> wire.OutgoingMessage:
    """A message that has nothing but what messages have rarely."""
    fields = wire.OutgoingMessage()
    try:
        pairs = enumerate(headers)
    except TypeError:
        raise InvalidTypeError(f"{_CANT}: its headers are {type(headers).__name__}, not pairs") from None
    for i, header in pairs:
        try:
            name, content = header
        except (TypeError, ValueError):
            raise InvalidTypeError(f"{_CANT}: its header {i} is not a pair of key and value") from None
        name = _checked_text(f"header {i}'s key", name)
        fields.headers.add(key=name, value=None if content is None else _as_bytes(f"header {i}'s value", content))
    try:
        if partition is not None:
            fields.partition = partition
        if timestamp is not None:
            fields.timestamp_ms = _milliseconds(timestamp)
    except TypeError as e:
        raise InvalidTypeError(f"{_CANT}: {e}") from e
    except ValueError as e:  # a number that is out of range
        raise _refused(str(e)) from e
    return fields


_CANT = "the message can't be produced"


def _refused(why: str) -> MessageProxyError:
    return invalid(f"{_CANT}: {why}")


def _checked_text(what: str, text: object) -> str:
    """`text`; raises if it can't be sent."""
    if not isinstance(text, str):
        raise InvalidTypeError(f"{_CANT}: its {what} is {type(text).__name__}, not str")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _refused(f"its {what} {text!r} is not valid Unicode") from None
    return text


def _as_bytes(what: str, value: object) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise InvalidTypeError(f"{_CANT}: its {what} is {type(value).__name__}, not bytes; encode text with .encode()")


def _milliseconds(timestamp: datetime | int) -> int:
    if not isinstance(timestamp, datetime):
        return timestamp
    if timestamp.tzinfo is None:
        raise _refused("its timestamp has no time zone")
    return (timestamp - _EPOCH) // timedelta(milliseconds=1)


def frame(messages: Sequence[bytes], first: int) -> bytes:
    """A ProduceRequest with encoded messages, whose sequences count from `first`."""
    parts: list[bytes] = []
    # Most lengths and most of each sequence are those of another message, so that little is encoded anew.
    starts: dict[int, bytes] = {}  # by length
    above = -1  # the sequence without its lowest seven bits
    for sequence, message in enumerate(messages, first):
        if sequence >> 7 != above:
            above = sequence >> 7
            rest = _varint(above) if above else b""
            sequences = _SEQUENCES_GOING_ON if above else _SEQUENCES
            more = 2 + len(rest)
        length = len(message) + more
        start = starts.get(length)
        if start is None:
            # Tag: ProduceRequest.messages is field 1 (bytes).
            start = starts[length] = b"\x0a" + _varint(length)
        parts += (start, sequences[sequence & 0x7F], rest, message)
    return b"".join(parts)


def _varint(value: int) -> bytes:
    if value < 1 << 7:
        return _SEVEN_BITS[value]
    if value < 1 << 14:  # the lengths of most messages
        return bytes((value & 0x7F | 0x80, value >> 7))
    return bytes((value & 0x7F | 0x80,)) + _varint(value >> 7)


_SEVEN_BITS = [bytes((n,)) for n in range(1 << 7)]
# The lowest seven bits of a sequence: alone, and with more to follow. Tag: it is field 1 (varint).
_SEQUENCES = [bytes((0x08, n)) for n in range(1 << 7)]
_SEQUENCES_GOING_ON = [bytes((0x08, n | 0x80)) for n in range(1 << 7)]


def receipt_from_wire(r: wire.MessageReceipt) -> Receipt:
    """Where a message is stored."""
    receipt = object.__new__(Receipt)  # its __init__ would take longer than all the rest
    receipt.message_id = r.message_id
    receipt.partition = r.partition
    receipt.timestamp_ms = r.timestamp_ms
    return receipt
