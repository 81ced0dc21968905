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

from autogrocery.kit.errors import Malformed
from autogrocery.kit.http import reading
from autogrocery.kit.http.exchange import Exchange
from autogrocery.kit.http.overload import Bound, shed
from autogrocery.kit.http.response import CONTINUE
from autogrocery.kit.security.tls import dns_names_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from autogrocery.kit.http.connection_limit import ConnectionLimit
    from autogrocery.kit.http.forwarded import TrustedProxies

HEAD_DEADLINE_S = 10.0
KEEP_ALIVE_S = 15.0
SEND_DEADLINE_S = 30.0  # for a client to take what is buffered for it
LINGER_S = 1.0  # for a client that is still sending to read its response
# Requests queued behind the one in flight; later ones are not read, and the connection closes after them.
MAX_PIPELINED = 16
MAX_MESSAGE_BYTES = 1 << 20  # of a body with its chunks; the rest of a refused one is read up to this size
HEAD_SLACK_BYTES = 2 << 10  # for separators, and for body bytes that arrived with the head
CONNECT = b"CONNECT"  # the only upgrade that the parser reports and that is no offer
OFFER = frozenset({b"upgrade", b"http2-settings"})
NEVER = math.inf


class Connection(asyncio.Protocol):
    """One connection. Its requests are answered in order, one action at a time.

    `peer_names` are the DNS names of the client's certificate, None without TLS. The application is three functions and
    a deadline: `bound_met(head)` refuses a request by its first line, `admit(exchange)` by its head, both before the
    body, which has to come within `body_deadline_s`; `begin(exchange)` takes it over with its body.
    """

    def __init__(
        self,
        limit: ConnectionLimit,
        proxies: TrustedProxies,
        *,
        bound_met: Callable[[reading.RequestHead], Bound | None],
        admit: Callable[[Exchange], None],
        begin: Callable[[Exchange], None],
        body_deadline_s: float,
        head_deadline_s: float = HEAD_DEADLINE_S,
        send_deadline_s: float = SEND_DEADLINE_S,
    ) -> None:
        self.peer_names: frozenset[str] | None = None
        self._limit = limit
        self._proxies = proxies
        self._bound_met = bound_met
        self._admit = admit
        self._begin = begin
        self._body_deadline_s = body_deadline_s
        self._head_deadline_s = head_deadline_s
        self._send_deadline_s = send_deadline_s
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._peer = ""
        self._parser = HttpRequestParser(self)
        self._incoming = Exchange(self, complete=True)  # whose message is being read, or was read last
        self._requests: deque[Exchange] = deque()  # without a response, their heads complete; the first has its turn
        self._in_head = True
        self._has_offer = False  # the message being read offers an upgrade
        self._bytes = 0  # of the head or body being read
        self._stopped = False  # nothing more is read; the connection closes when every request is answered
        self._unread = False  # the client sends more than is read
        self._closed = False  # nothing more is sent
        self._deadline = NEVER  # of what the client is to send
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER  # may be earlier than the deadline
        self._send_timer: asyncio.TimerHandle | None = None
        self._room: asyncio.Future[None] | None = None  # set while the client does not take what is sent

    def connection_made(self, transport: Any) -> None:
        """Start the deadline of the first head; refuse the connection if there are too many."""
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if peer else ""
        if transport.get_extra_info("sslcontext") is not None:
            self.peer_names = dns_names_of(transport.get_extra_info("peercert"))
        if self._limit.join(self):
            self._arm(self._head_deadline_s)
        else:
            self._incoming.head.complete(b"", "1.1")
            self._requests.append(self._incoming)
            self._incoming.refuse(shed(Bound.CONNECTIONS))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's interface
        """Cancel the timers, and drop what refers back to the connection. Actions go on."""
        self._limit.leave(self)
        for timer in (self._timer, self._send_timer):
            if timer is not None:
                timer.cancel()
        self._stopped = self._closed = True
        self._requests.clear()
        del self._parser, self._incoming
        if self._room is not None:
            self._room.set_result(None)

    def eof_received(self) -> bool:
        """Answer a client that closed its side after its request (RFC 9112 §9.6), then close the connection."""
        is_tls = self.peer_names is not None  # TLS has no half-closed connections
        if is_tls or not self._requests or not self._requests[-1].complete or self._requests[-1].streaming:
            return False
        self._requests[-1].keep_alive = False
        self._stopped = True
        return True

    def pause_writing(self) -> None:
        """Begin no request, and close the connection if the client does not read within the send deadline."""
        self._room = self._loop.create_future()
        self._send_timer = self._loop.call_later(self._send_deadline_s, self._transport.abort)
        if not self.is_closed:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        if self._send_timer is not None and self._room is not None:
            self._send_timer.cancel()
            self._room.set_result(None)
            self._room = None
        self._advance()

    def data_received(self, data: bytes) -> None:
        """Parse, then take the first request as far as its bytes allow. What is beyond limits ends the connection."""
        if self._stopped:
            self._unread = True
            return
        self._bytes += len(data)
        self._parse(data)
        self._proceed()
        if self._bytes > MAX_MESSAGE_BYTES:
            self._end(reading.body_too_large())
        elif self._in_head and self._bytes > reading.MAX_HEAD_BYTES + HEAD_SLACK_BYTES:
            self._end(self._incoming.head.too_large())

    def _parse(self, data: bytes) -> None:
        while data:
            try:
                self._parser.feed_data(data)
            except HttpParserUpgrade as upgrade:
                if not self._has_offer:  # CONNECT
                    self._unread = True
                    return
                data = _head_without_offer(self._incoming.head) + data[upgrade.args[0] :]
                self._parser = HttpRequestParser(self)
            except HttpParserError as error:
                refusal = error.__context__  # raised by a callback
                if not isinstance(refusal, Malformed):
                    refusal = Malformed("bad_request", "Invalid HTTP request received.")
                self._end(refusal)
                return
            else:
                return

    def on_message_begin(self) -> None:
        """Begin a head; its deadline runs from here."""
        if self._stopped or len(self._requests) > MAX_PIPELINED:
            raise ConnectionAbortedError("no more requests are read")
        self._incoming = Exchange(self)
        self._in_head = True
        self._has_offer = False
        if not self._requests:
            self._arm(self._head_deadline_s)

    def on_url(self, part: bytes) -> None:
        """Add to the request target."""
        self._incoming.head.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header field; a trailer field is dropped, so that it can't pass for a header field."""
        if self._in_head:
            self._incoming.head.add(name, value)

    def on_headers_complete(self) -> None:
        """Queue the request after a check of its head; the first may be refused by its request line."""
        exchange, parser = self._incoming, self._parser
        head = exchange.head
        head.complete(parser.get_method(), parser.get_http_version())
        upgrades = parser.should_upgrade()
        self._has_offer = upgrades and head.method != CONNECT
        try:
            reading.check_head(head)
        except Malformed as flaw:
            if upgrades:
                raise
            exchange.flaw = flaw
        if self._has_offer:
            return  # the head comes again, without the offer
        if upgrades and (b"content-length" in head.fields or b"transfer-encoding" in head.fields):
            raise Malformed("bad_request", "CONNECT has no body.")  # it would be taken for the other protocol
        self._in_head = False
        self._bytes = 0
        exchange.keep_alive = not upgrades and head.version != "1.0" and parser.should_keep_alive()
        self._requests.append(exchange)
        if len(self._requests) > 1:
            self._transport.pause_reading()
        elif exchange.flaw is None and (bound := self._bound_met(head)) is not None:
            exchange.refuse(shed(bound))
        else:
            self._limit.work(self)

    def on_body(self, part: bytes) -> None:
        """Add a part of the body."""
        self._incoming.add_body(part)

    def on_message_complete(self) -> None:
        """End the message."""
        if self._has_offer:
            return
        exchange = self._incoming
        exchange.complete = True
        self._bytes = 0
        if not exchange.keep_alive:
            self._stopped = True
        elif exchange.answered:
            self._arm(KEEP_ALIVE_S)

    def _proceed(self) -> None:
        """Take the first request as far as its bytes allow, if the client takes its responses."""
        if not self._requests or self._requests[0].begun or self._room is not None:
            return
        exchange = self._requests[0]
        if exchange.flaw is not None:
            exchange.refuse(exchange.flaw)
            return
        try:
            if exchange.request is None:
                self._admit(exchange)
                if exchange.awaits_body:
                    self._arm(self._body_deadline_s)
                    if exchange.expects_continue:
                        self._transport.write(CONTINUE)
            if not exchange.awaits_body:
                exchange.begun = True
                self._begin(exchange)
        except Exception as error:  # noqa: BLE001 - every error has its response
            exchange.refuse(error)

    def _advance(self) -> None:
        """Go on with the request that has its turn now; read on if it is the last."""
        if self.is_closed:
            return
        if len(self._requests) <= 1 and self._room is None:
            self._transport.resume_reading()
        self._proceed()

    def client_of(self, head: reading.RequestHead) -> str:
        """Return the address of the client of a request: the other end, or whom a trusted proxy names."""
        return self._proxies.client(self._peer, head.fields.get(b"x-forwarded-for"))

    def write(self, octets: bytes) -> None:
        """Send, unless the connection is closed."""
        if not self.is_closed:
            self._transport.write(octets)

    def finish(self, exchange: Exchange, octets: bytes) -> None:
        """Send the last bytes of the first request's response; go on to the next one, or close."""
        if self.is_closed:
            return
        self._requests.popleft()
        self._transport.write(octets)
        if not exchange.keep_alive:
            self.close()
        elif self._requests:
            self._loop.call_soon(self._advance)
        else:
            self._limit.wait(self)
            self._arm(KEEP_ALIVE_S if self._incoming.complete else self._within_s)

    def _end(self, refusal: Malformed) -> None:
        """Read no more. Refuse the message being read if no other request awaits its response; then close.

        A message that breaks off after its response has got its only one.
        """
        self._unread = True
        if self._stopped:
            return
        self._stopped = True
        broken = Exchange(self) if self._incoming.complete else self._incoming
        broken.keep_alive = False
        if broken.answered:
            self.close()
        elif not self._requests:
            self._requests.append(broken)
            broken.head.complete(b"", "1.1")
            broken.refuse(refusal)
        else:
            last = self._requests[-1]
            last.keep_alive = False  # after its response the connection closes
            if last is broken and not broken.begun:
                broken.flaw = refusal
                self._proceed()

    def abort(self) -> None:
        """Close at once."""
        self._stopped = self._closed = True
        self._transport.abort()

    def drain(self) -> None:
        """Close after the requests that were read."""
        if self._requests:
            self._requests[-1].keep_alive = False
            self._stopped = self._requests[-1].complete
        else:
            self.close()

    def close(self) -> None:
        """Close when all is sent; abort if the client does not read it within the send deadline.

        Bytes that reach a closed socket reset the connection, and the reset may discard the response before it is read
        (RFC 9112 §9.6): so a client that is still sending is read for LINGER_S seconds more.
        """
        if self.is_closed:
            return
        self._stopped = self._closed = True
        if (self._unread or not self._incoming.complete) and self._transport.can_write_eof():
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

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is sent."""
        return self._closed or bool(self._transport.is_closing())

    async def drained(self) -> None:
        """Wait until there is room for more to send."""
        if self._room is not None:
            await asyncio.shield(self._room)

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

    @property
    def _within_s(self) -> float:
        return self._head_deadline_s if self._in_head else self._body_deadline_s

    def _expire(self) -> None:
        self._timer_at = NEVER
        if self._loop.time() < self._deadline:
            self._set_timer(self._deadline)
        elif self._requests and not self._requests[0].awaits_body:
            return  # it is the server's turn, and the response sets the next deadline
        elif self._incoming.complete or self._incoming.answered:
            self.close()
        else:
            what = "head" if self._in_head else "body"
            self._end(
                Malformed("request_timeout", f"The {what} did not arrive within {self._within_s:g} s.", status=408)
            )


def _head_without_offer(head: reading.RequestHead) -> bytes:
    """Return a head as it was parsed, without the fields and connection options of an offer to upgrade."""
    lines = [b"%b %b HTTP/%b" % (head.method, head.target, head.version.encode("ascii"))]
    for name, value in head.fields.items():
        if name == b"connection":
            options = [option.strip() for option in value.split(b",")]
            lines.append(b"connection: " + b", ".join(option for option in options if option.lower() not in OFFER))
        elif name not in OFFER:
            lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join(lines) + b"\r\n\r\n"
