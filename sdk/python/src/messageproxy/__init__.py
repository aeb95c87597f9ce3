"""Produce and consume messages through a message proxy.

    async with Client("localhost:7070") as client:
        receipt = await client.produce(topic="orders", key=b"ada", value=b"a cup")

        async def bill(message: Message) -> None:
            ...  # returning ACKs the message, raising has it handled again

        await client.subscription("billing", "orders").consume(bill)

Streams, batches, ACKs, reconnects and back-off are the package's affair. There are no offsets, no commits and no
rebalances to care for.

**Producing.** Every message has exactly one outcome. A receipt: the broker has stored it. An error for which
`outcome_unknown` is true: it may be stored. Any other error: it is certainly not stored, and never will be. The client
never sends a message twice, unless the server said that it was not stored; so what was on the wire when a connection
was lost has an unknown outcome, and what was not goes out on the next connection. The messages of a partition are
stored in the order of the calls.

**Consuming.** Delivery is at least once. A message counts as done when its handler has returned and the ACK has
arrived; whatever else happens, it is delivered again, here or elsewhere. Messages of a partition are handled in order
and one at a time, across reconnects too, unless `key_workers` says otherwise. Handlers should bear a repetition:
`Message.id` tells one, as it is the same on every delivery.

`messageproxy.sync` is the same for programs without asyncio.
"""

from __future__ import annotations

import logging

from messageproxy._client import Client, Subscription
from messageproxy._errors import (
    ClosedError,
    Code,
    HandlerError,
    HandlersRunningError,
    InvalidTypeError,
    MessageProxyError,
    ProduceTimeoutError,
    UnknownOutcomeError,
    outcome_unknown,
)
from messageproxy._events import Event, EventKind
from messageproxy._message import Header, Message, OutgoingMessage, Receipt, TopicPartition
from messageproxy._messages import Messages
from messageproxy._options import Duration, FailureHandler, Handler, StartPosition, skip_failed

__all__ = [
    "Client",
    "ClosedError",
    "Code",
    "Duration",
    "Event",
    "EventKind",
    "FailureHandler",
    "Handler",
    "HandlerError",
    "HandlersRunningError",
    "Header",
    "InvalidTypeError",
    "Message",
    "MessageProxyError",
    "Messages",
    "OutgoingMessage",
    "ProduceTimeoutError",
    "Receipt",
    "StartPosition",
    "Subscription",
    "TopicPartition",
    "UnknownOutcomeError",
    "outcome_unknown",
    "skip_failed",
]

logging.getLogger("messageproxy").addHandler(logging.NullHandler())
