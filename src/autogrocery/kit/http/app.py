"""The application of a route table: which requests are admitted, and the actions in flight.

An action runs in a task of its own. It is not cancelled when the client hangs up, and at its deadline the client gets
503 while the action goes on: work that a request started belongs to the process, not to the connection. `App.stop` ends
streams and waits, for a bounded time, until no request is in flight.
"""

from __future__ import annotations

import asyncio
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING

from autogrocery.kit.errors import Denied, Unauthenticated, Unavailable
from autogrocery.kit.http import reading
from autogrocery.kit.http.overload import PLACES, QUEUE_SHARE, AdmissionQueue, Bound, shed
from autogrocery.kit.http.route import NO_TOKEN, Answer, Guard, Request, Route
from autogrocery.kit.http.stream import send_stream
from autogrocery.kit.http.table import RouteTable
from autogrocery.kit.process.deadlines import Deadlines
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autogrocery.kit.http.exchange import Exchange
    from autogrocery.kit.http.reading import RequestHead
    from autogrocery.kit.security.tokens import Claims

__all__ = ["Answer", "App", "Guard", "Request", "Route"]

MAX_IN_FLIGHT = 512
MAX_STREAMS = 256
ACTION_DEADLINE_S = 5.0
BODY_DEADLINE_S = 10.0
RECHECK_S = 1.0  # how long a stream may outlive its token, its client or the server
DRAIN_S = 5.0
BAD_SCOPE = "The token lacks the scope that this route requires."


