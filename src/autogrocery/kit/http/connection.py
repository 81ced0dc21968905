"""One HTTP connection: uvicorn's, with bounds where it has none.

uvicorn's parser takes heads of any size at any pace, queues as many pipelined requests as come, waits for ever on a client
that reads nothing, and answers what it cannot parse in plain text. `Connection` adds the deadlines and the bounds, and
problems in their place. Sources: RFC 9112; llhttp refuses what can be read in two ways (obs-fold, two lengths, a bare CR).
"""

from __future__ import annotations

import math
import os
from functools import cache
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from autogrocery.kit.errors import Malformed, Unavailable
from autogrocery.kit.http.errors import retry_after, tell
from autogrocery.kit.http.exchange import NO_SNIFF
from autogrocery.kit.http.reading import MAX_HEAD_BYTES, MAX_HEADERS, MAX_URI_BYTES, REQUEST_ID, REQUEST_ID_BYTES
from autogrocery.kit.http.route import PEER_NAMES, WHOLE
from autogrocery.kit.http.transport import Corked
from autogrocery.kit.security.tls import names_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from autogrocery.kit.http.connection_limit import Crowd

HEAD_DEADLINE_S = 10.0
KEEP_ALIVE_S = 15.0
SEND_DEADLINE_S = 30.0  # for a client to take what is buffered for it
MAX_PIPELINED = 16  # requests behind the one in work; what follows is not read, and the connection ends behind them
MAX_MESSAGE_BYTES = 8 << 20  # a body that was refused may still be on its way; beyond this the connection is cut
MAX_CHUNKED_BYTES = 1 << 20  # chunks and trailers are kept while they are parsed
HEAD_SLACK_BYTES = 2 << 10  # separators, and what of the body came with the head
HERE: dict[str, dict[object, object]] = {WHOLE: {}}
ONCE_OR_NEVER = {b"transfer-encoding": 0, b"expect": 0, b"host": 1, b"content-length": 1}
FRAMING = frozenset({b"content-length", b"transfer-encoding"})
MARK = "00000000"
NEVER = math.inf


class _EnoughError(Exception):
    """Stops the parser in its tracks."""


