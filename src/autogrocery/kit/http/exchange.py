"""One request and its response (RFC 9110 §3.4): what was read so far, and at most one response."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Protocol

from autogrocery.kit.http import response
from autogrocery.kit.http.errors import MEDIA, problem_response
from autogrocery.kit.http.reading import MAX_BODY_BYTES, RequestHead, body_too_large
from autogrocery.kit.http.route import Answer
from autogrocery.kit.process.figures import Durations
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from autogrocery.kit.errors import Malformed
    from autogrocery.kit.http.route import Request, Route
    from autogrocery.kit.http.table import RouteEntry

ENDING = frozenset({"request_timeout", "bad_request"})  # after these it is unknown where the next request begins
EVENT_STREAM = "text/event-stream"
DURATIONS: Final = Durations(
    "http_request_duration_seconds",
    "Responses, from a request's first octet to its response's head",
    ["method", "route"],
    counter="http_responses",
    outcome="status",
)


class Link(Protocol):
    """The connection of an exchange."""

    peer_names: frozenset[str] | None

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is sent."""

    def client_of(self, head: RequestHead) -> str:
        """Return the address of the client of a request."""

    def write(self, octets: bytes) -> None:
        """Send a part of a response."""

    def finish(self, exchange: Exchange, octets: bytes) -> None:
        """Send the last part of a response."""

    def close(self) -> None:
        """Close when all is sent."""

    async def drained(self) -> None:
        """Wait until there is room for more to send."""


class Exchange:
    """A request on its way through the server, and the way back for its response.

    `complete`: all of the request has been read. `begun`: its action may run. `flaw`: why it is refused, known before
    its turn. `keep_alive`: the connection goes on after it. `entry` and `request` are set when it is admitted;
    `rate_limit` is the RateLimit header field of its caller.
    """

    def __init__(self, connection: Link, *, complete: bool = False) -> None:
        self.connection = connection
        self.head = RequestHead()
        self.flaw: Malformed | None = None
        self.keep_alive = False
        self.complete = complete
        self.begun = self.answered = self.streaming = False
        self.entry: RouteEntry | None = None
        self.request: Request | None = None
        self.rate_limit: tuple[bytes, bytes] | None = None
        self.task: Any = None
        self._came_s = perf_counter()
        self._parts: list[bytes] = []
        self._size_bytes = 0

    def add_body(self, part: bytes) -> None:
        """Keep a part of the body; beyond MAX_BODY_BYTES, or when it is not read any more, it is dropped."""
        if self.begun or self.answered or self.flaw is not None:
            return
        self._size_bytes += len(part)
        self._parts.append(part)
        if self._size_bytes > MAX_BODY_BYTES:
            self.flaw = body_too_large()
            self._parts.clear()

    @property
    def awaits_body(self) -> bool:
        """Whether the route reads the body and more of it is to come."""
        return not self.complete and self.entry is not None and self.entry.reads

    @property
    def expects_continue(self) -> bool:
        """Whether the client may wait for 100 Continue before it sends the body (RFC 9110 §10.1.1)."""
        return self.head.fields.get(b"expect", b"").lower() == b"100-continue" and self.head.version == "1.1"

    @property
    def body(self) -> bytes:
        """The body as read so far."""
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def answer(self, route: Route, answer: Any) -> None:
        """Send an Answer, or a body with the route's status. Raises ValueError for a malformed header field."""
        if isinstance(answer, Answer):
            body = response.octets(answer.body)
            lines = response.field_lines(_encoded(answer)) if answer.headers else b""
            self._send(answer.status or route.status, answer.media or route.media, lines, body)
        else:
            self._send(route.status, route.media, b"", response.octets(answer))

    def refuse(self, error: BaseException) -> None:
        """Send a problem; a stream that has begun ends without its last chunk instead."""
        head = self.head
        if self.answered:
            log.warning("response_aborted", request_id=head.request_id, reason=type(error).__name__)
            if self.streaming:
                self.connection.close()
            return
        scope = self.entry.route.scope if self.entry is not None else None
        problem = problem_response(error, head.request_id, scope=scope, presented=b"authorization" in head.fields)
        if getattr(error, "code", "") in ENDING:
            self.keep_alive = False
        self._send(problem.status, MEDIA, response.field_lines(problem.headers), problem.body)

    def _send(self, status: int, media: str, lines: bytes, body: bytes) -> None:
        start = self._start(status, media if body else "", lines)
        length = b"" if status == response.NO_CONTENT else b"content-length: %d\r\n" % len(body)  # RFC 9110 §8.6
        close = b"" if self.keep_alive else response.CLOSE
        sent = b"" if self.head.method == b"HEAD" else body
        self.connection.finish(self, b"%b%b%b\r\n%b" % (start, length, close, sent))

    def _start(self, status: int, media: str, lines: bytes) -> bytes:
        """Return the first lines of the response. A client that awaited 100 Continue may not send its body now."""
        if self.rate_limit is not None:
            lines += response.field_lines((self.rate_limit,))
        start = response.head(status, media, lines, self.head.request_id)
        self.answered = True
        self._count(status)
        self._parts.clear()
        if not self.complete and self.expects_continue:
            self.keep_alive = False
        return start

    def _count(self, status: int) -> None:
        route = self.entry.route if self.entry is not None else None
        key = ("", "unmatched", status) if route is None else (route.method, route.path, status)
        DURATIONS.observe(key, perf_counter() - self._came_s)

    def begin_stream(self, answer: Answer) -> bool:
        """Send the head of a stream; returns False if the method is HEAD, so that nothing follows.

        A client of HTTP/1.0 gets the parts without chunks, up to the end of the connection (RFC 9112 §6.1).
        """
        start = self._start(answer.status or 200, answer.media or EVENT_STREAM, response.field_lines(_encoded(answer)))
        close = b"" if self.keep_alive else response.CLOSE
        if self.head.method == b"HEAD":
            self.connection.finish(self, b"%b%b\r\n" % (start, close))
            return False
        self.streaming = True
        framing = response.CHUNKED if self._is_chunked else b""
        self.connection.write(b"%b%b%b\r\n" % (start, framing, close))
        return True

    async def send_part(self, part: bytes) -> None:
        """Send a part of a stream, which is not empty; returns when there is room for the next."""
        self.connection.write(response.chunk(part) if self._is_chunked else part)
        await self.connection.drained()

    def end_stream(self) -> None:
        """End a stream."""
        self.streaming = False
        self.connection.finish(self, response.LAST_CHUNK if self._is_chunked else b"")

    @property
    def _is_chunked(self) -> bool:
        return self.head.version == "1.1"


def _encoded(answer: Answer) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in answer.headers]
