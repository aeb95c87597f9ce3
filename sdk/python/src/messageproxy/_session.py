"""One stream of a consumer: what was delivered on it and which ACKs are to be sent on it, and on no other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration

from messageproxy._errors import Code, MessageProxyError, error_from_wire
from messageproxy._events import Event, EventKind
from messageproxy._message import TopicPartition
from messageproxy._options import StartPosition
from messageproxy._received import PartitionMessages, Received
from messageproxy._stream import Stream, StreamEndedError
from messageproxy.v1 import messageproxy_pb2 as wire

if TYPE_CHECKING:
    from messageproxy._consumer import Consumer

# The most ACKs in a frame. An id has at most 512 bytes.
_FRAME_ACKS = 1000
# How often the event loop goes round without an ACK before those that have gathered are sent. So often it takes
# to hand messages that are there to their handlers.
_TURNS_WITHOUT_ACK = 4
_LONGEST_GATHERING = 0.005


class Partition:
    """What a session knows of a partition that messages came from."""

    __slots__ = ("gone", "name", "session", "timer", "withdrawn")

    def __init__(self, session: Session, name: TopicPartition) -> None:
        self.session = session
        self.name = name
        self.withdrawn = False  # no handler begins any more; ACKs still count
        self.gone = False  # ACKs don't count any more either; handlers are told to end
        self.timer: asyncio.TimerHandle | None = None  # ends the time left of a withdrawn partition


class Session:
    """Owned by its consumer. One task receives and one sends; neither waits for the other."""

    def __init__(self, consumer: Consumer, stream: Stream[Received]) -> None:
        self._consumer = consumer
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self.started = self._loop.time()
        self.ack_timeout = 0.0
        self.progressed = False  # a message has come
        # Those to which new messages belong; and these with the withdrawn ones that have time left.
        self._partitions: dict[TopicPartition, Partition] = {}
        self._live: set[Partition] = set()
        self.acks: list[str] = []  # ids; who adds the first calls wake
        # So many are sent before handlers go on: the server sends more while the rest of what it has sent is handled.
        self.enough_acks = _FRAME_ACKS
        self._wake = asyncio.Event()  # the sender has something to do
        self._leaving = False
        self._finished = False

    # ------------------------------------------------------------------ sending

    def ack(self, message_id: str) -> None:
        """Has the ACK of a message sent."""
        if not self.acks:
            self.wake()
        self.acks.append(message_id)

    def wake(self) -> None:
        """Tells the sender that there is something to do."""
        self._wake.set()

    def leave(self) -> None:
        """Asks for no more messages."""
        self._leaving = True
        self.wake()

    def finish(self) -> None:
        """Half-closes when the ACKs are sent."""
        self._finished = True
        self.wake()

    async def send(self) -> None:
        """Subscribes and then sends ACKs as they gather, until the stream ends or the session is finished."""
        try:
            if await self._stream.write(subscribe_request(self._consumer)):
                await self._send_acks()
        except BaseException:
            self._stream.cancel()
            raise

    async def _send_acks(self) -> None:
        left = False
        while True:
            await self._let_gather()
            acks = self.acks.copy()
            self.acks.clear()
            leaving, finished = self._leaving, self._finished
            for start in range(0, len(acks), _FRAME_ACKS):
                request = wire.ConsumeRequest()
                request.ack.message_ids.extend(acks[start : start + _FRAME_ACKS])
                if not await self._stream.write(request):
                    return
            if leaving and not left:
                left = True
                if not await self._stream.write(wire.ConsumeRequest(leave=wire.LeaveRequest())):
                    return
            if finished:
                await self._stream.half_close()
                return
            if not self.acks and self._leaving == left and not self._finished:
                self._wake.clear()
                # Handlers that are about to return go first, and share the frame.
                await self._wake.wait()

    async def _let_gather(self) -> None:
        """Waits while more ACKs come without a pause, since a frame costs more than all the ACKs that it may have; but
        not long, and not for so many that the server would have to stop sending."""
        gathered = 0
        latest = self._loop.time() + _LONGEST_GATHERING
        while gathered < len(self.acks) < self.enough_acks:
            gathered = len(self.acks)
            for _ in range(_TURNS_WITHOUT_ACK):
                if self._leaving or self._loop.time() >= latest:
                    return
                await asyncio.sleep(0)

    # ---------------------------------------------------------------- receiving

    async def receive(self) -> MessageProxyError:
        """Takes what the server sends until the stream ends; the result is why."""
        terminal: MessageProxyError | None = None
        while True:
            try:
                received = await self._stream.read()
            except StreamEndedError as e:
                return terminal or e.reason
            if isinstance(received, list):
                self._deliver(received)
                continue
            kind = received.WhichOneof("response")
            if kind == "terminal_error":
                terminal = error_from_wire(received.terminal_error)
            elif kind == "subscribed":
                self._subscribed(received.subscribed)
            elif kind == "withdrawn":
                self._withdraw(received.withdrawn)
            else:
                self._tell(kind, received)

    def _tell(self, kind: str | None, response: wire.ConsumeResponse) -> None:
        """Passes on what the session itself need not act on. What this version doesn't know is ignored."""
        if kind == "assignment":
            partitions = _partitions_from_wire(response.assignment.partitions)
            self._consumer.event(Event(EventKind.ASSIGNED, partitions=partitions))
        elif kind == "error":
            self._consumer.event(Event(EventKind.TROUBLE, error=error_from_wire(response.error)))
        elif kind == "recovered":
            over = MessageProxyError(Code(response.recovered.code), retryable=True)
            self._consumer.event(Event(EventKind.RECOVERED, error=over))
        elif kind == "notice":
            self._consumer.event(Event(EventKind.NOTICE, error=error_from_wire(response.notice)))

    def _subscribed(self, subscribed: wire.Subscribed) -> None:
        self.ack_timeout = _seconds(subscribed.ack_timeout)
        self.enough_acks = max(1, min(subscribed.max_unacked_messages // 2, _FRAME_ACKS))
        self._consumer.event(
            Event(EventKind.CONNECTED, max_unacked=subscribed.max_unacked_messages, ack_timeout=self.ack_timeout)
        )

    def _deliver(self, parts: list[PartitionMessages]) -> None:
        """Queues messages for their handlers. The server's limit of unacknowledged messages bounds how many."""
        consumer = self._consumer
        for name, messages in parts:
            self.progressed = True
            if consumer.stopped.is_set():
                return  # they go to others when the stream ends
            consumer.push(self._partition(name), messages)

    def _partition(self, name: TopicPartition) -> Partition:
        """The partition, which is a new one if it was withdrawn before."""
        partition = self._partitions.get(name)
        if partition is None or partition.withdrawn:
            partition = self._partitions[name] = Partition(self, name)
            self._live.add(partition)
        return partition

    def _withdraw(self, withdrawn: wire.Withdrawn) -> None:
        """Drops what hasn't begun of the partitions, and tells what has to end when the time left is over."""
        left = _seconds(withdrawn.time_left)
        names = _partitions_from_wire(withdrawn.partitions)
        for name in names:
            partition = self._partitions.get(name)
            if partition is None or partition.gone:
                continue
            partition.withdrawn = True
            if left <= 0:
                self._end_partition(partition)
            elif partition.timer is None:
                partition.timer = self._loop.call_later(left, self._end_partition, partition)
        self._consumer.lanes.purge(lambda batch: batch.partition.withdrawn)
        self._consumer.event(Event(EventKind.WITHDRAWN, partitions=names, time_left=left))

    def _end_partition(self, partition: Partition) -> None:
        """Lets nothing of a partition count any more."""
        self._live.discard(partition)
        partition.withdrawn = partition.gone = True
        if partition.timer is not None:
            partition.timer.cancel()
        for runner in list(self._consumer.runners):
            if runner.partition is partition:
                runner.tell_to_end()

    def end(self) -> None:
        """Drops what hasn't begun, and tells what has to end."""
        for partition in list(self._live):
            self._end_partition(partition)
        self._consumer.lanes.purge(lambda batch: batch.partition.session is self)


def subscribe_request(consumer: Consumer) -> wire.ConsumeRequest:
    """The first request of each of the consumer's streams."""
    config = consumer.config
    latest = config.start is StartPosition.LATEST
    request = wire.SubscribeRequest(
        subscription=consumer.subscription,
        topics=consumer.topics,
        start_position=wire.START_POSITION_LATEST if latest else wire.START_POSITION_EARLIEST,
        client_name=consumer.client_config.client_name,
    )
    if config.max_unacked:
        request.max_unacked_messages = config.max_unacked
    if config.ack_timeout:
        request.ack_timeout.FromMicroseconds(max(1, round(config.ack_timeout * 1e6)))
    return wire.ConsumeRequest(subscribe=request)


def _partitions_from_wire(partitions: Iterable[wire.TopicPartition]) -> tuple[TopicPartition, ...]:
    return tuple(TopicPartition(p.topic, p.partition) for p in partitions)


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9