class Connection(HttpToolsProtocol):
    """One connection, whose heads come in time and within bounds, or not at all.

    `no_room(method, target)` says why a request is refused of which no more is known, or "": such a refusal costs a quarter
    of one by the application, so that under overload the processor is left to what was begun.
    """

    def __init__(
        self,
        *args: Any,
        head_deadline_s: float,
        send_deadline_s: float,
        crowd: Crowd,
        no_room: Callable[[bytes, bytes], str],
        **named: Any,
    ) -> None:
        super().__init__(*args, **named)
        self._head_deadline_s = head_deadline_s
        self._send_deadline_s = send_deadline_s
        self._crowd = crowd
        self._no_room = no_room
        self._in_head = True
        self._bytes = 0
        self._flaw: Malformed | None = None  # why the parser was stopped
        self._deaf = False  # nothing more is read: the connection ends when all is answered
        self._turned_away = False  # the message that comes in is answered already
        self._due: float | None = None  # by when something must come; the timer may ring earlier
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = NEVER
        self._stuck: asyncio.TimerHandle | None = None
        self._peer: dict[str, Any] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, if there is room; the first head is due from now on."""
        super().connection_made(Corked(transport, self.loop, self._send_deadline_s, self._is_midway))  # type: ignore[arg-type]
        if transport.get_extra_info("sslcontext") is not None:
            self._peer = {PEER_NAMES: names_of(transport.get_extra_info("peercert"))}
        if self._crowd.join(self):
            self._arm(self._head_deadline_s)
        else:
            self._deaf = True
            self._end(Unavailable("overloaded", "Too many connections are in work."))

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the timers too."""
        self._crowd.leave(self)
        for timer in (self._timer, self._stuck):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def shed(self) -> None:
        """End: others need the place."""
        self.transport.abort()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Let a client end its stream behind its request (RFC 9112 §9.6): it is answered, then the connection ends."""
        is_tls = bool(self._peer)  # which has no half-closed connection
        if is_tls or self.transport.is_closing() or self._free() or self.cycle.response_started:
            return False
        self.cycle.keep_alive = False
        return True

    def pause_writing(self) -> None:
        """Wait for a client that does not take its answers, for a bounded time."""
        super().pause_writing()
        self._stuck = self.loop.call_later(self._send_deadline_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: it took them."""
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()

    def data_received(self, data: bytes) -> None:
        """Parse; a head or a message beyond its bounds ends the connection."""
        if self._deaf or self.transport.is_closing():
            return
        self._bytes += len(data)
        super().data_received(data)
        if self._deaf or self.transport.is_closing():
            return
        if self._in_head and self._bytes > MAX_HEAD_BYTES + HEAD_SLACK_BYTES:
            if len(self.url or b"") > MAX_URI_BYTES:
                self._end(Malformed("uri_too_long", f"At most {MAX_URI_BYTES} bytes.", status=414))
            else:
                self._end(Malformed("headers_too_large", f"At most {MAX_HEAD_BYTES} bytes.", status=431))
        elif self._bytes > (MAX_MESSAGE_BYTES if self._has_length() else MAX_CHUNKED_BYTES):
            self.transport.close()

    def on_message_begin(self) -> None:
        """Begin a head; its deadline runs from here."""
        if len(self.pipeline) >= MAX_PIPELINED:
            self.cycle.keep_alive = False  # the last one that was read
            self._deaf = True
            raise _EnoughError
        super().on_message_begin()
        self._in_head = True
        self._arm(self._head_deadline_s)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head; one of a trailer is dropped, it must not look like one of the head."""
        if self._in_head:
            if len(self.headers) >= MAX_HEADERS:
                self._flaw = Malformed("headers_too_large", f"At most {MAX_HEADERS} headers.", status=431)
                raise _EnoughError
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the head; the application takes over, unless there is no room."""
        self._in_head = False
        self._bytes = 0
        if self.parser.should_upgrade() and any(name in FRAMING for name, _ in self.headers):
            self._flaw = Malformed("bad_request", "No upgrade is offered here: a body comes without asking for one.")
            raise _EnoughError  # the parser would take the body for the other protocol
        reason = self._no_room(self.parser.get_method(), self.url)
        if reason and self._is_plain():
            self._turn_away(reason)
            return
        self._due = None
        self._crowd.work(self)
        self.scope["extensions"] = self._peer
        super().on_headers_complete()
        if self.parser.should_upgrade():  # nothing here does; what follows might be meant in another protocol
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Take a part of the body, unless the answer is given."""
        if not self._turned_away:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End the message; if it has not been taken yet, the application is told that all of it is here."""
        self._bytes = 0
        if self._turned_away:
            self._turned_away = False
            return
        self.scope["extensions"] = {**HERE, **self._peer} if self._peer else HERE
        super().on_message_complete()
        self._deaf = self.parser.should_upgrade()

    def on_response_complete(self) -> None:
        """Go on with what is queued, or wait for the next request."""
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
            if self.transport.is_closing():
                self._crowd.wait(self)
            return
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        self._wait()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP with a problem."""
        if not self._deaf:
            self._end(self._flaw or Malformed("bad_request", msg))

    def _end(self, refusal: Malformed | Unavailable) -> None:
        """Answer if nobody else is answering on this connection, then close it."""
        cycle = self.cycle
        if self.pipeline or (not self._free() and (cycle.response_started or not cycle.more_body)):
            if cycle is not None:
                cycle.keep_alive = False  # what is being answered is answered; then it ends
            if self.pipeline:
                self.transport.close()
            return
        if not self._free():  # the request in work is itself the broken one
            cycle.disconnected = True
            cycle.message_event.set()
        request_id = os.urandom(REQUEST_ID_BYTES).hex()
        told = tell(refusal, request_id)
        fields = [
            *self.server_state.default_headers,
            *told.headers,
            (b"x-request-id", request_id.encode()),
            (b"content-length", b"%d" % len(told.body)),
            (b"connection", b"close"),
        ]
        lines = b"".join(b"%s: %s\r\n" % field for field in fields)
        self.transport.write(STATUS_LINE[told.status] + lines + b"\r\n" + told.body)
        self.transport.close()

    def _is_plain(self) -> bool:
        """Say whether a request may be answered by its head alone, and the connection go on behind its body."""
        if self.pipeline or not self._free() or not self.parser.should_keep_alive() or self.parser.should_upgrade():
            return False
        names = [name for name, _ in self.headers]
        return names.count(b"host") == 1 and all(names.count(name) <= most for name, most in ONCE_OR_NEVER.items())

    def _turn_away(self, reason: str) -> None:
        """Answer 503 at once; the body is read over."""
        self._turned_away = True
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

    def _is_midway(self) -> bool:
        """Say whether a message is on its way that has not been read to its end."""
        if self._in_head:
            return self._bytes > 0
        return self._turned_away or self._flaw is not None or (self.cycle is not None and self.cycle.more_body)

    def _free(self) -> bool:
        """Say whether no request is in work."""
        return self.cycle is None or self.cycle.response_complete

    def _has_length(self) -> bool:
        return any(name == b"content-length" for name, _ in self.headers or ())

    def _wait(self) -> None:
        self._crowd.wait(self)
        self._arm(self._head_deadline_s if self._in_head else KEEP_ALIVE_S)

    def _arm(self, within_s: float) -> None:
        """Expect something. A timer that rings before that is left as it is: requests come more often than it rings."""
        self._due = due = self.loop.time() + within_s
        if due < self._rings_at:
            self._set_timer(due)

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = at
        self._timer = self.loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._rings_at = NEVER
        if self._due is None or self.transport.is_closing():
            return
        now = self.loop.time()
        if now < self._due:
            self._set_timer(self._due)
        elif not self._free():
            self._set_timer(now + self._head_deadline_s)
        elif self._bytes and self._in_head:
            self._end(Malformed("request_timeout", f"A head is sent within {self._head_deadline_s:g} s.", status=408))
        else:
            self.transport.close()


@cache
def _overloaded(reason: str) -> tuple[bytes, bytes, bytes]:
    """Return the answer's beginning, and its body before and behind the request id."""
    told = tell(Unavailable("overloaded", reason), MARK)
    fields = [field for field in told.headers if field[0] != b"retry-after"]
    lines = b"".join(b"%s: %s\r\n" % field for field in [*fields, NO_SNIFF])
    front, _, back = told.body.partition(MARK.encode("ascii"))
    return STATUS_LINE[told.status] + lines, front, back
