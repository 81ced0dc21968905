"""The last calls to peers, in memory, and those of them that are worth a row: failed, repeated or slow."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

if TYPE_CHECKING:
    from autogrocery.kit.rpc.client import Peer

KEPT: Final = 4_096  # calls
MAX_PENDING: Final = 2_000  # calls that wait for their rows; later ones are counted as dropped
MAX_FAILING: Final = 10_000  # orders whose next call is a repetition
SLOW_S: Final = 0.25
OK: Final = "ok"


class Call(Struct, frozen=True):
    """One call: the fault point `peer.method`, Unix seconds of its begin, its seconds, outcome and attempt from 1."""

    order_id: str
    point: str
    at_s: float
    seconds: float
    outcome: str
    attempt: int


class CallLog:
    """A bounded memory of the calls that are about an order or a restock."""

    def __init__(self) -> None:
        self._calls: deque[tuple[str, str, float, float, str, int]] = deque(maxlen=KEPT)
        self._pending: deque[Call] = deque()
        self._failed: dict[tuple[str, str], int] = {}
        self._offset_s = time.time() - time.perf_counter()
        self.dropped = 0

    def watch(self, *peers: Peer) -> None:
        """Note every call to these peers."""
        for peer in peers:
            peer.on_call = self.note

    def note(self, point: str, request: Any, started_s: float, outcome: str) -> None:
        """Note a call that began at `started_s` of time.perf_counter() and has ended now."""
        order_id = getattr(request, "order_id", "")
        if not order_id:
            return
        seconds = time.perf_counter() - started_s
        if outcome == OK and seconds < SLOW_S and not self._failed:  # the path of nearly every call
            self._calls.append((order_id, point, started_s, seconds, OK, 1))
            return
        self._note_noteworthy(order_id, point, started_s, seconds, outcome)

    def _note_noteworthy(self, order_id: str, point: str, started_s: float, seconds: float, outcome: str) -> None:
        attempt = self._failed.pop((order_id, point), 0) + 1
        if outcome != OK:
            self._failed[order_id, point] = attempt
            if len(self._failed) > MAX_FAILING:
                del self._failed[next(iter(self._failed))]
        self._calls.append((order_id, point, started_s, seconds, outcome, attempt))
        if outcome == OK and attempt == 1 and seconds < SLOW_S:
            return
        if len(self._pending) < MAX_PENDING:
            self._pending.append(Call(order_id, point, self._offset_s + started_s, seconds, outcome, attempt))
        else:
            self.dropped += 1

    def of_order(self, order_id: str) -> list[Call]:
        """Return the remembered calls about an order, oldest first."""
        return [
            Call(known, point, self._offset_s + started_s, seconds, outcome, attempt)
            for known, point, started_s, seconds, outcome, attempt in self._calls
            if known == order_id
        ]

    def pending(self, limit: int) -> list[Call]:
        """Return the oldest calls that wait for their rows; they stay until `stored`."""
        return [self._pending[index] for index in range(min(limit, len(self._pending)))]

    def stored(self, count: int) -> None:
        """Forget the oldest `count` pending calls: they have their rows."""
        for _ in range(count):
            self._pending.popleft()
