"""The order in which a consumer's messages are handled."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from messageproxy._message import Message, TopicPartition

if TYPE_CHECKING:
    from messageproxy._session import Partition


class Batch:
    """Messages of one partition that came together and are handled one after another."""

    __slots__ = ("messages", "partition")

    def __init__(self, partition: Partition, messages: Iterator[Message]) -> None:
        self.partition = partition
        self.messages = messages  # which haven't begun


class Lane:
    """A queue of messages that are handled one after another: those of a partition, or some keys of all partitions.

    It outlives streams, so that the messages of a new stream wait for a handler that still runs for the old one.
    """

    __slots__ = ("busy", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Batch] = deque()
        self.busy = False  # it is in the ready list, or a runner has it

    def purge(self, drop: Callable[[Batch], bool]) -> None:
        """Drops the batches that `drop` says."""
        self.waiting = deque(batch for batch in self.waiting if not drop(batch))


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

    def push(self, partition: Partition, messages: Iterator[Message]) -> int:
        """Queues messages of a partition, and tells how many more runners are needed for them."""
        if not self._by_key:
            return self._push_to(self._of_partition(partition.name), Batch(partition, messages))
        by_lane: dict[int, list[Message]] = {}
        for message in messages:
            by_lane.setdefault(self._key_index(message), []).append(message)
        return sum(self._push_to(self._by_key[i], Batch(partition, iter(some))) for i, some in by_lane.items())

    def _of_partition(self, name: TopicPartition) -> Lane:
        lane = self._by_partition.get(name)
        if lane is None:
            lane = self._by_partition[name] = Lane()
        return lane

    def _key_index(self, message: Message) -> int:
        if message.key is None:
            self._keyless += 1
            return self._keyless % len(self._by_key)
        return hash(message.key) % len(self._by_key)

    def _push_to(self, lane: Lane, batch: Batch) -> int:
        lane.waiting.append(batch)
        if lane.busy:
            return 0
        lane.busy = True
        self._ready.append(lane)
        if self._limit and self.runners >= self._limit:
            return 0
        self.runners += 1
        return 1

    def take(self) -> Lane | None:
        """Takes a lane that has something to do, or ends the runner."""
        while self._ready:
            lane = self._ready.popleft()
            if lane.waiting:
                return lane
            lane.busy = False  # purged
        self.runners -= 1
        return None

    def others_wait(self) -> bool:
        """Whether lanes wait for a runner."""
        return bool(self._ready)

    def put_back(self, lane: Lane) -> None:
        """Takes a lane back whose runner is done with it, or lets others go first."""
        if lane.waiting:
            self._ready.append(lane)
        else:
            lane.busy = False

    def purge(self, drop: Callable[[Batch], bool]) -> None:
        """Drops the batches that `drop` says, wherever they are."""
        for lane in self._by_partition.values():
            lane.purge(drop)
        for lane in self._by_key:
            lane.purge(drop)
