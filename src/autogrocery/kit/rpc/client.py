"""The calls to one peer: each with a deadline, a fault point and a breaker; any unclear outcome is `InDoubt`."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from prometheus_client import Counter

from autogrocery.kit.backoff import spread_s
from autogrocery.kit.errors import InDoubt, Unauthenticated
from autogrocery.kit.process import faults
from autogrocery.kit.process.log import log
from autogrocery.kit.rpc.status import Code, RpcError, UndecodableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from autogrocery.kit.rpc.client_call import Method

BREAKER_WINDOW_S = 10.0
BREAKER_MIN_CALLS = 20
BREAKER_SHARE = 0.5
PROBE_EVERY_S = 1.0
# Of a call with a token these statuses are answers about that token; of any other call they are no answer.
TOKEN_STATUSES = frozenset({Code.UNAUTHENTICATED, Code.PERMISSION_DENIED})
# What is wrong with one request is no sign of a peer that is down: a device's odd value must not open the breaker.
REQUEST_STATUSES = frozenset(
    {Code.INVALID_ARGUMENT, Code.OUT_OF_RANGE, Code.FAILED_PRECONDITION, Code.NOT_FOUND, Code.ALREADY_EXISTS}
)
REJECTED_REPLIES = Counter(
    "peer_replies_rejected",
    "Replies that are no clear answer, by peer, by what of the reply is wrong, and by what is wrong with it",
    ["peer", "field", "reason"],
)


class Peer:
    """The calls to one peer: each has a deadline, and a breaker spares a peer that is down.

    How many are made at once is bounded by the channel, and in flight by the peer.

    The breaker opens when at least BREAKER_SHARE of the calls of the last BREAKER_WINDOW_S seconds failed, of which
    there are at least BREAKER_MIN_CALLS. A call that ends with one of REQUEST_STATUSES has not failed. While it is
    open, one call every PROBE_EVERY_S seconds ± 20 % passes as a probe; the first that succeeds closes it and calls
    `on_recovery`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.on_recovery: Callable[[], None] = lambda: None
        self.on_call: Callable[[str, Any, float, str], None] | None = None  # point, request, started, outcome
        self.changed_at = time.time()  # when the breaker opened or closed last, Unix seconds
        self.last_error: str | None = None
        self.last_error_at = 0.0
        self.last_ok = True
        self.rejected_replies = 0
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=1_000)
        self._open = False
        self._probe_at = 0.0

    @property
    def available(self) -> bool:
        """Whether the breaker is closed."""
        return not self._open

    async def call(
        self, method: Method, request: Any, *, timeout_s: float, point: str, token: str | None = None
    ) -> Any:
        """Make one call within `timeout_s` seconds through the fault point `point`.

        Raises InDoubt on any non-OK status, on a reply that can't be decoded, on no answer, and while the breaker is
        open. Only a call with a `token` of its own raises Unauthenticated if the peer does not accept that.
        """
        if self._open and not self._may_probe():
            raise InDoubt(self.name, "its breaker is open")
        if self.on_call is None:
            return await self._call(method, request, timeout_s, point, token)
        started_s = time.perf_counter()
        try:
            reply = await self._call(method, request, timeout_s, point, token)
        except (InDoubt, Unauthenticated) as error:
            self.on_call(point, request, started_s, getattr(error, "detail", "no answer"))
            raise
        self.on_call(point, request, started_s, "ok")
        return reply

    async def _call(self, method: Method, request: Any, timeout_s: float, point: str, token: str | None) -> Any:
        try:
            reply = await faults.through(point, lambda: method(request, timeout_s=timeout_s, token=token), timeout_s)
        except UndecodableError:
            self._note(ok=False, why="undecodable")
            raise self.rejected(point.rpartition(".")[2], "undecodable") from None
        except RpcError as error:
            is_up = error.code in REQUEST_STATUSES or (token is not None and error.code in TOKEN_STATUSES)
            self._note(ok=is_up, why=error.code.name.lower())
            if token is not None and error.code is Code.UNAUTHENTICATED:
                raise Unauthenticated("invalid_token", f"{self.name} did not accept the token") from error
            raise InDoubt(self.name, error.code.name.lower()) from error
        except (TimeoutError, OSError) as error:  # of an injected fault
            self._note(ok=False, why=type(error).__name__)
            raise InDoubt(self.name, type(error).__name__) from error
        self._note(ok=True)
        return reply

    def rejected(self, field: str, reason: str) -> InDoubt:
        """Return the error for a reply that is no clear answer; logs and counts it.

        `field` names the call and what of its reply is wrong, `reason` what is wrong with it: both are constants of
        the program, so that the counter has few labels and no log line shows what the peer sent.
        """
        REJECTED_REPLIES.labels(self.name, field, reason).inc()
        self.rejected_replies += 1
        self._note_error(f"{field} is {reason}")
        log.warning("peer_reply_rejected", peer=self.name, field=field, reason=reason)
        return InDoubt(self.name, f"{field} is {reason}")

    def _may_probe(self) -> bool:
        now = time.monotonic()
        if now < self._probe_at:
            return False
        self._probe_at = now + spread_s(PROBE_EVERY_S)
        return True

    def _note_error(self, why: str) -> None:
        self.last_ok, self.last_error, self.last_error_at = False, why, time.time()

    def _note(self, *, ok: bool, why: str = "") -> None:
        now = time.monotonic()
        if why:
            self._note_error(why)
        else:
            self.last_ok = True
        if self._open:
            if ok:
                self._open = False
                self.changed_at = time.time()
                self._outcomes.clear()
                self.on_recovery()
            return
        self._outcomes.append((now, ok))
        while self._outcomes and self._outcomes[0][0] < now - BREAKER_WINDOW_S:
            self._outcomes.popleft()
        if ok or len(self._outcomes) < BREAKER_MIN_CALLS:
            return
        failed = sum(not succeeded for _, succeeded in self._outcomes)
        if failed >= BREAKER_SHARE * len(self._outcomes):
            self._open = True
            self.changed_at = time.time()
