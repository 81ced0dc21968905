"""A server of gRPC's own library, for what every client of a peer must get along with."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from autogrocery.kit.security.tls import Identity

DESK = "/desk/"


class Desk(Struct):
    """The methods: each takes bytes and returns bytes."""

    calls: int = 0
    at_once: int = 0
    most_at_once: int = 0
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def echo(self, request: bytes, _context: Any) -> bytes:
        self.calls += 1
        return request

    async def pause(self, request: bytes, _context: Any) -> bytes:
        """Take a few milliseconds, and count how many do so at once."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.005)
        self.at_once -= 1
        return request

    async def wait(self, request: bytes, _context: Any) -> bytes:
        """Answer when `go_on` is set; `cancelled` tells that the client gave up."""
        self.begun.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return request

    async def large(self, request: bytes, _context: Any) -> bytes:
        return b"x" * int(request)

    async def fail(self, request: bytes, context: Any) -> bytes:
        """Abort with the status whose number is before the colon, and the detail after it."""
        code, _, detail = request.decode().partition(":")
        status = next(one for one in grpc.StatusCode if one.value[0] == int(code))
        await context.send_initial_metadata((("x-odd", "a"), ("x-odd", "b")))
        await context.abort(status, detail)

    async def refuse(self, _request: bytes, context: Any) -> bytes:
        """Set a status without an exception, and no message: trailers alone."""
        context.set_code(grpc.StatusCode.NOT_FOUND)
        context.set_details("not here")
        return b""

    async def tell(self, _request: bytes, context: Any) -> bytes:
        """Return the metadata and the deadline that came."""
        fields = dict(context.invocation_metadata())
        return repr((fields.get("authorization"), round(context.time_remaining(), 1))).encode()


@asynccontextmanager
async def serving_grpcio(
    *, port: int = 0, identity: Identity | None = None, compression: Any = None, **options: Any
) -> AsyncIterator[tuple[Desk, int]]:
    """Serve a Desk; options are gRPC's, with underscores. Leaving stops it with a grace of five seconds."""
    desk = Desk()
    arguments = [("grpc.so_reuseport", 0), *((f"grpc.{name}", value) for name, value in options.items())]
    server = grpc.aio.server(options=arguments, compression=compression)
    names = ("echo", "pause", "wait", "large", "fail", "refuse", "tell")
    methods = {name: grpc.unary_unary_rpc_method_handler(getattr(desk, name)) for name in names}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("desk", methods),))
    place = f"127.0.0.1:{port}"
    if identity is None:
        bound = server.add_insecure_port(place)
    else:
        shown = identity.current()
        credentials = grpc.ssl_server_credentials(
            [(shown.key, shown.certificate)], root_certificates=shown.ca, require_client_auth=True
        )
        bound = server.add_secure_port(place, credentials)
    await server.start()
    try:
        yield desk, bound
    finally:
        await server.stop(5.0)
