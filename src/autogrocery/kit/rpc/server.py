"""gRPC server: unary calls, health checks, mutual TLS with the callers of each method, and an orderly stop."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from msgspec.structs import replace

from autogrocery.kit.errors import Unauthenticated
from autogrocery.kit.process.listening import listen
from autogrocery.kit.rpc.server_call import ServerCall, ServerMethod
from autogrocery.kit.rpc.server_connection import HANDSHAKE_S, ServerConnection
from autogrocery.kit.rpc.status import DRAIN_S, Code, RpcError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping

    from google.protobuf.descriptor import ServiceDescriptor

    from autogrocery.kit.security.tls import Identity

HEALTH: Final = "/grpc.health.v1.Health/Check"
BACKLOG: Final = 1_024
CHECK_S: Final = 1.0
LAST_S: Final = 1.0  # for cancelled calls to end


def server_methods(service: ServiceDescriptor, servicer: object) -> dict[str, ServerMethod]:
    """Return by path the methods of a contract's service that `servicer` has.

    They are async functions of a request and its ServerCall. They return the reply, or raise RpcError or one of
    MAPPED_ERRORS; any other error is logged and ends the call as UNKNOWN.
    """
    return {
        f"/{service.full_name}/{method.name}": ServerMethod(
            GetMessageClass(method.input_type).FromString, getattr(servicer, method.name)
        )
        for method in service.methods
        if hasattr(servicer, method.name)
    }


@asynccontextmanager
async def serve(
    setting: str,
    host: str,
    port: int,
    methods: Mapping[str, ServerMethod],
    *,
    identity: Identity | None = None,
    callers: Mapping[str, Collection[str]] | None = None,
) -> AsyncIterator[int]:
    """Serve methods by their paths, and health checks for their services; yields the bound port.

    With `identity` it uses mutual TLS; `callers` then maps a method's name to the certificate names that may call it,
    and a method without an entry is closed: any other call ends with PERMISSION_DENIED before any work. Raises
    StartError naming `setting` if the address can't be bound. Leaving the context waits up to DRAIN_S seconds for
    calls in flight.
    """
    health = _Health({"", *(path.split("/")[1] for path in methods)})
    table = {HEALTH.encode(): ServerMethod(health_pb2.HealthCheckRequest.FromString, health.check)}
    for path, method in methods.items():
        allowed = None if identity is None else frozenset((callers or {}).get(path.rpartition("/")[2], ()))
        table[path.encode()] = replace(method, allowed=allowed)
    connections: set[ServerConnection] = set()
    listener = listen(setting, host, port, BACKLOG)
    server = await asyncio.get_running_loop().create_server(
        lambda: ServerConnection(table, connections),
        sock=listener,
        backlog=BACKLOG,
        ssl=identity.current().h2_server if identity is not None else None,
        ssl_handshake_timeout=HANDSHAKE_S if identity is not None else None,
    )
    checking = asyncio.create_task(_check(connections), name=f"grpc:{setting}")
    try:
        yield listener.getsockname()[1]
    finally:
        health.status = health_pb2.HealthCheckResponse.NOT_SERVING
        server.close()
        await _stop(connections)
        checking.cancel()


def bearer(call: ServerCall) -> str:
    """Return the bearer token of a call's metadata; raises Unauthenticated if there is none."""
    kind, _, token = call.fields.get(b"authorization", b"").partition(b" ")
    if kind != b"Bearer":
        raise Unauthenticated("invalid_token", "no bearer token in authorization metadata")
    return token.decode("latin-1")


class _Health:
    """`Check` of grpc.health.v1, open to every certificate.

    `Watch` is UNIMPLEMENTED: a client then takes the server for healthy (grpc/doc/health-checking.md), and learns of
    its stop by a GOAWAY.
    """

    def __init__(self, services: Collection[str]) -> None:
        self._services = services
        self.status = health_pb2.HealthCheckResponse.SERVING

    async def check(self, request: Any, _call: ServerCall) -> Any:
        if request.service not in self._services:
            raise RpcError(Code.NOT_FOUND, "there is no such service")
        return health_pb2.HealthCheckResponse(status=self.status)


async def _check(connections: set[ServerConnection]) -> None:
    while True:
        await asyncio.sleep(CHECK_S)
        now = asyncio.get_running_loop().time()
        for connection in tuple(connections):
            connection.check(now)


async def _stop(connections: set[ServerConnection]) -> None:
    """Drain all connections for up to DRAIN_S seconds, then cancel what is left."""
    for connection in tuple(connections):
        connection.drain()
    if connections:
        await asyncio.wait([connection.gone for connection in connections], timeout=DRAIN_S)
    for connection in tuple(connections):
        connection.cancel()
    if connections:
        await asyncio.wait([connection.gone for connection in connections], timeout=LAST_S)
