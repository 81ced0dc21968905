"""The fallback of `channel.Channel`: the same calls made with `grpc.aio`."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.message import DecodeError

from autogrocery.kit.rpc.client_call import Caller
from autogrocery.kit.rpc.status import MAX_MESSAGE_BYTES, Code, RpcError, UndecodableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

    from autogrocery.kit.rpc.client_call import Method
    from autogrocery.kit.security.tls import Identity, Material

BULKHEAD: Final = 64  # calls at once
MAX_CHANNELS: Final = 2  # the latest and the one before it, whose calls may still be in flight
CLOSE_S: Final = 2.0  # grace for the calls of a channel that is closed: the longest deadline of a call
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


class GrpcioChannel(Caller):
    """The calls to one target; those beyond BULKHEAD wait within their deadlines."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._slots = asyncio.Semaphore(BULKHEAD)

    def method(self, path: str, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]) -> Method:
        """Return the method at `path`, as `Caller.method` does."""
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


class RotatingChannel:
    """A channel to the peer whose certificate is for `name`; when ours is replaced, calls use a new connection.

    Calls in flight stay on their connection, which a second replacement closes.
    """

    def __init__(self, target: str, identity: Identity, name: str, options: Collection[tuple[str, Any]]) -> None:
        self._target = target
        self._identity = identity
        self._options = (*options, ("grpc.ssl_target_name_override", name))
        self._material: Material | None = None
        self._channels: list[grpc.aio.Channel] = []
        self._closing: set[asyncio.Task[None]] = set()

    def unary_unary(self, path: str, **options: Any) -> Callable[..., Any]:
        """Return a method, as grpc.aio.Channel does."""
        methods: dict[grpc.aio.Channel, Callable[..., Any]] = {}

        def call(*call_args: Any, **call_options: Any) -> Any:
            channel = self._latest()
            if channel not in methods:
                methods.clear()
                methods[channel] = channel.unary_unary(path, **options)
            return methods[channel](*call_args, **call_options)

        return call

    async def close(self) -> None:
        """Close every connection immediately."""
        await asyncio.gather(*(channel.close() for channel in self._channels), *self._closing)

    def _latest(self) -> grpc.aio.Channel:
        material = self._identity.current()
        if material is not self._material:
            self._material = material
            credentials = grpc.ssl_channel_credentials(material.ca, material.key, material.certificate)
            self._channels.append(grpc.aio.secure_channel(self._target, credentials, options=self._options))
            if len(self._channels) > MAX_CHANNELS:
                task = asyncio.ensure_future(self._channels.pop(0).close(CLOSE_S))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
        return self._channels[-1]
