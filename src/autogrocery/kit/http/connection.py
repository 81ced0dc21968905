"""One HTTP connection: uvicorn's protocol with the limits that it lacks.

uvicorn accepts heads of any size at any pace, queues any number of pipelined requests, waits for ever for a client that
reads nothing, and answers a request that it cannot parse in plain text. `Connection` adds deadlines and limits, and
answers with problems. Sources: RFC 9112; llhttp refuses ambiguous requests (obs-fold, two lengths, a bare CR).

An offer to upgrade is ignored (RFC 9110 §7.8). llhttp can't ignore it: it ends such a message after the head, whatever
its framing. So a new parser gets the same head without the offer, and reads the body as that of any request.
"""

from __future__ import annotations

import math
import os
from functools import cache
from typing import TYPE_CHECKING, Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from autogrocery.kit.errors import Malformed, Unavailable
from autogrocery.kit.http.errors import problem_response, retry_after
from autogrocery.kit.http.reading import MAX_HEAD_BYTES, MAX_HEADERS, MAX_URI_BYTES, REQUEST_ID, REQUEST_ID_BYTES
from autogrocery.kit.http.response_writer import NO_SNIFF
from autogrocery.kit.http.route import PEER_NAMES, WHOLE
from autogrocery.kit.http.transport import CoalescingTransport
from autogrocery.kit.security.tls import dns_names_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from autogrocery.kit.http.connection_limit import ConnectionLimit

HEAD_DEADLINE_S = 10.0
KEEP_ALIVE_S = 15.0
SEND_DEADLINE_S = 30.0  # for a client to take what is buffered for it
MAX_PIPELINED = (
    16  # requests queued behind the one in flight; later ones are not read, and the connection closes after them
)
MAX_MESSAGE_BYTES = 8 << 20  # the rest of a refused body is read up to this size, then the connection is closed
MAX_CHUNKED_BYTES = 1 << 20  # chunks and trailers are buffered while they are parsed
HEAD_SLACK_BYTES = 2 << 10  # for separators, and for body bytes that arrived with the head
WHOLE_BODY: dict[str, dict[object, object]] = {WHOLE: {}}
MAX_FIELD_COUNTS = {b"transfer-encoding": 0, b"expect": 0, b"host": 1, b"content-length": 1}
FRAMING = frozenset({b"content-length", b"transfer-encoding"})
CONNECT = b"CONNECT"  # the only upgrade that the parser reports and that is no offer
OFFER = frozenset({b"upgrade", b"http2-settings"})
REQUEST_ID_MARK = "00000000"
NEVER = math.inf


class _StopParsingError(Exception):
    """Raised in a parser callback to stop the parser."""