class App:
    """The application of a route table. It owns the requests in flight: call `stop` before the sockets close.

    Sheddable requests take one of `places`, at most half of `max_in_flight`, or wait for one without being in flight.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        guard: Guard | None = None,
        *,
        max_in_flight: int = MAX_IN_FLIGHT,
        max_streams: int = MAX_STREAMS,
        places: int = PLACES,
        action_deadline_s: float = ACTION_DEADLINE_S,
        body_deadline_s: float = BODY_DEADLINE_S,
        recheck_s: float = RECHECK_S,
    ) -> None:
        """Compile the table; raises ValueError on a repeated route or one whose `auth` contradicts the guard."""
        self.routes = tuple(routes)
        self.streams = 0
        self.body_deadline_s = body_deadline_s
        self._guard = guard
        self._table = RouteTable(self.routes)
        self._max_in_flight = max_in_flight
        self._max_streams = max_streams
        self._action_deadline_s = action_deadline_s
        self._recheck_s = recheck_s
        self._leaving = False
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._running: dict[int, Exchange] = {}  # or waiting for a place
        self._deadlines = Deadlines(self._running, self._answer_late)
        self._numbers = count(1)
        places = min(places, max(1, max_in_flight // 2))
        self._queue = AdmissionQueue(places, action_deadline_s * QUEUE_SHARE, monotonic)
        self._by_first_line = {
            (route.method.encode("ascii"), route.path.encode("ascii")): route
            for route in self.routes
            if "{" not in route.path
        }
        for route in self.routes:
            if (guard is None and route.auth) or (guard and not route.auth and guard.covers(route.path)):
                raise ValueError(f"{route.method} {route.path}: auth is {route.auth}, and the guard says otherwise")

    @property
    def in_flight(self) -> int:
        """The number of requests whose action runs."""
        return len(self._running) - len(self._queue)

    @property
    def waiting(self) -> int:
        """The number of requests that wait for a place."""
        return len(self._queue)

    def leave(self) -> None:
        """Close each connection after its next response, so that clients go elsewhere; requests are still answered."""
        self._leaving = True

    async def stop(self) -> bool:
        """End streams and wait until no request is in flight.

        Returns False if some still are after DRAIN_S seconds; those are cancelled.
        """
        self._stopping = True
        try:
            async with asyncio.timeout(DRAIN_S):
                await self._idle.wait()
        except TimeoutError:
            log.warning("drain_timed_out", in_flight=self.in_flight)
            for exchange in self._running.values():
                if exchange.task is not None:  # otherwise it waits for its place
                    exchange.task.cancel()
            return False
        return True

    def admit(self, exchange: Exchange) -> None:
        """Set the request and the route's entry of an exchange whose head was read; raises what refuses it."""
        head = exchange.head
        if self._leaving:
            exchange.keep_alive = False
        path, query = reading.split_target(head.target)
        claims = self._identify(head) if self._guard and self._guard.covers(path) else None
        exchange.entry, params = self._table.find(head.method.decode("ascii"), path)
        entry, route = exchange.entry, exchange.entry.route
        if route.auth and claims is None:
            claims = self._identify(head)
        if route.scope is not None and (claims is None or route.scope not in claims.scopes):
            raise Denied("insufficient_scope", BAD_SCOPE)
        self._require_capacity(route)
        request = Request(route, head.request_id, exchange.connection.client_of(head), head, params)
        request.claims = claims
        request.peer_names = exchange.connection.peer_names
        if route.limit is not None:
            caller = claims.principal if route.limit.per_principal and claims else request.source
            exchange.rate_limit = route.limit.spend(caller)
        if route.keyed:
            request.idempotency_key = reading.idempotency_key(head)
        if route.query is not None or query:
            request.query = reading.decode_query(route.query, query)
        if entry.reads:
            if route.check is None:
                reading.check_media(head)
            reading.check_length(head)
        exchange.request = request

    def begin(self, exchange: Exchange) -> None:
        """Begin the action of an admitted request whose body was read; raises what refuses it."""
        request, entry = exchange.request, exchange.entry
        assert request is not None
        assert entry is not None
        route: Route = request.route
        if entry.reads:
            request.raw = exchange.body
            if route.check is not None:
                route.check(request)
                reading.check_media(request.head)
            if entry.decoder is not None:
                request.body = reading.decode_body(entry.decoder, request.raw, takes_nul=route.takes_nul)
        self._require_capacity(route)  # again: reading the body took time
        number = next(self._numbers)
        self._idle.clear()
        self._running[number] = exchange
        self._deadlines.add(number, asyncio.get_running_loop().time() + self._action_deadline_s)
        if not route.sheddable or self._queue.enter(number):
            self._start(number)

    def _start(self, number: int) -> None:
        exchange = self._running[number]
        exchange.task = asyncio.get_running_loop().create_task(self._run(number, exchange))

    async def _run(self, number: int, exchange: Exchange) -> None:
        request = exchange.request
        assert request is not None
        try:
            try:
                answer = await request.route.action(request)
            finally:
                self._end(number, request.route)
            if exchange.answered:
                log.warning("response_came_late", request_id=request.request_id, path=request.route.path)
            elif isinstance(answer, Answer) and answer.stream is not None:
                await self._stream(request, answer, exchange)
            else:
                exchange.answer(request.route, answer)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - every error has its response
            exchange.refuse(error)

    def _end(self, number: int, route: Route) -> None:
        """End a request in flight; its place goes to the next that waits and whose client does."""
        del self._running[number]
        if route.sheddable:
            while (following := self._queue.leave()) is not None:
                exchange = self._running[following]
                if not (exchange.answered or exchange.connection.is_closed):
                    self._start(following)
                    break
                del self._running[following]
        if not self._running:
            self._idle.set()

    def _answer_late(self, number: int) -> None:
        exchange = self._running[number]
        if exchange.task is None:
            exchange.refuse(shed(Bound.QUEUE))
        else:
            late = Unavailable("deadline_exceeded", "The work goes on; its outcome is not known yet. Ask again.")
            exchange.refuse(late)

    def _identify(self, head: RequestHead) -> Claims:
        token = reading.bearer(head)
        if token is None or self._guard is None:
            raise Unauthenticated("invalid_token", NO_TOKEN)
        return self._guard.verify(token)

    def bound_met(self, head: RequestHead) -> Bound | None:
        """Return the bound that refuses a request by its request line alone; None if the rest of it must be read."""
        if self.in_flight < self._max_in_flight and not self._queue:
            return None
        route = self._by_first_line.get((head.method, head.target))
        return self._bound_met(route) if route is not None else None

    def _bound_met(self, route: Route) -> Bound | None:
        if self.in_flight >= self._max_in_flight and not route.urgent:
            return Bound.IN_FLIGHT
        return Bound.QUEUE if route.sheddable and self._queue.is_full() else None

    def _require_capacity(self, route: Route) -> None:
        if (bound := self._bound_met(route)) is not None:
            raise shed(bound)

    async def _stream(self, request: Request, answer: Answer, exchange: Exchange) -> None:
        if self.streams >= self._max_streams and request.head.method != b"HEAD":
            raise shed(Bound.STREAMS, retry_after_s=5.0)
        self.streams += 1
        try:
            await send_stream(exchange, answer, lambda: self._may_stream(request), self._recheck_s)
        finally:
            self.streams -= 1

    def _may_stream(self, request: Request) -> bool:
        """Return whether the server goes on and the caller's token, if it needed one, is still accepted."""
        try:
            return not self._stopping and (request.claims is None or bool(self._identify(request.head)))
        except Unauthenticated:
            return False
