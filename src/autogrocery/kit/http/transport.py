"""A transport for responses that sends few packets and does not wait for ever for a client to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

LINGER_S = 1.0  # for a client that is still sending to read its response


class CoalescingTransport:
    """A transport that joins the writes of one event-loop iteration: a response's head and body leave in one packet.

    `interrupts()` returns whether the client is still sending. Bytes that reach a closed socket reset the connection,
    and the reset may discard the response before it is read (RFC 9112 §9.6): so such a client is read for LINGER_S
    seconds more.
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
        """Write at the end of this event-loop iteration."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        """Write the buffered parts, then close; abort if the client does not read them within the send deadline."""
        if self._closed:  # a TLS transport of asyncio fails on every call once it is closed twice
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