class Connection(HttpToolsProtocol):
    """One connection whose request heads arrive in time and within limits, or end it.

    `refusal_reason(method, target)` returns why a request is refused by its request line alone, or "". Such a refusal
    costs a quarter of the CPU of one by the application, which under overload is left to the requests in flight.
    """

    def __init__(
        self,
        *args: Any,
        head_deadline_s: float,
        send_deadline_s: float,
        limit: ConnectionLimit,
        refusal_reason: Callable[[bytes, bytes], str],
        **named: Any,
    ) -> None:
        super().__init__(*args, **named)
        self._head_deadline_s = head_deadline_s
        self._send_deadline_s = send_deadline_s
        self._limit = limit
        self._refusal_reason = refusal_reason
        self._in_head = True
        self._in_body = False  # between the end of a head and the end of its message
        self._bytes = 0
        self._parse_error: Malformed | None = None  # why the parser was stopped
        self._stopped_reading = False  # the connection closes when every request is answered
        self._answered_early = False  # the message being read is answered already
        self._deadline: float | None = None  # when the next head or request is due; the timer may fire earlier
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER
        self._send_timer: asyncio.TimerHandle | None = None
        self._peer: dict[str, Any] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the deadline of the first head; refuse the connection if there are too many."""
        coalescing: Any = CoalescingTransport(transport, self.loop, self._send_deadline_s, self._is_mid_message)
        super().connection_made(coalescing)
        if transport.get_extra_info("sslcontext") is not None:
            self._peer = {PEER_NAMES: dns_names_of(transport.get_extra_info("peercert"))}
        if self._limit.join(self):
            self._arm(self._head_deadline_s)
        else:
            self._stopped_reading = True
            self._end(Unavailable("overloaded", "Too many connections are open."))

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timers."""
        self._limit.leave(self)
        for timer in (self._timer, self._send_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def abort(self) -> None:
        """Close at once to make room for another connection."""
        self.transport.abort()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer a client that closed its side after its request (RFC 9112 §9.6), then close the connection."""
        is_tls = bool(self._peer)  # TLS has no half-closed connections
        if is_tls or self.transport.is_closing() or self._is_idle() or self.cycle.response_started:
            return False
        self.cycle.keep_alive = False
        return True

    def pause_writing(self) -> None:
        """Close the connection if the client does not read its responses within the send deadline."""
        super().pause_writing()
        self._send_timer = self.loop.call_later(self._send_deadline_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Cancel the send deadline: the client has read."""
        super().resume_writing()
        if self._send_timer is not None:
            self._send_timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Parse; a head or a message beyond its limits ends the connection."""
        if self._stopped_reading or self.transport.is_closing():
            return
        self._bytes += len(data)
        self._parse(data)
        if self._stopped_reading or self.transport.is_closing():
            return
        if self._in_head and self._bytes > MAX_HEAD_BYTES + HEAD_SLACK_BYTES:
            if len(self.url or b"") > MAX_URI_BYTES:
                self._end(Malformed("uri_too_long", f"At most {MAX_URI_BYTES} bytes.", status=414))
            else:
                self._end(Malformed("headers_too_large", f"At most {MAX_HEAD_BYTES} bytes.", status=431))
        elif self._bytes > (MAX_MESSAGE_BYTES if self._has_length() else MAX_CHUNKED_BYTES):
            self.transport.close()

    def _parse(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
            except HttpParserUpgrade as offer:
                if self._stopped_reading:
                    return
                data = _head_without_offer(self.parser, self.url, self.headers) + data[offer.args[0] :]
                self.parser = HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
            except HttpParserError:
                self.send_400_response("Invalid HTTP request received.")
                return
            else:
                return

    def on_message_begin(self) -> None:
        """Begin a head; its deadline runs from here."""
        if len(self.pipeline) >= MAX_PIPELINED:
            self.cycle.keep_alive = False  # the last request that is read
            self._stopped_reading = True
            raise _StopParsingError
        super().on_message_begin()
        self._in_head = True
        self._arm(self._head_deadline_s)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header field; a trailer field is dropped, so that it can't pass for a header field."""
        if self._in_head:
            if len(self.headers) >= MAX_HEADERS:
                self._parse_error = Malformed("headers_too_large", f"At most {MAX_HEADERS} headers.", status=431)
                raise _StopParsingError
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the application, unless the request is refused by its head."""
        upgrades = self.parser.should_upgrade()
        if upgrades and self.parser.get_method() != CONNECT:
            return  # the head comes again, without the offer
        self._in_head = False
        self._bytes = 0
        if upgrades and any(name in FRAMING for name, _ in self.headers):
            self._parse_error = Malformed("bad_request", "CONNECT has no body.")
            raise _StopParsingError  # the parser would take the body for the other protocol
        reason = self._refusal_reason(self.parser.get_method(), self.url)
        if reason and self._is_plain():
            self._in_body = True
            self._refuse_early(reason)
            return
        self._deadline = None
        self._limit.work(self)
        self.scope["extensions"] = self._peer
        super().on_headers_complete()
        self._in_body = True
        if upgrades:  # the bytes after CONNECT may be of another protocol
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Add a part of the body, unless the request is answered already."""
        if not self._answered_early:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End the message; mark its body as complete for an application that has not started yet."""
        upgrades = self.parser.should_upgrade()
        if upgrades and self.parser.get_method() != CONNECT:
            return
        self._in_body = False
        self._bytes = 0
        if self._answered_early:
            self._answered_early = False
            return
        self.scope["extensions"] = {**WHOLE_BODY, **self._peer} if self._peer else WHOLE_BODY
        super().on_message_complete()
        self._stopped_reading = upgrades

    def on_response_complete(self) -> None:
        """Start the next queued request, or wait for one."""
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
            if self.transport.is_closing():
                self._limit.wait(self)
            return
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        self._wait()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are not HTTP with a problem."""
        if not self._stopped_reading:
            self._end(self._parse_error or Malformed("bad_request", msg))

    def _end(self, refusal: Malformed | Unavailable) -> None:
        """Send the refusal unless another response is being sent, then close the connection.

        A message that breaks off after its response has got its only one.
        """
        cycle = self.cycle
        if self._in_body and self._is_idle():
            self.transport.close()
            return
        if self.pipeline or (not self._is_idle() and (cycle.response_started or not cycle.more_body)):
            if cycle is not None:
                cycle.keep_alive = False  # the response in progress is completed, then the connection closes
            if self.pipeline:
                self.transport.close()
            return
        if not self._is_idle():  # the broken request is the one in flight
            cycle.disconnected = True
            cycle.message_event.set()
        request_id = os.urandom(REQUEST_ID_BYTES).hex()
        problem = problem_response(refusal, request_id)
        fields = [
            *self.server_state.default_headers,
            *problem.headers,
            (b"x-request-id", request_id.encode()),
            (b"content-length", b"%d" % len(problem.body)),
            (b"connection", b"close"),
        ]
        lines = b"".join(b"%s: %s\r\n" % field for field in fields)
        self.transport.write(STATUS_LINE[problem.status] + lines + b"\r\n" + problem.body)
        self.transport.close()

    def _is_plain(self) -> bool:
        """Return whether a request can be answered by its head alone, with the connection in step after its body."""
        if self.pipeline or not self._is_idle() or not self.parser.should_keep_alive() or self.parser.should_upgrade():
            return False
        names = [name for name, _ in self.headers]
        return names.count(b"host") == 1 and all(names.count(name) <= most for name, most in MAX_FIELD_COUNTS.items())

    def _refuse_early(self, reason: str) -> None:
        """Answer 503 at once; the body is read and discarded."""
        self._answered_early = True
        given = next((value for name, value in self.headers if name == b"x-request-id"), b"")
        request_id = given if REQUEST_ID.fullmatch(given) else os.urandom(REQUEST_ID_BYTES).hex().encode("ascii")
        fixed, front, back = _overloaded(reason)
        lines = b"".join(b"%s: %s\r\n" % field for field in (*self.server_state.default_headers, retry_after(1.0)))
        size = len(front) + len(request_id) + len(back)
        self.transport.write(
            b"%b%bx-request-id: %b\r\ncontent-length: %d\r\n\r\n%b%b%b"
            % (fixed, lines, request_id, size, front, request_id, back)
        )
        self._wait()

    def _is_mid_message(self) -> bool:
        """Return whether a message has been read in part."""
        if self._in_head:
            return self._bytes > 0
        return self._in_body or self._parse_error is not None

    def _is_idle(self) -> bool:
        """Return whether no request is in flight."""
        return self.cycle is None or self.cycle.response_complete

    def _has_length(self) -> bool:
        return any(name == b"content-length" for name, _ in self.headers or ())

    def _wait(self) -> None:
        self._limit.wait(self)
        self._arm(self._head_deadline_s if self._in_head else KEEP_ALIVE_S)

    def _arm(self, within_s: float) -> None:
        """Set the deadline of the next head or request.

        An earlier timer is kept and checks again: requests come more often than it fires.
        """
        self._deadline = due = self.loop.time() + within_s
        if due < self._timer_at:
            self._set_timer(due)

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self.loop.call_at(at, self._expire)

    def _expire(self) -> None:
        self._timer_at = NEVER
        if self._deadline is None or self.transport.is_closing():
            return
        now = self.loop.time()
        if now < self._deadline:
            self._set_timer(self._deadline)
        elif not self._is_idle():
            self._set_timer(now + self._head_deadline_s)
        elif self._bytes and self._in_head:
            self._end(Malformed("request_timeout", f"A head is sent within {self._head_deadline_s:g} s.", status=408))
        else:
            self.transport.close()


def _head_without_offer(parser: Any, url: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return the head that was parsed, without the fields and connection options of an offer to upgrade."""
    lines = [b"%b %b HTTP/%b" % (parser.get_method(), url, parser.get_http_version().encode("ascii"))]
    for name, value in headers:
        if name == b"connection":
            options = [option.strip() for option in value.split(b",")]
            lines.append(b"connection: " + b", ".join(option for option in options if option.lower() not in OFFER))
        elif name not in OFFER:
            lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join(lines) + b"\r\n\r\n"


@cache
def _overloaded(reason: str) -> tuple[bytes, bytes, bytes]:
    """Return the head of the response, and its body before and after the request id."""
    problem = problem_response(Unavailable("overloaded", reason), REQUEST_ID_MARK)
    fields = [field for field in problem.headers if field[0] != b"retry-after"]
    lines = b"".join(b"%s: %s\r\n" % field for field in [*fields, NO_SNIFF])
    front, _, back = problem.body.partition(REQUEST_ID_MARK.encode("ascii"))
    return STATUS_LINE[problem.status] + lines, front, back
