"""Messages on the wire."""

from __future__ import annotations

import pytest

from messageproxy import OutgoingMessage
from messageproxy._message import encode, frame_part
from messageproxy.v1 import messageproxy_pb2 as wire


@pytest.mark.parametrize("sequence", [1, 127, 128, 16383, 16384, (1 << 21) - 1, 1 << 21, (1 << 53) - 1])
@pytest.mark.parametrize("size", [0, 100, 200, 20_000, 3_000_000])
def test_a_frame_is_a_request(sequence: int, size: int) -> None:
    value = bytes(size)
    encoded, counted = encode(OutgoingMessage("orders", key=b"k", value=value), 1 << 30)
    assert counted == size + 1
    request = wire.ProduceRequest.FromString(frame_part(encoded, sequence) + frame_part(encoded, 7))
    first, second = request.messages
    assert first == wire.OutgoingMessage(sequence=sequence, topic="orders", key=b"k", value=value)
    assert second.sequence == 7
