"""What a consumer receives, as the application gets it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from messageproxy._message import Message, TopicPartition
from messageproxy.v1 import messageproxy_pb2 as wire

# Up to this size it is asked what a response's messages have. Most larger responses have large messages, to which it
# would be little, but which would be copied once more.
_MAX_MERGED_BYTES = 256 << 10


class Fields(NamedTuple):
    """Whether any message of a response may have a key, or headers."""

    key: bool
    headers: bool


class Received(NamedTuple):
    """A response of a Consume stream."""

    response: wire.ConsumeResponse
    fields: Fields

    @staticmethod
    def from_bytes(encoded: bytes) -> Received:
        """Raises DecodeError."""
        fields = Fields(key=True, headers=True)
        if len(encoded) <= _MAX_MERGED_BYTES:
            any_message = _MergedResponse.FromString(encoded).batch.partitions.messages
            fields = Fields(any_message.HasField("key"), any_message.HasField("headers"))
        return Received(wire.ConsumeResponse.FromString(encoded), fields)


def _merged_response() -> Any:
    """ConsumeResponse with nothing repeated. The rules of protobuf merge all messages of a response into one then,
    which has the fields that any of them has. To decode that too takes less than to ask each message for its headers.
    """
    file = descriptor_pb2.FileDescriptorProto()
    wire.DESCRIPTOR.CopyToProto(file)
    for message in file.message_type:
        for field in message.field:
            field.label = field.LABEL_OPTIONAL
    pool = descriptor_pool.DescriptorPool()
    for dependency in wire.DESCRIPTOR.dependencies:
        pool.AddSerializedFile(dependency.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(wire.ConsumeResponse.DESCRIPTOR.full_name))


_MergedResponse = _merged_response()


def messages_from_wire(messages: Iterable[wire.Message], name: TopicPartition, fields: Fields) -> Iterator[Message]:
    """Messages of a partition, each made when it is asked for. A call for each would take longer."""
    new, has_field = object.__new__, _has_field
    (topic, partition), (any_key, any_headers) = name, fields
    for m in messages:
        message = new(Message)  # its __init__ would take as long as all the rest
        message.topic = topic
        message.partition = partition
        message.key = (m.key or (b"" if has_field(m, "key") else None)) if any_key else None
        message.value = m.value or (b"" if has_field(m, "value") else None)
        message.headers = (
            tuple([(h.key, h.value if h.HasField("value") else None) for h in m.headers]) if any_headers else ()
        )
        message.timestamp_ms = m.timestamp_ms
        message.id = m.id
        message.delivery_attempt = m.delivery_attempt
        yield message


# On a message, its name would be looked up among the fields' first, which takes longer than the call.
_has_field = wire.Message.HasField
