"""What happens to a subscription."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from messageproxy._errors import MessageProxyError
from messageproxy._message import TopicPartition


class EventKind(str, Enum):
    """The kind of an `Event`. New kinds may come: ignore those that you don't know."""

    CONNECTED = "connected"
    """The subscription is joined; `max_unacked` and `ack_timeout` are the limits in force."""
    ASSIGNED = "assigned"
    """`partitions` are all those that this client has from now on."""
    WITHDRAWN = "withdrawn"
    """Another server takes `partitions` over in `time_left`. Handlers of their messages that haven't begun won't,
    those that run have until then."""
    TROUBLE = "trouble"
    """The server can't receive messages, or not make ACKs durable, and is retrying; `error` says which and why.
    It comes again while the trouble lasts."""
    RECOVERED = "recovered"
    """The trouble with the code of `error` is over."""
    NOTICE = "notice"
    """Something to know that needs no action; `error` says what."""
    DISCONNECTED = "disconnected"
    """The stream has ended, because of `error`. Consume connects again unless it ends with that error."""


@dataclass(slots=True, frozen=True)
class Event:
    """Something that happened to a subscription: see the kinds for which fields are set."""

    kind: EventKind
    """What happened."""
    partitions: tuple[TopicPartition, ...] = ()
    """Of ASSIGNED and WITHDRAWN."""
    time_left: float = 0.0
    """Of WITHDRAWN, in seconds."""
    error: MessageProxyError | None = None
    """Of TROUBLE, RECOVERED, NOTICE and DISCONNECTED."""
    max_unacked: int = 0
    """Of CONNECTED."""
    ack_timeout: float = 0.0
    """Of CONNECTED, in seconds."""
