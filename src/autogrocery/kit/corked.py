"""A transport for answers: few packets, and no client that keeps them waiting for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio


class Corked:
    """A transport whose writes of one turn of the loop leave together: an answer's head and body in one packet."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, send_deadline_s: float) -> None:
        self.is_closing = transport.is_closing
        self._transport = transport
        self._loop = loop
        self._send_deadline_s = send_deadline_s
        self._parts: list[bytes] = []
        self._closed = False

    def write(self, data: bytes) -> None:
        """Write at the end of this turn."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        """Write what is left, then close; a client that does not take it in time is cut off."""
        if self._closed:  # a TLS transport of asyncio that is closed twice can't even be asked any more
            return
        self._flush()
        self._closed = True
        waiting = self._transport.get_write_buffer_size()
        self._transport.close()
        if waiting:
            self._loop.call_later(self._send_deadline_s, self._transport.abort)

    def _flush(self) -> None:
        if self._parts and not self._closed:
            parts, self._parts = self._parts, []
            self._transport.write(b"".join(parts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
