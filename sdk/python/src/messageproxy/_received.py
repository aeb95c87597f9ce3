"""What a consumer receives, as the application gets it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from messageproxy._message import Header, Message, TopicPartition
from messageproxy.v1 import messageproxy_pb2 as wire


class PartitionMessages(NamedTuple):
    """Messages of one partition that came together."""

    partition: TopicPartition
    messages: Iterator[Message]  # made when they are asked for


Received: TypeAlias = list[PartitionMessages] | wire.ConsumeResponse
"""What a response of a Consume stream says: it delivers messages, or is the response itself."""

# Up to this size a response is decoded by columns first. Most larger responses have large messages, with which little
# is gained, and much copied twice if their fields can't be told apart so.
_MAX_COLUMNAR_BYTES = 256 << 10


def decode(encoded: bytes) -> Received:
    """What a response says. Raises DecodeError."""
    any_headers = True
    if len(encoded) <= _MAX_COLUMNAR_BYTES:
        columnar = _ColumnarResponse.FromString(encoded)
        parts = [part for part in columnar.batch.partitions if part.HasField("messages")]
        if parts and all(_is_regular(part.messages) for part in parts):
            return [_from_columns(part) for part in parts]
        any_headers = any(part.messages.headers for part in parts)
    response = wire.ConsumeResponse.FromString(encoded)
    if response.WhichOneof("response") != "batch":
        return response
    return [_from_messages(part, any_headers) for part in response.batch.partitions if part.messages]


def _columnar_response() -> Any:
    """ConsumeResponse with its messages by columns: for each field, what all messages of a partition have there.

    A repeated Message is read as one Message whose fields are repeated instead. The rules of protobuf merge all that
    come into it then, one after another. To make objects of columns takes half of what it takes to ask one message
    after another for its fields.
    """
    file = descriptor_pb2.FileDescriptorProto()
    wire.DESCRIPTOR.CopyToProto(file)
    types = {message.name: message for message in file.message_type}
    for field in types["PartitionMessages"].field:
        if field.name == "messages":
            field.label = field.LABEL_OPTIONAL
    message = types["Message"]
    message.ClearField("oneof_decl")  # those of optional fields
    for field in message.field:
        field.label = field.LABEL_REPEATED
        field.ClearField("proto3_optional")
        field.ClearField("oneof_index")
    pool = descriptor_pool.DescriptorPool()
    for dependency in wire.DESCRIPTOR.dependencies:
        pool.AddSerializedFile(dependency.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(wire.ConsumeResponse.DESCRIPTOR.full_name))


_ColumnarResponse = _columnar_response()


def _is_regular(columns: Any) -> bool:
    """Whether it can be told which fields are of which message: all messages have the same ones.

    That each has an id, and no field twice, is what servers are relied upon for.
    """
    messages = len(columns.id)
    return (
        len(columns.value) == len(columns.timestamp_ms) == len(columns.delivery_attempt) == messages
        and len(columns.key) in (0, messages)
        and not columns.headers
    )


def _from_columns(part: Any) -> PartitionMessages:
    name, columns = TopicPartition(part.topic, part.partition), part.messages
    # Slices are lists, which are copies, lest all of the response is kept while its messages are handled.
    ids = columns.id[:]
    keys = columns.key[:] or [None] * len(ids)
    headers: list[tuple[Header, ...]] = [()] * len(ids)
    values, times, attempts = columns.value[:], columns.timestamp_ms[:], columns.delivery_attempt[:]
    return PartitionMessages(name, _messages(name, ids, keys, values, headers, times, attempts))


def _from_messages(part: wire.PartitionMessages, any_headers: bool) -> PartitionMessages:
    name, messages = TopicPartition(part.topic, part.partition), list(part.messages)
    ids = [m.id for m in messages]
    keys = [m.key or (b"" if m.HasField("key") else None) for m in messages]
    values = (m.value or (b"" if m.HasField("value") else None) for m in messages)  # may be large: each when it is due
    headers = [_headers(m) for m in messages] if any_headers else [()] * len(messages)
    times, attempts = [m.timestamp_ms for m in messages], [m.delivery_attempt for m in messages]
    return PartitionMessages(name, _messages(name, ids, keys, values, headers, times, attempts))


def _headers(m: wire.Message) -> tuple[Header, ...]:
    return tuple([(h.key, h.value if h.HasField("value") else None) for h in m.headers])


def _messages(
    name: TopicPartition,
    ids: list[str],
    keys: Sequence[bytes | None],
    values: Iterable[bytes | None],
    headers: Sequence[tuple[Header, ...]],
    times: list[int],
    attempts: list[int],
) -> Iterator[Message]:
    new, (topic, partition) = object.__new__, name
    of_messages = zip(ids, keys, values, headers, times, attempts, strict=True)
    for message_id, key, value, message_headers, timestamp_ms, attempt in of_messages:
        message = new(Message)  # its __init__ would take as long as all the rest
        message.topic = topic
        message.partition = partition
        message.key = key
        message.value = value
        message.headers = message_headers
        message.timestamp_ms = timestamp_ms
        message.id = message_id
        message.delivery_attempt = attempt
        yield message
