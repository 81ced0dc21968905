"""The fallback of `channel.Channel`: the same calls made with `grpc.aio`."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from autogrocery.kit.rpc.status import MAX_MESSAGE_BYTES, Code, RpcError, UndecodableError
from autogrocery.kit.rpc.tls import RotatingChannel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from google.protobuf.descriptor import MethodDescriptor

    from autogrocery.kit.rpc.channel import Method
    from autogrocery.kit.security.tls import Identity

BULKHEAD: Final = 64  # calls at once
CHANNEL_OPTIONS: Final = (
    ("grpc.enable_retries", 0),  # the sweep loop is the only layer that retries
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),  # in fact the time limit of one attempt to connect, handshake included
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.enable_http_proxy", 0),  # http_proxy and grpc_proxy of the environment are meant for browsers
)


@asynccontextmanager
async def open_grpcio_channel(target: str, identity: Identity | None, name: str) -> AsyncIterator[GrpcioChannel]:
    """Open a channel as `channel.open_channel` does."""
    if identity is None:
        async with grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS) as channel:
            yield GrpcioChannel(channel)
        return
    rotating = RotatingChannel(target, identity, name, CHANNEL_OPTIONS)
    try:
        yield GrpcioChannel(rotating)
    finally:
        await rotating.close()


class GrpcioChannel:
    """The calls to one target; those beyond BULKHEAD wait within their deadlines."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._slots = asyncio.Semaphore(BULKHEAD)

    def unary(self, descriptor: MethodDescriptor) -> Method:
        """Return a method of a .proto file."""
        request, reply = GetMessageClass(descriptor.input_type), GetMessageClass(descriptor.output_type)
        path = f"/{descriptor.containing_service.full_name}/{descriptor.name}"
        return self._method(path, request.SerializeToString, reply.FromString)

    def raw(self, path: str) -> Method:
        """Return the method at `path`, as /package.Service/Method, whose request and reply are bytes."""
        return self._method(path, bytes, bytes)

    def _method(self, path: str, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]) -> Method:
        inner = self._channel.unary_unary(path, request_serializer=encode)

        async def call(request: Any, *, timeout_s: float, token: str | None = None) -> Any:
            metadata = (("authorization", f"Bearer {token}"),) if token else None
            try:
                async with asyncio.timeout(timeout_s), self._slots:
                    return decode(await inner(request, timeout=timeout_s, metadata=metadata))
            except grpc.aio.AioRpcError as error:
                raise RpcError(Code(error.code().value[0]), error.details() or "") from None
            except DecodeError:
                raise UndecodableError from None
            except (TimeoutError, grpc.RpcError, grpc.aio.BaseError) as error:
                code = Code.DEADLINE_EXCEEDED if isinstance(error, TimeoutError) else Code.UNAVAILABLE
                raise RpcError(code, type(error).__name__) from None

        return call
