"""What every answer carries: a Content-Security-Policy with a nonce, and no request from a foreign page."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any

    from starlette.types import ASGIApp, Receive, Scope, Send

# The framework compiles its templates and its listeners in the browser, which needs 'unsafe-eval', and sets styles of
# elements, which needs 'unsafe-inline' for styles. An inline script runs only with the nonce of its answer.
POLICY: Final = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'; object-src 'none'"
)
SCRIPT: Final = re.compile(rb"<script(?=[\s>])")
CONTENT: Final = b"parseElements("  # from here on the page holds data, whose scripts get no nonce


class Protect:
    """ASGI: adds the headers, puts the nonce into the framework's own scripts, refuses a foreign Origin."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if not _same_origin(headers):
            await _refuse(scope, send)
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        if not scope["path"].startswith("/_nicegui/"):  # a page gets its nonce: it must not be compressed
            scope = {**scope, "headers": [one for one in scope["headers"] if one[0] != b"accept-encoding"]}
        await self._app(scope, receive, _Nonced(send).send)


class _Nonced:
    """Holds a page back until it is whole, to put the nonce into it; passes anything else on."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: MutableMapping[str, Any] | None = None
        self._body = b""
        self._nonce = secrets.token_urlsafe(16)

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            found = [one for one in message["headers"] if one[0].lower() not in {b"server", b"x-powered-by"}]
            is_page = any(name.lower() == b"content-type" and b"text/html" in value for name, value in found)
            found += [
                (b"content-security-policy", POLICY.format(nonce=self._nonce).encode()),
                (b"x-content-type-options", b"nosniff"),
                (b"referrer-policy", b"same-origin"),
                (b"cross-origin-opener-policy", b"same-origin"),
            ]
            if is_page:
                found.append((b"cache-control", b"no-store"))
            message["headers"] = found
            if is_page:
                self._start = message
                return
        elif self._start is not None:
            self._body += message.get("body", b"")
            if message.get("more_body"):
                return
            await self._send_page()
            return
        await self._send(message)

    async def _send_page(self) -> None:
        assert self._start is not None
        head, mark, rest = self._body.partition(CONTENT)
        body = SCRIPT.sub(b'<script nonce="%s"' % self._nonce.encode(), head) + mark + rest
        self._start["headers"] = [
            (name, str(len(body)).encode() if name.lower() == b"content-length" else value)
            for name, value in self._start["headers"]
        ]
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": body})


def _same_origin(headers: dict[bytes, bytes]) -> bool:
    origin = headers.get(b"origin")
    return origin is None or urlsplit(origin).netloc == headers.get(b"host", b"")


async def _refuse(scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"This request comes from another page."})
