"""gRPC server: health checks, mutual TLS, and the three error families of `kit.errors` as gRPC statuses."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

from autogrocery.kit.errors import Unauthenticated
from autogrocery.kit.process.listening import ANY, bind, cannot_listen, joined
from autogrocery.kit.process.run import StartError
from autogrocery.kit.rpc.status import DRAIN_S, MAPPED_ERRORS, MAX_MESSAGE_BYTES, status_of
from autogrocery.kit.rpc.tls import CallerAllowList, server_credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence

    from autogrocery.kit.security.tls import Identity

CODES = {code.value[0]: code for code in grpc.StatusCode}
SERVER_OPTIONS = (("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES))


class ErrorStatusInterceptor(grpc.aio.ServerInterceptor):
    """Ends a call that raises one of MAPPED_ERRORS with its status; gRPC logs any other error and answers UNKNOWN."""

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        """Wrap unary methods; the contract has no other kind."""
        method = await continuation(details)
        if method is None or method.unary_unary is None:
            return method
        inner = method.unary_unary

        async def mapped(request: Any, context: Any) -> Any:
            try:
                return await inner(request, context)
            except MAPPED_ERRORS as error:
                code, detail = status_of(error)
                await context.abort(CODES[code], detail)

        return grpc.unary_unary_rpc_method_handler(mapped, method.request_deserializer, method.response_serializer)


@asynccontextmanager
async def serve(
    setting: str,
    host: str,
    port: int,
    add: Callable[[grpc.aio.Server], None],
    names: Sequence[str],
    *,
    identity: Identity | None = None,
    callers: Mapping[str, Collection[str]] | None = None,
) -> AsyncIterator[int]:
    """Serve the services that `add` registers, and health checks for `names`; yields the bound port.

    With `identity` it uses mutual TLS; `callers` then maps a method's name to the certificate names that may call it,
    and a method without an entry is closed. Raises StartError naming `setting` if the address can't be bound. Leaving
    the context waits up to DRAIN_S seconds for calls in flight.
    """
    checks = () if identity is None else (CallerAllowList(callers or {}),)
    server = grpc.aio.server(options=SERVER_OPTIONS, interceptors=(*checks, ErrorStatusInterceptor()))
    add(server)
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    bound = _add_port(server, setting, host, port, identity)
    await server.start()
    for name in ("", *names):
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    try:
        yield bound
    finally:
        await servicer.enter_graceful_shutdown()
        await server.stop(DRAIN_S)


def _add_port(server: grpc.aio.Server, setting: str, host: str, port: int, identity: Identity | None) -> int:
    """Bind the server and return its port; raises StartError with the reason, which gRPC itself does not tell."""
    place = joined(ANY if host == "*" else host, port)
    try:
        with bind(host, port) as probe:
            probe.listen()
    except OSError as error:
        raise StartError(cannot_listen(setting, host, port, error)) from None
    try:
        if identity is None:
            bound = server.add_insecure_port(place)
        else:
            bound = server.add_secure_port(place, server_credentials(identity))
    except RuntimeError:
        bound = 0
    if not bound:
        raise StartError(f"{setting}: {place} can't be bound: set {setting} to another address")
    return bound


def bearer(context: Any) -> str:
    """Return the bearer token of a call's metadata; raises Unauthenticated if there is none."""
    for key, value in context.invocation_metadata() or ():
        if key == "authorization" and value.startswith("Bearer "):
            return str(value[7:])
    raise Unauthenticated("invalid_token", "no bearer token in authorization metadata")
