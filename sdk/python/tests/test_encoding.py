"""Messages on the wire."""

from __future__ import annotations

import pytest

from messageproxy import OutgoingMessage
from messageproxy._message import encode, frame
from messageproxy.v1 import messageproxy_pb2 as wire


@pytest.mark.parametrize("first", [1, 127, 128, 16383, 16384, (1 << 21) - 1, 1 << 21, (1 << 53) - 3])
@pytest.mark.parametrize("size", [0, 100, 200, 20_000, 3_000_000])
def test_a_frame_is_a_request(first: int, size: int) -> None:
    value = bytes(size)
    large, counted = encode(None, "orders", b"k", value, (), None, None, 1 << 30)
    assert counted == size + 1
    small, _ = encode(None, "t", None, None, (), None, None, 1 << 30)
    request = wire.ProduceRequest.FromString(frame([large, small, large], first))
    assert request == wire.ProduceRequest(
        messages=[
            wire.OutgoingMessage(sequence=first, topic="orders", key=b"k", value=value),
            wire.OutgoingMessage(sequence=first + 1, topic="t"),
            wire.OutgoingMessage(sequence=first + 2, topic="orders", key=b"k", value=value),
        ]
    )


def test_sequences_count_through_a_frame() -> None:
    request = wire.ProduceRequest.FromString(frame([b""] * 20_000, 100))
    assert [m.sequence for m in request.messages] == list(range(100, 20_100))


@pytest.mark.parametrize("topic", ["orders", "größe", "x" * 300])
def test_a_message_is_encoded_as_its_fields_are(topic: str) -> None:
    headers = [("k", b"v"), ("é", None), ("", b"")]
    expected = wire.OutgoingMessage(topic=topic, key=b"", value=b"v" * 500, partition=0, timestamp_ms=-1)
    for key, value in headers:
        expected.headers.add(key=key, value=value)
    fields = (topic, bytearray(), memoryview(b"v" * 500), headers, 0, -1)
    for _ in range(2):  # the topic is new, and known
        for encoded, size in (
            encode(None, *fields, 1 << 30),
            encode(OutgoingMessage(*fields), None, None, None, (), None, None, 1 << 30),
        ):
            assert wire.OutgoingMessage.FromString(encoded) == expected
            assert size == 500 + 1 + 1 + 2 + 3 * 16


def test_topics_are_not_remembered_for_ever() -> None:
    from messageproxy import _message

    for n in range(10_000):
        encode(None, f"topic-{n}", None, None, (), None, None, 1 << 30)
    assert len(_message._encoded_topics) <= 1000
