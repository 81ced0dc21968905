"""A thin ASGI layer: a table of routes in, an application out. Bare ASGI and msgspec, because this is the hot path.

An action runs in the task of its request. The server we run on cancels nothing when a client hangs up (a test holds it to
that), and a deadline answers 503 in the action's stead while the action goes on: work that a request started belongs to the
process, not to the connection. `App.stop` ends streams and waits, for a bounded time, until all of it is done.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

from autogrocery.kit.errors import Denied, Unauthenticated, Unavailable
from autogrocery.kit.http import reading
from autogrocery.kit.http.exchange import Exchange
from autogrocery.kit.http.route import NO_TOKEN, PEER_NAMES, WHOLE, Answer, Guard, Request, Route
from autogrocery.kit.http.stream import send_stream
from autogrocery.kit.http.table import Table
from autogrocery.kit.process.deadlines import Deadlines
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autogrocery.kit.http.exchange import Send
    from autogrocery.kit.http.reading import Head, Receive
    from autogrocery.kit.http.table import Entry
    from autogrocery.kit.security.tokens import Claims

__all__ = ["Answer", "App", "Guard", "Request", "Route"]

MAX_IN_FLIGHT = 512
MAX_STREAMS = 256
# While the oldest of at least so many requests that begin work is so old, no more of them are taken.
BEHIND_FROM, BEHIND_S = 32, 0.1
ACTION_DEADLINE_S = 5.0
BODY_DEADLINE_S = 10.0
RECHECK_S = 1.0  # a stream outlives its token by no more
DRAIN_S = 5.0
BAD_SCOPE = "The token does not carry the scope that this asks for."


class App:
    """The ASGI application of a route table. It owns the requests in flight: `stop` before the sockets close."""

    def __init__(
        self,
        routes: Sequence[Route],
        guard: Guard | None = None,
        *,
        max_in_flight: int = MAX_IN_FLIGHT,
        action_deadline_s: float = ACTION_DEADLINE_S,
        body_deadline_s: float = BODY_DEADLINE_S,
        behind_s: float = BEHIND_S,
        recheck_s: float = RECHECK_S,
    ) -> None:
        """Compile the table; raises ValueError on a route that stands twice or whose `auth` contradicts the guard."""
        self.routes = tuple(routes)
        self.in_flight = 0
        self.streams = 0
        self._guard = guard
        self._table = Table(self.routes)
        self._max_in_flight = max_in_flight
        self._action_deadline_s = action_deadline_s
        self._body_deadline_s = body_deadline_s
        self._behind_s = behind_s
        self._recheck_s = recheck_s
        self._stopping = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._late: set[asyncio.Task[None]] = set()
        self._acting: dict[int, Exchange] = {}
        self._deadlines = Deadlines(self._acting, self._answer_late)
        self._numbers = count(1)
        self._begun: dict[int, float] = {}  # since when, in order
        self._by_first_line = {
            (route.method.encode("ascii"), route.path.encode("ascii")): route
            for route in self.routes
            if "{" not in route.path
        }
        for route in self.routes:
            if (guard is None and route.auth) or (guard and not route.auth and guard.covers(route.path)):
                raise ValueError(f"{route.method} {route.path}: auth is {route.auth}, and the guard says otherwise")

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        head = reading.read_head(scope["headers"])
        exchange = Exchange(send, head, only_head=scope["method"] == "HEAD")
        try:
            request = await self._admit(scope, head, receive, exchange)
            answer = await self._act(request, exchange)
            if exchange.answered:
                log.warning("answer_came_late", request_id=head.request_id, path=request.route.path)
            elif isinstance(answer, Answer) and answer.stream is not None:
                await self._stream(request, answer, exchange, receive)
            else:
                await exchange.answer(request.route, answer)
        except reading.ClientGoneError:
            return
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the one place where everything is told
            await exchange.refuse(error)

    async def stop(self) -> bool:
        """End streams, wait until nothing is in flight; False if DRAIN_S seconds were not enough."""
        self._stopping.set()
        try:
            async with asyncio.timeout(DRAIN_S):
                await self._idle.wait()
        except TimeoutError:
            log.warning("work_left_behind", in_flight=self.in_flight)
            return False
        return True

    async def _admit(self, scope: dict[str, Any], head: Head, receive: Receive, exchange: Exchange) -> Request:
        path: str = scope["path"]
        reading.check_head(head, len(scope["raw_path"]) + len(scope["query_string"]), scope["http_version"])
        claims = self._identify(head) if self._guard and self._guard.covers(path) else None
        entry, params = self._table.find(scope["method"], path)
        route: Route = entry.route
        exchange.scope = route.scope
        if route.auth and claims is None:
            claims = self._identify(head)
        if route.scope is not None and (claims is None or route.scope not in claims.scopes):
            raise Denied("insufficient_scope", BAD_SCOPE)
        self._make_sure_of_room(route)
        client = scope["client"]
        request = Request(route, head.request_id, client[0] if client else "", head, scope["headers"], params)
        request.claims = claims
        request.peer_names = scope.get("extensions", {}).get(PEER_NAMES)
        if route.limit is not None:
            caller = claims.device_id if route.limit.per_device and claims else request.source
            exchange.left = route.limit.spend(caller)
        if route.keyed:
            request.idempotency_key = reading.idempotency_key(head)
        if route.query is not None or scope["query_string"]:
            request.query = reading.decode_query(route.query, scope["query_string"])
        if entry.reads:
            is_here = WHOLE in scope.get("extensions", ())
            await self._read(entry, request, receive, None if is_here else self._body_deadline_s)
        return request

    async def _read(self, entry: Entry, request: Request, receive: Receive, deadline_s: float | None) -> None:
        route: Route = request.route
        if route.check is None:
            reading.check_media(request.head)
        request.raw = await reading.read_body(receive, request.head, deadline_s)
        if route.check is not None:
            route.check(request)
            reading.check_media(request.head)
        if entry.decoder is not None:
            request.body = reading.decode_body(entry.decoder, request.raw, takes_nul=route.takes_nul)

    def _identify(self, head: Head) -> Claims:
        token = reading.bearer(head)
        if token is None or self._guard is None:
            raise Unauthenticated("invalid_token", NO_TOKEN)
        return self._guard.verify(token)

    def no_room(self, method: bytes, target: bytes) -> str:
        """Say why a request is refused of which no more is known than its first line, or "" to hear the rest."""
        if self.in_flight < self._max_in_flight and len(self._begun) < BEHIND_FROM:
            return ""
        route = self._by_first_line.get((method, target))
        return self._too_full_for(route) if route is not None else ""

    def _too_full_for(self, route: Route) -> str:
        if self.in_flight >= self._max_in_flight and not route.urgent:
            return "Too many requests are in work."
        if route.begins and len(self._begun) >= BEHIND_FROM:
            if len(self._begun) > self._max_in_flight // 2:
                return "What was begun needs the rest of the room."
            if asyncio.get_running_loop().time() - next(iter(self._begun.values())) > self._behind_s:
                return "What was begun comes first."
        return ""

    def _make_sure_of_room(self, route: Route) -> None:
        if reason := self._too_full_for(route):
            raise Unavailable("overloaded", reason)

    async def _act(self, request: Request, exchange: Exchange) -> Any:
        route: Route = request.route
        self._make_sure_of_room(route)  # the body took its time
        self.in_flight += 1
        self._idle.clear()
        loop = asyncio.get_running_loop()
        now, number = loop.time(), next(self._numbers)
        self._acting[number] = exchange
        self._deadlines.add(number, now + self._action_deadline_s)
        if route.begins:
            self._begun[number] = now
        try:
            return await route.action(request)
        finally:
            del self._acting[number]
            self._begun.pop(number, None)
            self.in_flight -= 1
            if not self.in_flight:
                self._idle.set()

    def _answer_late(self, number: int) -> None:
        exchange = self._acting[number]
        error = Unavailable("deadline_exceeded", "The work goes on; its outcome is not known yet. Ask again.")
        task = asyncio.get_running_loop().create_task(exchange.refuse(error))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _stream(self, request: Request, answer: Answer, exchange: Exchange, receive: Receive) -> None:
        if self.streams >= MAX_STREAMS:
            raise Unavailable("overloaded", "Too many streams are open.", retry_after_s=5.0)
        self.streams += 1
        reasons = [self._stopping.wait()]
        if request.claims is not None:
            reasons.append(self._until_refused(request.head))
        try:
            await send_stream(answer, exchange, receive, reasons)
        finally:
            self.streams -= 1

    async def _until_refused(self, head: Head) -> Literal[True]:
        """Return when the caller would not be let in any more: its token's time is over, or its account is disabled."""
        while True:
            await asyncio.sleep(self._recheck_s)
            try:
                self._identify(head)
            except Unauthenticated:
                return True
