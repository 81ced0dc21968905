"""An ASGI application made of a route table. It uses bare ASGI and msgspec, because this is the hot path.

An action runs in the task of its request. It is not cancelled when the client hangs up (a test checks that the server
does not), and at its deadline the client gets 503 while the action goes on: work that a request started belongs to the
process, not to the connection. `App.stop` ends streams and waits, for a bounded time, until no request is in flight.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

from autogrocery.kit.errors import Denied, Unauthenticated, Unavailable
from autogrocery.kit.http import reading
from autogrocery.kit.http.response_writer import ResponseWriter
from autogrocery.kit.http.route import NO_TOKEN, PEER_NAMES, WHOLE, Answer, Guard, Request, Route
from autogrocery.kit.http.stream import send_stream, send_stream_head
from autogrocery.kit.http.table import RouteTable
from autogrocery.kit.process.deadlines import Deadlines
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autogrocery.kit.http.reading import Receive, RequestHead
    from autogrocery.kit.http.response_writer import Send
    from autogrocery.kit.http.table import RouteEntry
    from autogrocery.kit.security.tokens import Claims

__all__ = ["Answer", "App", "Guard", "Request", "Route"]

MAX_IN_FLIGHT = 512
MAX_STREAMS = 256
# Sheddable requests are refused while at least so many of them are in flight and the oldest is so many seconds old.
BEHIND_FROM, BEHIND_S = 32, 0.1
ACTION_DEADLINE_S = 5.0
BODY_DEADLINE_S = 10.0
RECHECK_S = 1.0  # how long a stream may outlive its token
DRAIN_S = 5.0
BAD_SCOPE = "The token lacks the scope that this route requires."


class App:
    """The ASGI application of a route table. It owns the requests in flight: call `stop` before the sockets close."""

    def __init__(
        self,
        routes: Sequence[Route],
        guard: Guard | None = None,
        *,
        max_in_flight: int = MAX_IN_FLIGHT,
        max_streams: int = MAX_STREAMS,
        action_deadline_s: float = ACTION_DEADLINE_S,
        body_deadline_s: float = BODY_DEADLINE_S,
        behind_s: float = BEHIND_S,
        recheck_s: float = RECHECK_S,
    ) -> None:
        """Compile the table; raises ValueError on a repeated route or one whose `auth` contradicts the guard."""
        self.routes = tuple(routes)
        self.in_flight = 0
        self.streams = 0
        self._guard = guard
        self._table = RouteTable(self.routes)
        self._max_in_flight = max_in_flight
        self._max_streams = max_streams
        self._action_deadline_s = action_deadline_s
        self._body_deadline_s = body_deadline_s
        self._behind_s = behind_s
        self._recheck_s = recheck_s
        self._stopping = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._late: set[asyncio.Task[None]] = set()
        self._running: dict[int, ResponseWriter] = {}
        self._deadlines = Deadlines(self._running, self._answer_late)
        self._numbers = count(1)
        self._sheddable_since: dict[int, float] = {}  # start times of sheddable requests in flight, oldest first
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
        response = ResponseWriter(send, head, only_head=scope["method"] == "HEAD")
        try:
            request = await self._admit(scope, head, receive, response)
            answer = await self._run_action(request, response)
            if response.answered:
                log.warning("response_came_late", request_id=head.request_id, path=request.route.path)
            elif isinstance(answer, Answer) and answer.stream is not None:
                await self._stream(request, answer, response, receive)
            else:
                await response.answer(request.route, answer)
        except reading.ClientGoneError:
            return
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the only place that answers every error
            await response.refuse(error)

    async def stop(self) -> bool:
        """End streams and wait until no request is in flight; returns False if some still are after DRAIN_S seconds."""
        self._stopping.set()
        try:
            async with asyncio.timeout(DRAIN_S):
                await self._idle.wait()
        except TimeoutError:
            log.warning("drain_timed_out", in_flight=self.in_flight)
            return False
        return True

    async def _admit(
        self, scope: dict[str, Any], head: RequestHead, receive: Receive, response: ResponseWriter
    ) -> Request:
        path: str = scope["path"]
        reading.check_head(head, len(scope["raw_path"]) + len(scope["query_string"]), scope["http_version"])
        claims = self._identify(head) if self._guard and self._guard.covers(path) else None
        entry, params = self._table.find(scope["method"], path)
        route: Route = entry.route
        response.scope = route.scope
        if route.auth and claims is None:
            claims = self._identify(head)
        if route.scope is not None and (claims is None or route.scope not in claims.scopes):
            raise Denied("insufficient_scope", BAD_SCOPE)
        self._require_capacity(route)
        client = scope["client"]
        request = Request(route, head.request_id, client[0] if client else "", head, scope["headers"], params)
        request.claims = claims
        request.peer_names = scope.get("extensions", {}).get(PEER_NAMES)
        if route.limit is not None:
            caller = claims.principal if route.limit.per_principal and claims else request.source
            response.rate_limit = route.limit.spend(caller)
        if route.keyed:
            request.idempotency_key = reading.idempotency_key(head)
        if route.query is not None or scope["query_string"]:
            request.query = reading.decode_query(route.query, scope["query_string"])
        if entry.reads:
            is_here = WHOLE in scope.get("extensions", ())
            await self._read(entry, request, receive, None if is_here else self._body_deadline_s)
        return request

    async def _read(self, entry: RouteEntry, request: Request, receive: Receive, deadline_s: float | None) -> None:
        route: Route = request.route
        if route.check is None:
            reading.check_media(request.head)
        request.raw = await reading.read_body(receive, request.head, deadline_s)
        if route.check is not None:
            route.check(request)
            reading.check_media(request.head)
        if entry.decoder is not None:
            request.body = reading.decode_body(entry.decoder, request.raw, takes_nul=route.takes_nul)

    def _identify(self, head: RequestHead) -> Claims:
        token = reading.bearer(head)
        if token is None or self._guard is None:
            raise Unauthenticated("invalid_token", NO_TOKEN)
        return self._guard.verify(token)

    def refusal_reason(self, method: bytes, target: bytes) -> str:
        """Return why a request is refused by its request line alone, or "" if the rest of it must be read."""
        if self.in_flight < self._max_in_flight and len(self._sheddable_since) < BEHIND_FROM:
            return ""
        route = self._by_first_line.get((method, target))
        return self._overload_reason(route) if route is not None else ""

    def _overload_reason(self, route: Route) -> str:
        if self.in_flight >= self._max_in_flight and not route.urgent:
            return "Too many requests are in flight."
        if route.sheddable and len(self._sheddable_since) >= BEHIND_FROM:
            if len(self._sheddable_since) > self._max_in_flight // 2:
                return "Requests in flight need the remaining capacity."
            if asyncio.get_running_loop().time() - next(iter(self._sheddable_since.values())) > self._behind_s:
                return "Requests in flight have priority."
        return ""

    def _require_capacity(self, route: Route) -> None:
        if reason := self._overload_reason(route):
            raise Unavailable("overloaded", reason)

    async def _run_action(self, request: Request, response: ResponseWriter) -> Any:
        route: Route = request.route
        self._require_capacity(route)  # again: reading the body took time
        self.in_flight += 1
        self._idle.clear()
        loop = asyncio.get_running_loop()
        now, number = loop.time(), next(self._numbers)
        self._running[number] = response
        self._deadlines.add(number, now + self._action_deadline_s)
        if route.sheddable:
            self._sheddable_since[number] = now
        try:
            return await route.action(request)
        finally:
            del self._running[number]
            self._sheddable_since.pop(number, None)
            self.in_flight -= 1
            if not self.in_flight:
                self._idle.set()

    def _answer_late(self, number: int) -> None:
        response = self._running[number]
        error = Unavailable("deadline_exceeded", "The work goes on; its outcome is not known yet. Ask again.")
        task = asyncio.get_running_loop().create_task(response.refuse(error))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _stream(self, request: Request, answer: Answer, response: ResponseWriter, receive: Receive) -> None:
        if response.only_head:
            await send_stream_head(answer, response)
            return
        if self.streams >= self._max_streams:
            raise Unavailable("overloaded", "Too many streams are open.", retry_after_s=5.0)
        self.streams += 1
        reasons = [self._stopping.wait()]
        if request.claims is not None:
            reasons.append(self._until_token_refused(request.head))
        try:
            await send_stream(answer, response, receive, reasons)
        finally:
            self.streams -= 1

    async def _until_token_refused(self, head: RequestHead) -> Literal[True]:
        """Return when the caller's token is no longer accepted: it has expired, or its account is disabled."""
        while True:
            await asyncio.sleep(self._recheck_s)
            try:
                self._identify(head)
            except Unauthenticated:
                return True
