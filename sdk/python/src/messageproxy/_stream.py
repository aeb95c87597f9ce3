"""Streams to the proxy. Each has a connection of its own, so that only the client decides when to connect again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import grpc
import grpc.aio
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from messageproxy._errors import Code, MessageProxyError, error_from_wire, unavailable
from messageproxy._options import ClientConfig
from messageproxy.v1 import messageproxy_pb2 as wire

Response = TypeVar("Response")

_SERVICE = wire.DESCRIPTOR.services_by_name["MessageProxy"].full_name

# How long a connection may take to come about.
_CONNECT_TIMEOUT_MS = 10_000

_CHANNEL_OPTIONS: tuple[tuple[str, Any], ...] = (
    # What the broker has is delivered, whatever its size.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Notices a server that vanished without a word, while the stream is open, however long it is silent.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),  # a minute by default, which would hold for keepalive pings too
    ("grpc.http2.max_pings_without_data", 0),
    # No connection is shared with another channel of this process.
    ("grpc.use_local_subchannel_pool", 1),
    # A channel whose connection fails is given up before gRPC would try again. (The "minimum" bounds how long
    # connecting takes.)
    ("grpc.initial_reconnect_backoff_ms", _CONNECT_TIMEOUT_MS),
    ("grpc.min_reconnect_backoff_ms", _CONNECT_TIMEOUT_MS),
    # A message must not be sent twice unnoticed.
    ("grpc.enable_retries", 0),
    # Lets clients of a name with several addresses spread over them.
    ("grpc.service_config", '{"loadBalancingConfig":[{"pick_first":{"shuffleAddressList":true}}]}'),
)


class StreamEndedError(Exception):
    """A stream has ended."""

    def __init__(self, reason: MessageProxyError) -> None:
        super().__init__(reason)
        self.reason = reason


class Stream(Generic[Response]):
    """An open stream. One task may read and another write at the same time."""

    def __init__(self, channel: grpc.aio.Channel, call: Any) -> None:
        self._channel = channel
        self._call = call

    async def read(self) -> Response:
        """The next response. Raises StreamEndedError when there is none."""
        try:
            response = await self._call.read()
        except grpc.aio.AioRpcError as e:
            raise StreamEndedError(error_of_status(e.code(), e.details(), e.trailing_metadata())) from e
        except asyncio.CancelledError:
            # gRPC raises this too if the stream's status is CANCELLED, whoever made it so. Tasks that read are never
            # cancelled but with the whole loop; they end by cancel().
            if not self._call.done():
                raise
            metadata = await self._call.trailing_metadata()
            reason = error_of_status(await self._call.code(), await self._call.details(), metadata)
            raise StreamEndedError(reason) from None
        if response is None:  # gRPC has logged why
            raise StreamEndedError(MessageProxyError(Code.INTERNAL, "a response can't be decoded", retryable=True))
        if response is grpc.aio.EOF:
            raise StreamEndedError(unavailable("the server ended the stream"))
        return response  # type: ignore[no-any-return]

    async def write(self, request: object) -> bool:
        """Sends a request. Waits while the peer takes no more; false when the stream has ended: read tells why."""
        try:
            await self._call.write(request)
        except (grpc.RpcError, asyncio.InvalidStateError):
            return False
        except asyncio.CancelledError:
            if not self._call.done():
                raise
            return False
        return True

    async def half_close(self) -> None:
        """Says that no more requests come."""
        with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):  # it has ended: read tells why
            await self._call.done_writing()

    def cancel(self) -> None:
        """Ends the stream at once."""
        self._call.cancel()

    async def close(self) -> None:
        """Ends the stream and its connection. May be called twice."""
        self._call.cancel()
        await self._channel.close()


async def open_stream(
    target: str,
    config: ClientConfig,
    method: str,
    serializer: Callable[[Any], bytes] | None,
    deserializer: Callable[[bytes], Response],
) -> Stream[Response]:
    """Connects and opens a stream. Raises StreamEndedError if it can't connect."""
    channel = _dial(target, config)
    try:
        state = await _connect(channel)
        call: Any = channel.stream_stream(
            f"/{_SERVICE}/{method}", request_serializer=serializer, response_deserializer=deserializer
        )()
        call._cython_call = _CallThatKeepsItsStatus(call._cython_call)
        if state is not grpc.ChannelConnectivity.READY:
            raise StreamEndedError(await _why_not_connected(call))
        return Stream(channel, call)
    except BaseException:
        await channel.close()
        raise


