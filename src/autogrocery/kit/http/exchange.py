"""One request's way back to the client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from autogrocery.kit.http.errors import tell
from autogrocery.kit.http.route import Answer
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from autogrocery.kit.http.reading import Head
    from autogrocery.kit.http.route import Route

    Send = Callable[[dict[str, Any]], Awaitable[None]]

NO_STORE = (b"cache-control", b"no-store")
ENDING = frozenset({"request_timeout", "bad_request"})  # where the next request begins is anybody's guess
NO_SNIFF = (b"x-content-type-options", b"nosniff")

_encode = msgspec.json.Encoder().encode


def octets(body: Any) -> bytes:
    """Return a body as bytes: bytes as they are, None as none, anything else as JSON."""
    return body if isinstance(body, bytes) else b"" if body is None else _encode(body)


def fields_of(answer: Answer, media: str) -> list[tuple[bytes, bytes]]:
    """Return the header fields of an answer; no `media`, no Content-Type."""
    fields = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in answer.headers]
    fields.append(NO_STORE)
    if media:
        fields.append((b"content-type", media.encode("ascii")))
    return fields


class Exchange:
    """One request's way back: at most one answer goes out, whoever comes first.

    `scope` is what its route asks for, `left` the RateLimit field of what its caller has left.
    """

    __slots__ = ("_head", "_only_head", "_send", "answered", "left", "scope", "streaming")

    def __init__(self, send: Send, head: Head, *, only_head: bool) -> None:
        """Answer through `send`; `only_head` for the method HEAD."""
        self._send = send
        self._head = head
        self._only_head = only_head
        self.answered = False
        self.streaming = False
        self.scope: str | None = None
        self.left: tuple[bytes, bytes] | None = None

    async def answer(self, route: Route, answer: Any) -> None:
        """Send an Answer, or a body with the route's status."""
        told = answer if isinstance(answer, Answer) else Answer(answer)
        body = octets(told.body)
        await self.send(told.status or route.status, fields_of(told, (told.media or route.media) if body else ""), body)

    async def refuse(self, error: BaseException) -> None:
        """Send a problem; if an answer has begun, the connection's end has to tell."""
        if self.answered:
            log.warning("answer_broken_off", request_id=self._head.request_id, reason=type(error).__name__)
            if self.streaming:
                raise ConnectionError("a stream broke off") from error
            return
        presented = b"authorization" in self._head.fields
        told = tell(error, self._head.request_id, scope=self.scope, presented=presented)
        fields = told.headers
        if b"expect" in self._head.fields or getattr(error, "code", "") in ENDING:
            fields.append((b"connection", b"close"))
        await self.send(told.status, fields, told.body)

    async def send(self, status: int, fields: list[tuple[bytes, bytes]], body: bytes | None) -> None:
        """Send the head, and the body unless it is None: then `more` continues."""
        self.answered = True
        self.streaming = body is None
        fields.append((b"x-request-id", self._head.request_id.encode("ascii")))
        fields.append(NO_SNIFF)
        if self.left is not None:
            fields.append(self.left)
        if body is not None and status != 204:  # noqa: PLR2004 - RFC 9110 §8.6: no length there
            fields.append((b"content-length", b"%d" % len(body)))
        await self._send({"type": "http.response.start", "status": status, "headers": fields})
        if body is not None:
            await self.more(body, end=True)

    async def more(self, part: bytes, *, end: bool = False) -> None:
        """Send a part of the body."""
        await self._send({"type": "http.response.body", "body": b"" if self._only_head else part, "more_body": not end})
