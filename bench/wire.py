"""One keep-alive HTTP/1.1 connection, as light as Python makes it: no task and no future for a request.

It knows what the gateway sends: answers with Content-Length, one at a time. Anything else ends the run.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    Answered = Callable[[int, bytes, float], None]

LENGTH = b"content-length: "
RETRY_AFTER = b"retry-after: "
GONE = 0  # the status of a connection that was lost
NO_BODY = 204
PAUSE_S = 1.0  # after a lost connection, so that whoever asks again does not spin


class Wire(asyncio.Protocol):
    """A connection with at most one request in flight; `answered(status, body, retry_after_s)` is called with each answer."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._answered: Answered | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class is none by inheritance

    def ask(self, request: bytes, answered: Answered) -> None:
        """Send one request, all of it."""
        assert self._answered is None, "one request at a time"
        self._answered = answered
        if self._transport is None or self._transport.is_closing():
            asyncio.get_running_loop().call_soon(self._tell, GONE, b"", PAUSE_S)
        else:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take bytes; tell the answer when it is whole."""
        buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end >= 0:
            at = buffer.find(LENGTH, 0, end)
            size = int(buffer[at + len(LENGTH) : buffer.find(b"\r", at)]) if at >= 0 else 0
            if len(buffer) >= end + 4 + size:
                self._buffer = b""
                status = int(buffer[9:12])
                assert at >= 0 or status == NO_BODY, "an answer without Content-Length"
                self._tell(status, buffer[end + 4 :], _retry_after_s(buffer, end))
                return
        self._buffer = buffer

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits that nothing will come."""
        del exc
        if self._answered is not None:
            self._tell(GONE, b"", PAUSE_S)

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()

    def _tell(self, status: int, body: bytes, retry_after_s: float) -> None:
        answered, self._answered = self._answered, None
        if answered is not None:
            answered(status, body, retry_after_s)


def _retry_after_s(buffer: bytes, end: int) -> float:
    at = buffer.find(RETRY_AFTER, 0, end)
    return float(buffer[at + len(RETRY_AFTER) : buffer.find(b"\r", at)]) if at >= 0 else 0.0


def post(path: str, body: bytes, *fields: tuple[str, str]) -> bytes:
    """Return a whole request."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    head = f"POST {path} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n{lines}content-length: {len(body)}\r\n\r\n"
    return head.encode("ascii") + body


async def get(wire: Wire, path: str, *fields: tuple[str, str]) -> tuple[int, bytes]:
    """Ask for a path and wait for the answer; returns status and body."""
    answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    request = f"GET {path} HTTP/1.1\r\nhost: gateway\r\n{lines}\r\n".encode("ascii")
    wire.ask(request, lambda status, body, _retry_after_s: answer.set_result((status, body)))
    return await answer


async def connect(port: int) -> Wire:
    """Connect to a listener on loopback."""
    _, wire = await asyncio.get_running_loop().create_connection(Wire, "127.0.0.1", port)
    return wire