class _CallThatKeepsItsStatus:
    """What grpc.aio's calls are made of, but for one thing.

    When a write fails, because the stream has ended, grpc.aio would make INTERNAL of the status that says why, if that
    comes later. This lets it wait for the status.
    """

    def __init__(self, call: Any) -> None:
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def set_internal_error(self, error: str) -> None:
        """Does nothing: each stream gets a status, of its server or of its connection."""


def _dial(target: str, config: ClientConfig) -> grpc.aio.Channel:
    options = (*_CHANNEL_OPTIONS, *config.channel_options)
    if config.credentials is None:
        return grpc.aio.insecure_channel(target, options=options)
    return grpc.aio.secure_channel(target, config.credentials, options=options)


async def _connect(channel: grpc.aio.Channel) -> grpc.ChannelConnectivity:
    """Waits until the channel is connected or has failed.

    A call could be made before, and would wait itself, but it could not be told then whether a message that was
    given to it has left this machine.
    """
    state = channel.get_state(try_to_connect=True)
    while state in (grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.CONNECTING):
        await channel.wait_for_state_change(state)
        state = channel.get_state(try_to_connect=True)
    return state


async def _why_not_connected(call: Any) -> MessageProxyError:
    """The error of a call on a channel that has failed, which fails with the channel's reason at once."""
    try:
        code = await asyncio.wait_for(call.code(), 1)
    except asyncio.TimeoutError:
        return unavailable("the connection failed")  # and is there again
    return error_of_status(code, await call.details(), await call.trailing_metadata())


_STATUS_CODES = {
    grpc.StatusCode.INVALID_ARGUMENT: (Code.INVALID_ARGUMENT, False),
    grpc.StatusCode.UNAUTHENTICATED: (Code.UNAUTHENTICATED, False),
    grpc.StatusCode.PERMISSION_DENIED: (Code.PERMISSION_DENIED, False),
    grpc.StatusCode.UNIMPLEMENTED: (Code.UNSUPPORTED, False),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (Code.RESOURCE_EXHAUSTED, True),
    grpc.StatusCode.INTERNAL: (Code.INTERNAL, True),
}


def error_of_status(code: grpc.StatusCode, details: str | None, metadata: Any) -> MessageProxyError:
    """Why a stream ended: the error in its status's details, or what the status alone says."""
    for key, value in metadata or ():
        if key == "grpc-status-details-bin":
            error = _error_in(value)
            if error is not None:
                return error
    if code is grpc.StatusCode.OK:
        return unavailable("the server ended the stream")
    number, retryable = _STATUS_CODES.get(code, (Code.BROKER_UNAVAILABLE, True))
    return MessageProxyError(number, details or "", retryable=retryable)


def _error_in(status_bytes: bytes) -> MessageProxyError | None:
    """The proxy's error among the details of a google.rpc.Status, if there is one."""
    try:
        for detail in _Status.FromString(status_bytes).details:
            container, error = any_pb2.Any.FromString(detail), wire.Error()
            if container.Unpack(error):
                return error_from_wire(error)
    except DecodeError:
        pass  # of somebody else's making
    return None


def _status_class() -> Any:
    """A class for google.rpc.Status, which would need another package: an Any in bytes is a google.protobuf.Any."""
    field = descriptor_pb2.FieldDescriptorProto(
        name="details",
        number=3,
        type=descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
        label=descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED,
    )
    file = descriptor_pb2.FileDescriptorProto(
        name="messageproxy/status.proto",
        package="messageproxy",
        syntax="proto3",
        message_type=[descriptor_pb2.DescriptorProto(name="Status", field=[field])],
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("messageproxy.Status"))


_Status = _status_class()
