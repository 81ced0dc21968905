"""A keep-alive HTTP/1.1 client connection of little cost: a request needs no task and no future.

It supports what the gateway sends: one response at a time, with Content-Length. An assertion fails for anything else.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    OnResponse = Callable[[int, bytes, float], None]

LENGTH = b"content-length: "
RETRY_AFTER = b"retry-after: "
CONNECTION_LOST = 0  # passed as status when the connection is lost
NO_BODY = 204
FIRST_ERROR = 400  # the gateway sends Retry-After with errors only
RECONNECT_PAUSE_S = 1.0  # passed as Retry-After when the connection is lost, so that a retry does not spin


class HttpConnection(asyncio.Protocol):
    """A connection with at most one request in flight; it calls `on_response(status, body, retry_after_s)` for each."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._on_response: OnResponse | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's class does not inherit from it

    def send(self, request: bytes, on_response: OnResponse) -> None:
        """Send a whole request."""
        assert self._on_response is None, "one request at a time"
        self._on_response = on_response
        if self._transport is None or self._transport.is_closing():
            asyncio.get_running_loop().call_soon(self._complete, CONNECTION_LOST, b"", RECONNECT_PAUSE_S)
        else:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Collect bytes; complete the request when its response is whole."""
        buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end >= 0:
            at = buffer.find(LENGTH, 0, end)
            size = int(buffer[at + len(LENGTH) : buffer.find(b"\r", at)]) if at >= 0 else 0
            if len(buffer) >= end + 4 + size:
                self._buffer = b""
                status = int(buffer[9:12])
                assert at >= 0 or status == NO_BODY, "a response without Content-Length"
                retry_after_s = _retry_after_s(buffer, end) if status >= FIRST_ERROR else 0.0
                self._complete(status, buffer[end + 4 :], retry_after_s)
                return
        self._buffer = buffer

    def connection_lost(self, exc: Exception | None) -> None:
        """Complete the request in flight with CONNECTION_LOST."""
        del exc
        if self._on_response is not None:
            self._complete(CONNECTION_LOST, b"", RECONNECT_PAUSE_S)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def _complete(self, status: int, body: bytes, retry_after_s: float) -> None:
        on_response, self._on_response = self._on_response, None
        if on_response is not None:
            on_response(status, body, retry_after_s)


def _retry_after_s(buffer: bytes, end: int) -> float:
    at = buffer.find(RETRY_AFTER, 0, end)
    return float(buffer[at + len(RETRY_AFTER) : buffer.find(b"\r", at)]) if at >= 0 else 0.0


def post(path: str, body: bytes, *fields: tuple[str, str]) -> bytes:
    """Return the bytes of a POST with a JSON body."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n{lines}"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


async def get(connection: HttpConnection, path: str, *fields: tuple[str, str]) -> tuple[int, bytes]:
    """Send a GET and wait for its response; returns status and body."""
    response: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    request = f"GET {path} HTTP/1.1\r\nhost: gateway\r\n{lines}\r\n".encode("ascii")
    connection.send(request, lambda status, body, _retry_after_s: response.set_result((status, body)))
    return await response


async def connect(port: int) -> HttpConnection:
    """Connect to a port on loopback."""
    _, connection = await asyncio.get_running_loop().create_connection(HttpConnection, "127.0.0.1", port)
    return connection
