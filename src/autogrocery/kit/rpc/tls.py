"""gRPC over mutual TLS: credentials that follow their files, and an allow-list of callers for each method."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import grpc

from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from autogrocery.kit.security.tls import Identity, Material

HEALTH: Final = "/grpc.health.v1.Health/"
MAX_CHANNELS: Final = 2  # the latest and the one before it, whose calls may still be in flight
CLOSE_S: Final = 2.0  # grace for the calls of a channel that is closed: the longest deadline of a call


def server_credentials(identity: Identity) -> grpc.ServerCredentials:
    """Return credentials that require a client certificate and read our own files anew for each new connection."""
    return grpc.dynamic_ssl_server_credentials(
        _configuration(identity.current()),
        lambda: _configuration(identity.current()),
        require_client_authentication=True,
    )


def _configuration(material: Material) -> Any:
    pair = (material.key, material.certificate)
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=material.ca)


class CallerAllowList(grpc.aio.ServerInterceptor):
    """Lets a call pass only if a DNS name of the caller's certificate is in the list of its method.

    Any other call ends with PERMISSION_DENIED before any work, as does a method without a list. Health checks are open
    to every certificate of the CA.
    """

    def __init__(self, allowed: Mapping[str, Collection[str]]) -> None:
        """Take the allowed names by the method's bare name."""
        self._allowed = {method: frozenset(names) for method, names in allowed.items()}

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        """Wrap unary methods and bidirectional streams; other kinds of methods are not served."""
        method = await continuation(details)
        if method is None or details.method.startswith(HEALTH):
            return method
        name = details.method.rpartition("/")[2]
        inner = method.unary_unary or method.stream_stream

        async def checked(request: Any, context: Any) -> Any:
            await self._check(name, context)
            return await inner(request, context)

        if method.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(checked, method.request_deserializer, method.response_serializer)
        if method.stream_stream is not None:
            return grpc.stream_stream_rpc_method_handler(
                checked, method.request_deserializer, method.response_serializer
            )
        return None

    async def _check(self, method: str, context: Any) -> None:
        names = {name.decode("ascii", "replace") for name in context.auth_context().get("peer_dns", ())}
        if names.isdisjoint(self._allowed.get(method, ())):
            log.warning("caller_refused", method=method, names=sorted(names))
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "this certificate is not for this call")


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
