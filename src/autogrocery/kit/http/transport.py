"""A transport for answers: few packets, and no client that keeps them waiting for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

LINGER_S = 1.0  # for a client that is still sending to notice that it is answered


class Corked:
    """A transport whose writes of one turn of the loop leave together: an answer's head and body in one packet.

    `interrupts()` says whether closing now would interrupt the client. What it sends to a closed socket resets the
    connection, and the reset may erase the answer before it is read (RFC 9112 §9.6): such a client is read on for LINGER_S.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        send_deadline_s: float,
        interrupts: Callable[[], bool],
    ) -> None:
        self.is_closing = transport.is_closing
        self._transport = transport
        self._loop = loop
        self._send_deadline_s = send_deadline_s
        self._interrupts = interrupts
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
        if not self._transport.is_closing() and self._transport.can_write_eof() and self._interrupts():
            self.is_closing = lambda: True
            self._transport.write_eof()
            self._transport.resume_reading()
            self._loop.call_later(LINGER_S, self._close)
        else:
            self._close()

    def _close(self) -> None:
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
