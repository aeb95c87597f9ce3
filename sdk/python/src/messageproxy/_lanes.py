"""The order in which a consumer's messages are handled."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from messageproxy._message import Message, TopicPartition

if TYPE_CHECKING:
    from messageproxy._session import Partition


class Delivery(NamedTuple):
    """A message to handle."""

    partition: Partition
    message: Message
    id: str  # the message's; the handler may change what it was given


class Lane:
    """A queue of messages that are handled one after another: those of a partition, or some keys of all partitions.

    It outlives streams, so that the messages of a new stream wait for a handler that still runs for the old one.
    """

    __slots__ = ("busy", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Delivery] = deque()  # which haven't begun
        self.busy = False  # it is in the ready list, or a runner has it

    def purge(self, drop: Callable[[Delivery], bool]) -> None:
        """Drops the messages that `drop` says."""
        self.waiting = deque(d for d in self.waiting if not drop(d))


class Lanes:
    """The lanes of a consumer, and which of them have something to do."""

    def __init__(self, key_workers: int, max_handlers: int) -> None:
        self._by_partition: dict[TopicPartition, Lane] = {}
        # If not empty, instead of _by_partition.
        self._by_key = [Lane() for _ in range(key_workers)]
        self._keyless = 0  # messages without a key take turns
        # Not empty and not being run, the first first; but for those that were purged.
        self._ready: deque[Lane] = deque()
        self._limit = max_handlers  # of runners; 0: none
        self.runners = 0

    def push(self, deliveries: list[Delivery]) -> int:
        """Queues messages of one partition, and tells how many more runners are needed for them."""
        if not self._by_key:
            return self._push_to(self._of_partition(deliveries[0].message), deliveries)
        return sum(self._push_to(self._by_key[self._key_index(d.message.key)], [d]) for d in deliveries)

    def _of_partition(self, message: Message) -> Lane:
        name = TopicPartition(message.topic, message.partition)
        lane = self._by_partition.get(name)
        if lane is None:
            lane = self._by_partition[name] = Lane()
        return lane

    def _key_index(self, key: bytes | None) -> int:
        if key is None:
            self._keyless += 1
            return self._keyless % len(self._by_key)
        return hash(key) % len(self._by_key)

    def _push_to(self, lane: Lane, deliveries: list[Delivery]) -> int:
        lane.waiting.extend(deliveries)
        if lane.busy:
            return 0
        lane.busy = True
        self._ready.append(lane)
        if self._limit and self.runners >= self._limit:
            return 0
        self.runners += 1
        return 1

    def pop(self) -> tuple[Lane, Delivery] | None:
        """Takes the next message and its lane, or ends the runner."""
        while self._ready:
            lane = self._ready.popleft()
            if lane.waiting:
                return lane, lane.waiting.popleft()
            lane.busy = False  # purged
        self.runners -= 1
        return None

    def done(self, lane: Lane) -> None:
        """Takes a lane back whose message is finished."""
        if lane.waiting:
            self._ready.append(lane)
        else:
            lane.busy = False

    def purge(self, drop: Callable[[Delivery], bool]) -> None:
        """Drops the messages that `drop` says, wherever they are."""
        for lane in self._by_partition.values():
            lane.purge(drop)
        for lane in self._by_key:
            lane.purge(drop)
