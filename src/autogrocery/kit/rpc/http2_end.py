"""What both ends of an HTTP/2 connection do alike: agree on the protocol, and send frames."""

from __future__ import annotations

import asyncio
from typing import Any


class Http2End(asyncio.Protocol):
    """One end of a connection. All frames of one turn of the event loop leave in one write."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: Any = None
        self._out: list[bytes] = []
        self._out_bytes = 0

    def _agrees(self) -> bool:
        """Return whether the connection is in plain text, or TLS has agreed on HTTP/2 by ALPN (RFC 9113 §3.2)."""
        tls = self._transport.get_extra_info("ssl_object")
        return tls is None or tls.selected_alpn_protocol() == "h2"

    def _send(self, data: bytes) -> None:
        """Send at the end of this turn of the event loop, with all else of it."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)
        self._out_bytes += len(data)

    def _flush(self) -> None:
        out, self._out, self._out_bytes = self._out, [], 0
        if out and not self._transport.is_closing():
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
