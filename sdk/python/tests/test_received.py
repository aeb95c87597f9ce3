"""What a consumer makes of responses."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError

from messageproxy import Message
from messageproxy._message import TopicPartition
from messageproxy._received import Fields, Received, messages_from_wire
from messageproxy.v1 import messageproxy_pb2 as wire

PLAIN = wire.Message(id="plain", value=b"v", timestamp_ms=1, delivery_attempt=1)
KEY = wire.Message(id="key", key=b"k")
EMPTY_KEY = wire.Message(id="empty key", key=b"")
HEADERS = wire.Message(id="headers", headers=[wire.Header(key="a", value=b"1"), wire.Header(key="b")])
EMPTY_HEADER = wire.Message(id="empty header", headers=[wire.Header()])


@pytest.mark.parametrize(
    ("partitions", "fields"),
    [
        ([], Fields(key=False, headers=False)),
        ([[]], Fields(key=False, headers=False)),
        ([[PLAIN, PLAIN], [PLAIN]], Fields(key=False, headers=False)),
        ([[KEY, PLAIN], [PLAIN]], Fields(key=True, headers=False)),
        ([[PLAIN], [PLAIN, EMPTY_KEY]], Fields(key=True, headers=False)),
        ([[PLAIN], [EMPTY_HEADER, PLAIN], []], Fields(key=False, headers=True)),
        ([[PLAIN, EMPTY_KEY, PLAIN], [PLAIN, HEADERS, PLAIN]], Fields(key=True, headers=True)),
    ],
)
def test_a_response_tells_which_fields_its_messages_have(partitions: list[list[wire.Message]], fields: Fields) -> None:
    sent = wire.ConsumeResponse(
        batch=wire.MessageBatch(
            partitions=[
                wire.PartitionMessages(topic="orders", partition=number, messages=messages)
                for number, messages in enumerate(partitions)
            ]
        )
    )
    received = Received.from_bytes(sent.SerializeToString())
    assert received == (sent, fields)
    for part, messages in zip(received.response.batch.partitions, partitions, strict=True):
        name = TopicPartition(part.topic, part.partition)
        expected = [_message(name, m) for m in messages]
        assert list(messages_from_wire(part.messages, name, received.fields)) == expected


def _message(name: TopicPartition, m: wire.Message) -> Message:
    return Message(
        topic=name.topic,
        partition=name.partition,
        key=m.key if m.HasField("key") else None,
        value=m.value if m.HasField("value") else None,
        headers=tuple((h.key, h.value if h.HasField("value") else None) for h in m.headers),
        timestamp_ms=m.timestamp_ms,
        id=m.id,
        delivery_attempt=m.delivery_attempt,
    )


def test_a_large_response_may_have_any_field() -> None:
    large = wire.Message(id="large", value=bytes(1 << 20))
    sent = wire.ConsumeResponse(batch=wire.MessageBatch(partitions=[wire.PartitionMessages(messages=[large, KEY])]))
    received = Received.from_bytes(sent.SerializeToString())
    assert received == (sent, Fields(key=True, headers=True))
    name = TopicPartition("orders", 1)
    messages = messages_from_wire(received.response.batch.partitions[0].messages, name, received.fields)
    assert list(messages) == [_message(name, large), _message(name, KEY)]


def test_other_responses_have_no_messages() -> None:
    for sent in (
        wire.ConsumeResponse(),
        wire.ConsumeResponse(subscribed=wire.Subscribed(max_unacked_messages=3)),
        wire.ConsumeResponse(
            withdrawn=wire.Withdrawn(partitions=[wire.TopicPartition(topic="a"), wire.TopicPartition()])
        ),
    ):
        assert Received.from_bytes(sent.SerializeToString()) == (sent, Fields(key=False, headers=False))


def test_what_is_no_response_is_an_error() -> None:
    with pytest.raises(DecodeError):
        Received.from_bytes(b"\x12\x05")
