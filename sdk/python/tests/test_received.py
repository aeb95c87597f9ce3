"""What a consumer makes of responses."""

from __future__ import annotations

import random

import pytest
from google.protobuf.message import DecodeError

from messageproxy import Message
from messageproxy._message import TopicPartition
from messageproxy._received import decode
from messageproxy.v1 import messageproxy_pb2 as wire


def of(message_id: str, **fields: object) -> wire.Message:
    """A message as servers send most."""
    return wire.Message(**{"id": message_id, "value": b"v", "timestamp_ms": 1, "delivery_attempt": 1, **fields})  # type: ignore[arg-type]


PLAIN = of("plain")
RETRIED = of("retried", timestamp_ms=-5, delivery_attempt=2)
EMPTY = of("empty value", value=b"")
KEY = of("key", key=b"k")
EMPTY_KEY = of("empty key", key=b"")
TOMBSTONE = of("tombstone", key=b"k", value=None)
HEADERS = of("headers", headers=[wire.Header(key="a", value=b"1"), wire.Header(key="b")])
EMPTY_HEADER = of("empty header", headers=[wire.Header()])
AT_ZERO = of("at zero", timestamp_ms=0)
NO_ATTEMPT = of("no attempt", delivery_attempt=0)
ONLY_ID = wire.Message(id="only id")
NO_ID = of("")
LARGE = of("large", value=bytes(1 << 20))
KINDS = (PLAIN, RETRIED, EMPTY, KEY, EMPTY_KEY, TOMBSTONE, HEADERS, EMPTY_HEADER, AT_ZERO, NO_ATTEMPT, ONLY_ID)


@pytest.mark.parametrize(
    "partitions",
    [
        [],
        [[]],
        [[PLAIN, RETRIED, EMPTY], [PLAIN]],
        [[], [PLAIN], []],
        [[KEY, EMPTY_KEY], [PLAIN, PLAIN]],
        [[KEY, PLAIN]],
        [[PLAIN], [PLAIN, EMPTY_KEY]],
        [[KEY, KEY], [KEY, TOMBSTONE]],
        [[TOMBSTONE]],
        [[PLAIN], [EMPTY_HEADER, PLAIN], []],
        [[PLAIN, EMPTY_KEY, PLAIN], [PLAIN, HEADERS, PLAIN]],
        [[PLAIN, AT_ZERO]],
        [[NO_ATTEMPT, PLAIN]],
        [[ONLY_ID, PLAIN]],
        [[ONLY_ID]],
        [[NO_ID, PLAIN]],
        [[LARGE, KEY], [HEADERS, TOMBSTONE]],
    ],
)
def test_messages_are_received_as_they_were_sent(partitions: list[list[wire.Message]]) -> None:
    _check(partitions)


def test_any_messages_are_received_as_they_were_sent() -> None:
    for seed in range(2000):
        choose = random.Random(seed)
        kinds = choose.sample(KINDS, choose.randint(1, 3))
        _check([choose.choices(kinds, k=choose.randint(0, 4)) for _ in range(choose.randint(0, 3))])


def _check(partitions: list[list[wire.Message]]) -> None:
    sent = wire.ConsumeResponse(
        batch=wire.MessageBatch(
            partitions=[
                wire.PartitionMessages(topic="orders", partition=number, messages=messages)
                for number, messages in enumerate(partitions)
            ]
        )
    )
    received = decode(sent.SerializeToString())
    assert isinstance(received, list)
    names = [TopicPartition("orders", number) for number in range(len(partitions))]
    assert [(name, list(messages)) for name, messages in received] == [
        (name, [_message(name, m) for m in messages])
        for name, messages in zip(names, partitions, strict=True)
        if messages
    ]


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


def test_other_responses_have_no_messages() -> None:
    for sent in (
        wire.ConsumeResponse(),
        wire.ConsumeResponse(subscribed=wire.Subscribed(max_unacked_messages=3)),
        wire.ConsumeResponse(
            withdrawn=wire.Withdrawn(partitions=[wire.TopicPartition(topic="a"), wire.TopicPartition()])
        ),
    ):
        assert decode(sent.SerializeToString()) == sent


def test_what_is_no_response_is_an_error() -> None:
    with pytest.raises(DecodeError):
        decode(b"\x12\x05")
