"""A server in the test's process that does what the test says, stream by stream."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

import grpc
import grpc.aio
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory

from messageproxy.v1 import messageproxy_pb2 as wire

# So long something may take that should take no time: a test that waits for it has failed.
PATIENCE = 60.0


def error(code: int, message: str = "", *, retryable: bool = False) -> wire.Error:
    return wire.Error(code=code, message=message, retryable=retryable)  # type: ignore[arg-type]


def delivered(
    *values: bytes, topic: str = "orders", partition: int = 0, key: bytes | None = None
) -> wire.ConsumeResponse:
    """A batch with messages of one partition, whose ids are their values."""
    messages = [
        wire.Message(id=value.decode(), key=key, value=value, timestamp_ms=1, delivery_attempt=1) for value in values
    ]
    part = wire.PartitionMessages(topic=topic, partition=partition, messages=messages)
    return wire.ConsumeResponse(batch=wire.MessageBatch(partitions=[part]))


class Stream:
    """One stream of a client."""

    def __init__(self, context: Any, closing: asyncio.Event) -> None:
        self._context = context
        self._closing = closing
        self._end: asyncio.Future[tuple[grpc.StatusCode, str, bytes | None]] = (
            asyncio.get_running_loop().create_future()
        )

    async def serve(self) -> None:
        closing = asyncio.ensure_future(self._closing.wait())
        ends: set[asyncio.Future[Any]] = {self._end, closing}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        closing.cancel()
        code, text, details = self._end.result() if self._end.done() else (grpc.StatusCode.UNAVAILABLE, "closing", None)
        if code is grpc.StatusCode.OK:
            return
        metadata = (("grpc-status-details-bin", details),) if details is not None else ()
        await self._context.abort(code, text, metadata)

    async def request(self, patience: float | None = PATIENCE) -> Any:
        """The next request; None when the client has half-closed."""
        request = await asyncio.wait_for(self._context.read(), patience)
        return None if request is grpc.aio.EOF else request

    async def send(self, response: wire.ProduceResponse | wire.ConsumeResponse | bytes) -> None:
        await self._context.write(response)

    def end(
        self, code: grpc.StatusCode = grpc.StatusCode.OK, text: str = "", *, detail: wire.Error | None = None
    ) -> None:
        self._end.set_result((code, text, _status_with(code, detail) if detail is not None else None))

    # Of produce streams.

    async def messages(self, count: int) -> list[wire.OutgoingMessage]:
        """So many messages, in one frame or several."""
        received: list[wire.OutgoingMessage] = []
        while len(received) < count:
            request = await self.request()
            assert request is not None, f"the client half-closed after {len(received)} messages"
            received.extend(request.messages)
        assert len(received) == count
        return received

    async def store(self, *messages: wire.OutgoingMessage) -> None:
        """Answers messages with receipts."""
        results = [
            wire.ProduceResult(
                sequence=m.sequence,
                receipt=wire.MessageReceipt(message_id=f"id-{m.sequence}", partition=3, timestamp_ms=5),
            )
            for m in messages
        ]
        await self.send(wire.ProduceResponse(results=results))

    # Of consume streams.

    async def subscribe(self, *, ack_timeout: float = 60) -> wire.SubscribeRequest:
        """Takes the subscribe request and accepts it."""
        request = await self.request()
        subscribed = wire.Subscribed(max_unacked_messages=1000)
        subscribed.ack_timeout.FromMicroseconds(round(ack_timeout * 1e6))
        await self.send(wire.ConsumeResponse(subscribed=subscribed))
        subscribe = request.subscribe
        assert isinstance(subscribe, wire.SubscribeRequest)
        return subscribe

    async def acks(self, count: int) -> list[str]:
        """So many ACKs, in one frame or several."""
        acked: list[str] = []
        while len(acked) < count:
            request = await self.request()
            assert request is not None
            assert request.HasField("ack"), f"no ACK but {request}"
            acked.extend(request.ack.message_ids)
        assert len(acked) == count
        return acked

    async def leave(self) -> None:
        """Takes the client's leave request."""
        request = await self.request()
        assert request is not None
        assert request.HasField("leave"), f"no leave but {request}"


class Server:
    """A server whose streams a test takes one by one."""

    def __init__(self) -> None:
        self._produce: asyncio.Queue[Stream] = asyncio.Queue()
        self._consume: asyncio.Queue[Stream] = asyncio.Queue()
        self._closing = asyncio.Event()
        self._server: grpc.aio.Server | None = None
        self.port = 0

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Server:
        await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def listen(self) -> None:
        """Starts, on the same port as before if it was stopped."""
        self._closing = asyncio.Event()
        self._server = grpc.aio.server(
            options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        )
        handlers = {
            "Produce": _handler(self._produce, self, wire.ProduceRequest, wire.ProduceResponse),
            "Consume": _handler(self._consume, self, wire.ConsumeRequest, wire.ConsumeResponse),
        }
        service = wire.DESCRIPTOR.services_by_name["MessageProxy"].full_name
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        self.port = self._server.add_insecure_port(self.target)
        await self._server.start()

    async def stop(self) -> None:
        """Cuts all connections and listens no more."""
        server, self._server = self._server, None
        if server is not None:
            self._closing.set()
            await server.stop(None)

    @property
    def closing(self) -> asyncio.Event:
        return self._closing

    async def next_produce(self) -> Stream:
        return await self._produce.get()

    async def next_consume(self) -> Stream:
        return await self._consume.get()

    async def produce_stream(self) -> Stream:
        return await asyncio.wait_for(self.next_produce(), PATIENCE)

    async def consume_stream(self) -> Stream:
        return await asyncio.wait_for(self.next_consume(), PATIENCE)


def _handler(streams: asyncio.Queue[Stream], server: Server, request: Any, response: Any) -> Any:
    async def serve(_: object, context: Any) -> None:
        stream = Stream(context, server.closing)
        streams.put_nowait(stream)
        await stream.serve()

    return grpc.stream_stream_rpc_method_handler(
        serve, request_deserializer=request.FromString, response_serializer=_serialized
    )


def _serialized(response: wire.ProduceResponse | wire.ConsumeResponse | bytes) -> bytes:
    return response if isinstance(response, bytes) else response.SerializeToString()


def _status_with(code: grpc.StatusCode, detail: wire.Error) -> bytes:
    """A google.rpc.Status with a detail, as servers send it."""
    container = any_pb2.Any()
    container.Pack(detail)
    field = descriptor_pb2.FieldDescriptorProto
    fields = [
        field(name="code", number=1, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL),
        field(name="message", number=2, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL),
        field(
            name="details",
            number=3,
            type=field.TYPE_MESSAGE,
            label=field.LABEL_REPEATED,
            type_name=".google.protobuf.Any",
        ),
    ]
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(any_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="google/rpc/status.proto",
        package="google.rpc",
        syntax="proto3",
        dependency=["google/protobuf/any.proto"],
        message_type=[descriptor_pb2.DescriptorProto(name="Status", field=fields)],
    )
    pool.AddSerializedFile(file.SerializeToString())
    status: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName("google.rpc.Status"))()
    status.code, status.message = code.value[0], "the status's own text"
    status.details.add().MergeFromString(container.SerializeToString())
    serialized: bytes = status.SerializeToString()
    return serialized
