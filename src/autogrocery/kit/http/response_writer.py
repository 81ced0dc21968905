"""The response to one request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from autogrocery.kit.http.errors import problem_response
from autogrocery.kit.http.route import Answer
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from autogrocery.kit.http.reading import RequestHead
    from autogrocery.kit.http.route import Route

    Send = Callable[[dict[str, Any]], Awaitable[None]]

NO_STORE = (b"cache-control", b"no-store")
ENDING = frozenset({"request_timeout", "bad_request"})  # after these it is unknown where the next request begins
NO_SNIFF = (b"x-content-type-options", b"nosniff")

_encode = msgspec.json.Encoder().encode


def octets(body: Any) -> bytes:
    """Return a body as bytes: bytes as they are, nothing for None, anything else as JSON."""
    return body if isinstance(body, bytes) else b"" if body is None else _encode(body)


def fields_of(answer: Answer, media: str) -> list[tuple[bytes, bytes]]:
    """Return the header fields of an answer; without `media` it has no Content-Type."""
    fields = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in answer.headers]
    fields.append(NO_STORE)
    if media:
        fields.append((b"content-type", media.encode("ascii")))
    return fields


class ResponseWriter:
    """Writes the response to one request: the first answer or refusal, and no second one.

    `scope` is the scope that its route requires, `rate_limit` the RateLimit header field of its caller.
    """

    __slots__ = ("_head", "_send", "answered", "only_head", "rate_limit", "scope", "streaming")

    def __init__(self, send: Send, head: RequestHead, *, only_head: bool) -> None:
        """Write through `send`; with `only_head`, for the method HEAD, no body."""
        self._send = send
        self._head = head
        self.only_head = only_head
        self.answered = False
        self.streaming = False
        self.scope: str | None = None
        self.rate_limit: tuple[bytes, bytes] | None = None

    async def answer(self, route: Route, answer: Any) -> None:
        """Send an Answer, or a body with the route's status."""
        full = answer if isinstance(answer, Answer) else Answer(answer)
        body = octets(full.body)
        await self.send(full.status or route.status, fields_of(full, (full.media or route.media) if body else ""), body)

    async def refuse(self, error: BaseException) -> None:
        """Send a problem; if a stream has begun, raise ConnectionError, so that it ends without its last chunk."""
        if self.answered:
            log.warning("response_aborted", request_id=self._head.request_id, reason=type(error).__name__)
            if self.streaming:
                raise ConnectionError("a stream broke off") from error
            return
        presented = b"authorization" in self._head.fields
        problem = problem_response(error, self._head.request_id, scope=self.scope, presented=presented)
        fields = problem.headers
        if b"expect" in self._head.fields or getattr(error, "code", "") in ENDING:
            fields.append((b"connection", b"close"))
        await self.send(problem.status, fields, problem.body)

    async def send(self, status: int, fields: list[tuple[bytes, bytes]], body: bytes | None) -> None:
        """Send the head, and the body unless it is None: then `more` continues."""
        self.answered = True
        self.streaming = body is None
        fields.append((b"x-request-id", self._head.request_id.encode("ascii")))
        fields.append(NO_SNIFF)
        if self.rate_limit is not None:
            fields.append(self.rate_limit)
        if body is not None and status != 204:  # noqa: PLR2004 - RFC 9110 §8.6: no length there
            fields.append((b"content-length", b"%d" % len(body)))
        await self._send({"type": "http.response.start", "status": status, "headers": fields})
        if body is not None:
            await self.more(body, end=True)

    async def more(self, part: bytes, *, end: bool = False) -> None:
        """Send a part of the body."""
        await self._send({"type": "http.response.body", "body": b"" if self.only_head else part, "more_body": not end})
