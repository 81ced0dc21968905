"""One HTTP/1.1 connection on httptools: bytes become requests within limits and in time, each gets one response.

The parser's callbacks only record; what follows from them happens after each packet. So requests that came in one
packet are answered in their order, and an error of the parser finds every complete request before it recorded.
Sources: RFC 9112; llhttp refuses ambiguous requests (obs-fold, two lengths, a bare CR).

An offer to upgrade is ignored (RFC 9110 §7.8). httptools can't ignore it: it ends such a message after the head. So a
new parser gets the same head without the offer, and reads the body as that of any request.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING, Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from autogrocery.kit.errors import Malformed, Unavailable
from autogrocery.kit.http.exchange import Exchange
from autogrocery.kit.http.overload import Bound, shed
from autogrocery.kit.http.reading import MAX_HEAD_BYTES, MAX_HEADERS, MAX_URI_BYTES, RequestHead, check_head, too_large
from autogrocery.kit.http.response import CONTINUE
from autogrocery.kit.security.tls import dns_names_of

if TYPE_CHECKING:
    from autogrocery.kit.http.app import App
    from autogrocery.kit.http.connection_limit import ConnectionLimit
    from autogrocery.kit.http.forwarded import TrustedProxies

HEAD_DEADLINE_S = 10.0
KEEP_ALIVE_S = 15.0
SEND_DEADLINE_S = 30.0  # for a client to take what is buffered for it
LINGER_S = 1.0  # for a client that is still sending to read its response
# Requests queued behind the one in flight; later ones are not read, and the connection closes after them.
MAX_PIPELINED = 16
MAX_MESSAGE_BYTES = 8 << 20  # the rest of a refused body is read up to this size, then the connection is closed
MAX_CHUNKED_BYTES = 1 << 20  # chunks and trailers are buffered while they are parsed
HEAD_SLACK_BYTES = 2 << 10  # for separators, and for body bytes that arrived with the head
CONNECT = b"CONNECT"  # the only upgrade that the parser reports and that is no offer
OFFER = frozenset({b"upgrade", b"http2-settings"})
NEVER = math.inf


class _StopParsingError(Exception):
    """Raised in a parser callback to stop the parser."""


class Connection(asyncio.Protocol):
    """One connection. Its requests are answered in order, one action at a time.

    `client` is the address of the other end, `peer_names` the DNS names of its certificate, None without TLS.
    """

    def __init__(
        self,
        app: App,
        limit: ConnectionLimit,
        proxies: TrustedProxies,
        *,
        head_deadline_s: float = HEAD_DEADLINE_S,
        send_deadline_s: float = SEND_DEADLINE_S,
    ) -> None:
        self.client = ""
        self.peer_names: frozenset[str] | None = None
        self.proxies = proxies
        self._app = app
        self._limit = limit
        self._head_deadline_s = head_deadline_s
        self._send_deadline_s = send_deadline_s
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._parser = HttpRequestParser(self)
        self._incoming: Exchange | None = None  # whose message is being read
        self._head = RequestHead()  # of that message
        self._current: Exchange | None = None  # the oldest without a response, its head complete
        self._pipeline: deque[Exchange] = deque()  # those behind it
        self._in_head = True
        self._has_offer = False  # the message being read offers an upgrade
        self._bytes = 0  # of the head or body being read
        self._flaw: Malformed | None = None  # why the parser was stopped
        self._stopped = False  # nothing more is read; the connection closes when every request is answered
        self._unread = False  # the client sent more than was read
        self._closed = False  # nothing more is sent
        self._deadline = NEVER  # of what is awaited from the client
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER  # may be earlier than the deadline
        self._send_timer: asyncio.TimerHandle | None = None
        self._room: asyncio.Future[None] | None = None  # set while the client does not take what is sent
        self._gone: asyncio.Future[None] = self._loop.create_future()

    # The transport's calls

    def connection_made(self, transport: Any) -> None:
        """Start the deadline of the first head; refuse the connection if there are too many."""
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.client = str(peer[0]) if peer else ""
        if transport.get_extra_info("sslcontext") is not None:
            self.peer_names = dns_names_of(transport.get_extra_info("peercert"))
        if self._limit.join(self):
            self._arm(self._head_deadline_s)
        else:
            self._end(shed(Bound.CONNECTIONS))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's interface
        """Cancel the timers and wake who waits. Actions go on."""
        self._limit.leave(self)
        for timer in (self._timer, self._send_timer):
            if timer is not None:
                timer.cancel()
        self._stopped = self._closed = True
        self._pipeline.clear()
        self._gone.set_result(None)
        if self._room is not None:
            self._room.set_result(None)

    def eof_received(self) -> bool:
        """Answer a client that closed its side after its request (RFC 9112 §9.6), then close the connection."""
        is_tls = self.peer_names is not None  # TLS has no half-closed connections
        last = self._last()
        if is_tls or last is None or not last.complete or last.streaming:
            return False
        last.keep_alive = False
        self._stopped = True
        return True

    def pause_writing(self) -> None:
        """Close the connection if the client does not read its responses within the send deadline."""
        self._pause_reading()
        self._room = self._loop.create_future()
        self._send_timer = self._loop.call_later(self._send_deadline_s, self._transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        if self._send_timer is not None:
            self._send_timer.cancel()
        if self._room is not None:
            self._room.set_result(None)
            self._room = None
        self._advance()
        self._resume_reading()

    def data_received(self, data: bytes) -> None:
        """Parse, then take the oldest request as far as its bytes allow; what is beyond its limits ends the connection."""
        if self._stopped:
            self._unread = True
            return
        self._bytes += len(data)
        self._parse(data)
        self._proceed()
        if self._incoming is not None and not self._stopped:
            self._check_bounds()

    def _parse(self, data: bytes) -> None:
        while data:
            try:
                self._parser.feed_data(data)
            except HttpParserUpgrade as upgrade:
                incoming = self._incoming
                if self._stopped or incoming is None:  # CONNECT
                    self._unread = True
                    return
                if incoming.flaw is not None:
                    self._end(incoming.flaw)
                    return
                data = _head_without_offer(incoming.head) + data[upgrade.args[0] :]
                self._parser = HttpRequestParser(self)
            except HttpParserError:
                if self._stopped:
                    self._unread = True
                else:
                    self._end(self._flaw or Malformed("bad_request", "Invalid HTTP request received."))
                return
            else:
                return

    def _check_bounds(self) -> None:
        incoming = self._incoming
        assert incoming is not None
        if not self._in_head:
            has_length = b"content-length" in incoming.head.fields
            if self._bytes > (MAX_MESSAGE_BYTES if has_length else MAX_CHUNKED_BYTES):
                self._end(too_large())
        elif self._bytes > MAX_HEAD_BYTES + HEAD_SLACK_BYTES:
            if len(incoming.head.target) > MAX_URI_BYTES:
                self._end(Malformed("uri_too_long", f"At most {MAX_URI_BYTES} bytes.", status=414))
            else:
                self._end(Malformed("headers_too_large", f"At most {MAX_HEAD_BYTES} bytes.", status=431))

    # The parser's calls

    def on_message_begin(self) -> None:
        """Begin a head; its deadline runs from here."""
        if self._stopped or len(self._pipeline) >= MAX_PIPELINED:
            if self._pipeline:
                self._pipeline[-1].keep_alive = False  # the last request that is read
            self._stopped = self._unread = True
            raise _StopParsingError
        self._incoming = exchange = Exchange(self)
        self._head = exchange.head
        self._in_head = True
        self._has_offer = False
        if self._current is None:
            self._arm(self._head_deadline_s)

    def on_url(self, part: bytes) -> None:
        """Add to the request target."""
        self._head.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header field; a trailer field is dropped, so that it can't pass for a header field."""
        if self._in_head:
            if self._head.count >= MAX_HEADERS:
                self._flaw = Malformed("headers_too_large", f"At most {MAX_HEADERS} headers.", status=431)
                raise _StopParsingError
            self._head.add(name, value)

    def on_headers_complete(self) -> None:
        """Check the head. The request is the current one if no other is, and may be refused by its first line."""
        exchange, parser = self._reading, self._parser
        head = exchange.head
        head.method, head.version = parser.get_method(), parser.get_http_version()
        head.identify()
        try:
            check_head(head)
        except Malformed as flaw:
            exchange.flaw = flaw
        upgrades = parser.should_upgrade()
        if upgrades and head.method != CONNECT:
            self._has_offer = True  # the head comes again, without the offer
            return
        if upgrades and (b"content-length" in head.fields or b"transfer-encoding" in head.fields):
            self._flaw = Malformed("bad_request", "CONNECT has no body.")
            raise _StopParsingError  # the parser would take the body for the other protocol
        self._in_head = False
        self._bytes = 0
        exchange.keep_alive = not upgrades and head.version != "1.0" and parser.should_keep_alive()
        if self._current is not None or self._pipeline:
            self._pipeline.append(exchange)
            self._pause_reading()
            return
        self._current = exchange
        if exchange.flaw is None and (bound := self._app.bound_met(head)) is not None:
            exchange.refuse(shed(bound))
        else:
            self._limit.work(self)

    def on_body(self, part: bytes) -> None:
        """Add a part of the body."""
        self._reading.add_body(part)

    def on_message_complete(self) -> None:
        """End the message."""
        if self._has_offer:
            return
        exchange = self._reading
        exchange.complete = True
        self._incoming = None
        self._bytes = 0
        if not exchange.keep_alive:
            self._stopped = True
        elif exchange.answered:
            self._arm(KEEP_ALIVE_S)

    @property
    def _reading(self) -> Exchange:
        assert self._incoming is not None
        return self._incoming

    # Requests and responses

    def _proceed(self) -> None:
        """Take the current request as far as its bytes allow."""
        exchange = self._current
        if exchange is None or exchange.begun:
            return
        if exchange.flaw is not None:
            exchange.refuse(exchange.flaw)
            return
        try:
            if exchange.request is None:
                self._app.admit(exchange)
                if exchange.reads_body and not exchange.complete:
                    self._await_body(exchange)
            if exchange.complete or not exchange.reads_body:
                exchange.begun = True
                self._deadline = NEVER
                self._app.begin(exchange)
        except Exception as error:  # noqa: BLE001 - every error has its response
            exchange.refuse(error)

    def _await_body(self, exchange: Exchange) -> None:
        self._arm(self._app.body_deadline_s)
        if exchange.head.fields.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(CONTINUE)

    def _advance(self) -> None:
        """Begin the next queued request, unless a response is awaited or not yet taken; without one, read on."""
        if self._current is not None or self._room is not None or self._transport.is_closing():
            return
        if self._pipeline:
            self._current = self._pipeline.popleft()
            self._limit.work(self)
        self._resume_reading()
        self._proceed()

    def _pause_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if not self._pipeline and self._room is None and not self._transport.is_closing():
            self._transport.resume_reading()

    def write(self, octets: bytes) -> None:
        """Send, unless the connection is closed."""
        if not (self._closed or self._transport.is_closing()):
            self._transport.write(octets)

    def finish(self, exchange: Exchange, octets: bytes) -> None:
        """Send the last bytes of the current response; go on to the next request, or close."""
        self._current = None
        if self._closed or self._transport.is_closing():
            return
        self._transport.write(octets)
        if not exchange.keep_alive:
            self.close()
        elif self._pipeline:
            self._loop.call_soon(self._advance)
        else:
            self._limit.wait(self)
            if self._incoming is None:
                self._arm(KEEP_ALIVE_S)
            else:  # the rest of a body, or a head that came in part
                self._arm(self._head_deadline_s if self._in_head else self._app.body_deadline_s)

    def _end(self, refusal: Malformed | Unavailable) -> None:
        """Read no more. Refuse the message being read if no other request awaits its response; then close.

        A message that breaks off after its response has got its only one.
        """
        self._stopped = self._unread = True
        broken, last = self._incoming, self._last()
        if broken is not None and broken is last:  # in its body
            broken.keep_alive = False
            if not broken.begun:
                broken.flaw = refusal
                self._proceed()
        elif last is not None:  # the responses in progress are completed, then the connection closes
            last.keep_alive = False
        elif broken is not None and broken.answered:
            self.close()
        else:
            self._current = broken = broken or Exchange(self)
            broken.keep_alive = False
            broken.head.identify()
            broken.refuse(refusal)

    def _last(self) -> Exchange | None:
        """Return the latest request without a response whose head is complete."""
        return self._pipeline[-1] if self._pipeline else self._current

    # The end of the connection

    def abort(self) -> None:
        """Close at once: to make room for another connection, or at the end of the server."""
        self._transport.abort()

    def drain(self) -> None:
        """Close after the requests that were read: the server stops."""
        last = self._last()
        if last is None:
            self.close()
        else:
            last.keep_alive = False
            self._stopped = last.complete

    def close(self) -> None:
        """Close when all is sent; abort if the client does not read it within the send deadline.

        Bytes that reach a closed socket reset the connection, and the reset may discard the response before it is read
        (RFC 9112 §9.6): so a client that is still sending is read for LINGER_S seconds more.
        """
        transport = self._transport
        if self._closed or transport.is_closing():
            return
        self._stopped = self._closed = True
        self._deadline = NEVER
        if (self._unread or self._incoming is not None) and transport.can_write_eof():
            transport.write_eof()
            transport.resume_reading()
            self._loop.call_later(LINGER_S, self._close)
        else:
            self._close()

    def _close(self) -> None:
        waiting = self._transport.get_write_buffer_size()
        self._transport.close()
        if waiting:
            self._loop.call_later(self._send_deadline_s, self._transport.abort)

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is sent."""
        return self._closed

    async def drained(self) -> None:
        """Wait until there is room for more to send."""
        if self._room is not None:
            await asyncio.shield(self._room)

    async def gone(self) -> None:
        """Wait until the connection is closed."""
        await asyncio.shield(self._gone)

    # Deadlines

    def _arm(self, within_s: float) -> None:
        """Set the deadline. An earlier timer is kept and checks again: requests come more often than it fires."""
        self._deadline = due = self._loop.time() + within_s
        if due < self._timer_at:
            self._set_timer(due)

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._expire)

    def _expire(self) -> None:
        self._timer_at = NEVER
        if self._loop.time() < self._deadline:
            if self._deadline < NEVER:
                self._set_timer(self._deadline)
        elif self._current is not None:
            self._end(
                Malformed(
                    "request_timeout", f"The body did not arrive within {self._app.body_deadline_s:g} s.", status=408
                )
            )
        elif self._incoming is not None and self._in_head:
            self._end(Malformed("request_timeout", f"A head is sent within {self._head_deadline_s:g} s.", status=408))
        else:
            self.close()


def _head_without_offer(head: RequestHead) -> bytes:
    """Return a head as it was parsed, without the fields and connection options of an offer to upgrade."""
    lines = [b"%b %b HTTP/%b" % (head.method, head.target, head.version.encode("ascii"))]
    for name, value in head.fields.items():
        if name == b"connection":
            options = [option.strip() for option in value.split(b",")]
            lines.append(b"connection: " + b", ".join(option for option in options if option.lower() not in OFFER))
        elif name not in OFFER:
            lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join(lines) + b"\r\n\r\n"
