"""gRPC over mutual TLS: credentials that follow the files, and a table of who may make which call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import grpc

from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from autogrocery.kit.security.tls import Identity, Material

HEALTH: Final = "/grpc.health.v1.Health/"
OLDER_KEPT: Final = 2  # channels whose streams may still be in use; a rotation beyond that ends them
CLOSE_S: Final = 2.0  # the longest deadline of a call


def server_credentials(identity: Identity) -> grpc.ServerCredentials:
    """Return credentials that demand a client's certificate and take each new connection with what the files hold then."""
    return grpc.dynamic_ssl_server_credentials(
        _shown(identity.current()), lambda: _shown(identity.current()), require_client_authentication=True
    )


def _shown(material: Material) -> Any:
    pair = (material.key, material.certificate)
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=material.ca)


class Callers(grpc.aio.ServerInterceptor):
    """Lets a call pass only if a DNS name of the caller's certificate stands in its method's row; without a row, nobody.

    Anybody else is told PERMISSION_DENIED before any work. Health is for everybody with a certificate of the CA.
    """

    def __init__(self, allowed: Mapping[str, Collection[str]]) -> None:
        """`allowed` is by the method's bare name."""
        self._allowed = {method: frozenset(names) for method, names in allowed.items()}

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        """Wrap unary methods and those that stream both ways: there are no others."""
        method = await continuation(details)
        if method is None or details.method.startswith(HEALTH):
            return method
        name = details.method.rpartition("/")[2]
        inner = method.unary_unary or method.stream_stream

        async def checked(asked: Any, context: Any) -> Any:
            await self._check(name, context)
            return await inner(asked, context)

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


class RenewedChannel:
    """A channel to the peer whose certificate is for `name`; calls go by a new connection once our certificate was replaced.

    Streams that are open stay on the connection they have.
    """

    def __init__(self, target: str, identity: Identity, name: str, options: Collection[tuple[str, Any]]) -> None:
        self._target = target
        self._identity = identity
        self._options = (*options, ("grpc.ssl_target_name_override", name))
        self._shown: Material | None = None
        self._channels: list[grpc.aio.Channel] = []
        self._closing: set[asyncio.Task[None]] = set()

    def unary_unary(self, path: str, *how: Any, **named: Any) -> Callable[..., Any]:
        """Return a method as a channel does."""
        return self._method("unary_unary", path, how, named)

    def unary_stream(self, path: str, *how: Any, **named: Any) -> Callable[..., Any]:
        """Return a method as a channel does."""
        return self._method("unary_stream", path, how, named)

    def stream_stream(self, path: str, *how: Any, **named: Any) -> Callable[..., Any]:
        """Return a method as a channel does."""
        return self._method("stream_stream", path, how, named)

    async def close(self) -> None:
        """Close every connection at once."""
        await asyncio.gather(*(channel.close() for channel in self._channels), *self._closing)

    def _method(self, kind: str, path: str, how: tuple[Any, ...], named: dict[str, Any]) -> Callable[..., Any]:
        made: dict[grpc.aio.Channel, Callable[..., Any]] = {}

        def call(*asked: Any, **terms: Any) -> Any:
            channel = self._latest()
            if channel not in made:
                made.clear()
                made[channel] = getattr(channel, kind)(path, *how, **named)
            return made[channel](*asked, **terms)

        return call

    def _latest(self) -> grpc.aio.Channel:
        material = self._identity.current()
        if material is not self._shown:
            self._shown = material
            credentials = grpc.ssl_channel_credentials(material.ca, material.key, material.certificate)
            self._channels.append(grpc.aio.secure_channel(self._target, credentials, options=self._options))
            if len(self._channels) > OLDER_KEPT:
                task = asyncio.ensure_future(self._channels.pop(0).close(CLOSE_S))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
        return self._channels[-1]
