"""Listeners: uvicorn with bounds where it has none, and without its signals, its access log and its name.

uvicorn's parser takes heads of any size at any pace, and answers what it cannot parse in plain text. `Connection` adds the
deadline and the bounds for heads, and problems in their place.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from autogrocery.kit.http_errors import tell
from autogrocery.kit.http_read import MAX_HEAD_BYTES, MAX_URI_BYTES, REQUEST_ID_BYTES
from autogrocery.kit.http_route import PEER_NAMES, WHOLE
from autogrocery.kit.refusals import Malformed
from autogrocery.kit.run import StartError
from autogrocery.kit.tls import names_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from autogrocery.kit.http import App
    from autogrocery.kit.tls import Identity

HEAD_DEADLINE_S = 10.0
KEEP_ALIVE_S = 15
DRAIN_S = 5
BACKLOG = 1_024
HERE: dict[str, dict[object, object]] = {WHOLE: {}}
MAX_MESSAGE_BYTES = 8 << 20  # a body that was refused may still be on its way; beyond this the connection is cut
MAX_CHUNKED_BYTES = 1 << 20  # chunks and trailers are kept while they are parsed
HEAD_SLACK_BYTES = 2 << 10  # separators, and what of the body came with the head


class Corked:
    """A transport whose writes of one turn of the loop leave together: an answer's head and body in one packet."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.is_closing = transport.is_closing
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Write at the end of this turn."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        """Write what is left, then close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._parts:
            parts, self._parts = self._parts, []
            self._transport.write(b"".join(parts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Connection(HttpToolsProtocol):
    """One connection, whose heads come in time and within bounds, or not at all."""

    def __init__(self, *args: Any, head_deadline_s: float, **named: Any) -> None:
        super().__init__(*args, **named)
        self._head_deadline_s = head_deadline_s
        self._in_head = True
        self._bytes = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._peer: dict[str, Any] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection; the first head is due from now on."""
        super().connection_made(Corked(transport, self.loop))  # type: ignore[arg-type]
        if transport.get_extra_info("sslcontext") is not None:
            self._peer = {PEER_NAMES: names_of(transport.get_extra_info("peercert"))}
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the timer too."""
        self._disarm()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Let a client end its stream behind its request (RFC 9112 §9.6): it is answered, then the connection ends."""
        if self._peer or self._free() or self.cycle.response_started:  # TLS has no half-closed connection
            return False
        self.cycle.keep_alive = False
        return True

    def data_received(self, data: bytes) -> None:
        """Parse; a head or a message beyond its bounds ends the connection."""
        if self.transport.is_closing():
            return
        self._bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._deadline is None and (self._in_head or self._free()):
            self._arm()
        if self._in_head and self._bytes > MAX_HEAD_BYTES + HEAD_SLACK_BYTES:
            if len(self.url or b"") > MAX_URI_BYTES:
                self._end(Malformed("uri_too_long", f"At most {MAX_URI_BYTES} bytes.", status=414))
            else:
                self._end(Malformed("headers_too_large", f"At most {MAX_HEAD_BYTES} bytes.", status=431))
        elif self._bytes > (MAX_MESSAGE_BYTES if self._has_length() else MAX_CHUNKED_BYTES):
            self.transport.close()

    def on_message_begin(self) -> None:
        """Begin a head; its deadline runs from here."""
        super().on_message_begin()
        self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head; one of a trailer is dropped, it must not look like one of the head."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the head; the application takes over."""
        self._in_head = False
        self._bytes = 0
        self._disarm()
        self.scope["extensions"] = self._peer
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End the message; if it has not been taken yet, the application is told that all of it is here."""
        self._bytes = 0
        self.scope["extensions"] = {**HERE, **self._peer} if self._peer else HERE
        self._disarm()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP with a problem."""
        self._end(Malformed("bad_request", msg))

    def _end(self, refusal: Malformed) -> None:
        """Answer if nobody else is answering on this connection, then close it."""
        cycle = self.cycle
        if self.pipeline or (not self._free() and (cycle.response_started or not cycle.more_body)):
            if cycle is not None:
                cycle.keep_alive = False  # what is being answered is answered; then it ends
            if self.pipeline:
                self.transport.close()
            return
        if not self._free():  # the request in work is itself the broken one
            cycle.disconnected = True
            cycle.message_event.set()
        request_id = os.urandom(REQUEST_ID_BYTES).hex()
        told = tell(refusal, request_id)
        fields = [*self.server_state.default_headers, *told.headers, (b"x-request-id", request_id.encode()),
                  (b"content-length", b"%d" % len(told.body)), (b"connection", b"close")]  # fmt: skip
        lines = b"".join(b"%s: %s\r\n" % field for field in fields)
        self.transport.write(STATUS_LINE[told.status] + lines + b"\r\n" + told.body)
        self.transport.close()

    def _free(self) -> bool:
        """Say whether no request is in work."""
        return self.cycle is None or self.cycle.response_complete

    def _has_length(self) -> bool:
        return any(name == b"content-length" for name, _ in self.headers or ())

    def _arm(self) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(self._head_deadline_s, self._late)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        if not self._free():
            self._arm()
        elif self._bytes and self._in_head:
            self._end(Malformed("request_timeout", f"A head is sent within {self._head_deadline_s:g} s.", status=408))
        else:
            self.transport.close()


@asynccontextmanager
async def serve_http(
    app: App,
    host: str,
    port: int,
    setting: str,
    *,
    trusted_proxies: str = "",
    head_deadline_s: float = HEAD_DEADLINE_S,
    identity: Identity | None = None,
) -> AsyncIterator[int]:
    """Serve `app` while the context lasts; yields the bound port (0 asks for a free one).

    Leaving stops accepting, ends streams, and waits DRAIN_S seconds for requests in work. `trusted_proxies` is a comma list
    of addresses whose X-Forwarded-For is believed. With `identity` over mutual TLS: each client shows a certificate of the CA,
    whose names are in `Request.peer_names`. Raises StartError naming `setting` if the address can't be had.
    """
    listener = _bind(host, port, setting)
    config = uvicorn.Config(
        app,
        loop="none",
        http=partial(Connection, head_deadline_s=head_deadline_s),  # type: ignore[arg-type]  # only called
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=trusted_proxies,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
        backlog=BACKLOG,
    )
    config.load()
    if identity is not None:
        config.ssl = identity.current().server
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    ticking = asyncio.create_task(server.main_loop(), name=f"http:{setting}")
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await asyncio.gather(ticking, app.stop(), server.shutdown(sockets=[listener]))


def _bind(host: str, port: int, setting: str) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise StartError(f"{setting}: {host} is no address of this machine ({error.strerror})") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)  # two listeners may bind one address; only one may listen
        listener.settimeout(0)
    except OSError as error:
        listener.close()
        raise StartError(
            f"{host}:{port} can't be used ({error.strerror}): stop what holds it or set {setting} to another address"
        ) from None
    return listener
