"""The figures: each fact counted once, whichever way and however often it came."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from autogrocery.analytics.core.durations import Durations
from autogrocery.analytics.core.epochs import Epoch, missing

if TYPE_CHECKING:
    from autogrocery.contracts.analytics.metric import OrderMetric

STATUS: Final = re.compile(r"[A-Z][A-Z_]{0,31}")
MAX_STATUSES: Final = 32  # further ones count as OTHER
MAX_EPOCHS: Final = 4_096
MAX_FACTS: Final = 1 << 17  # remembered twice over; numbered messages are told apart by their epoch's ranges besides
MAX_AHEAD: Final = 10_000_000  # a number further on than this is an error, not a loss
RESTOCK: Final = frozenset({"ANNOUNCED", "RECEIVING", "RECEIVED", "REJECTED"})
MINUTE_S: Final = 60


class Facts:
    """Remembers the last 131,072 to 262,144 facts, in two generations."""

    def __init__(self) -> None:
        self._young: set[int] = set()
        self._old: set[int] = set()

    def add(self, fact: int) -> bool:
        """Remember a fact; False if it is remembered already."""
        if fact in self._young or fact in self._old:
            return False
        if len(self._young) >= MAX_FACTS:
            self._old, self._young = self._young, set()
        self._young.add(fact)
        return True


class Tally:
    """All figures since the beginning of the epochs known."""

    def __init__(self) -> None:
        self.received = self.unique = self.duplicates = self.invalid = 0
        self.from_log = self.recovered = self.voids = 0
        self.has_past = False  # what was published before we listened
        self.by_status: Counter[str] = Counter()
        self.durations = Durations()
        self.epochs: dict[int, Epoch] = {}
        self._facts = Facts()
        self._minute: list[tuple[int, int]] = [(0, 0)] * MINUTE_S  # by second: which, how many

    def take(self, metric: OrderMetric, now_s: float, *, from_log: bool = False) -> bool:
        """Count a metric; False (and counted as what it is) for a duplicate or what can't be true."""
        fact = _fact(metric)
        if fact is None:
            self.invalid += 1
            return False
        epoch = self.epoch(metric.epoch, joined=metric.sequence) if metric.sequence else None
        if epoch is not None:
            if epoch.last and metric.sequence - epoch.last > MAX_AHEAD:
                self.invalid += 1
                return False
            known = epoch.has(metric.sequence)
            if not known and not epoch.add(metric.sequence, now_s):
                return False
            if known:
                self.duplicates += not from_log
                return False
            self.from_log += from_log
            self.recovered += from_log and metric.sequence >= epoch.joined
        if not self._facts.add(fact):
            self.duplicates += not from_log
            return False
        self._count(metric, now_s)
        return True

    def void(self, epoch: Epoch, number: int, now_s: float) -> None:
        """Learn that nothing was ever published under a number."""
        if epoch.add(number, now_s):
            self.voids += 1

    def epoch(self, number: int, *, joined: int) -> Epoch | None:
        """Return an epoch, made if new and heard of from number `joined` on; None if there are too many to follow."""
        found = self.epochs.get(number)
        if found is None and len(self.epochs) < MAX_EPOCHS:
            found = self.epochs[number] = Epoch(number, joined)
        return found

    def last_minute(self, now_s: float) -> int:
        """How many facts were counted within the last minute."""
        return sum(count for second, count in self._minute if now_s - second < MINUTE_S)

    def figures(self, now_s: float) -> dict[str, Any]:
        """Return everything there is to tell, ready for JSON."""
        quantiles = {f"p{part}": self.durations.quantile_ms(part / 100) for part in (50, 90, 99)}
        return {
            "received": self.received,
            "unique": self.unique,
            "duplicates": self.duplicates,
            "invalid": self.invalid,
            "from_log": self.from_log,
            "gaps_open": missing(self.epochs.values(), now_s),
            "gaps_recovered": self.recovered,
            "voids": self.voids,
            "by_status": dict(sorted(self.by_status.items())),
            "last_minute": self.last_minute(now_s),
            "duration_ms": {**quantiles, "count": self.durations.count},
            "epochs": [
                {"epoch": epoch.epoch, "last_sequence": epoch.last, "seen": epoch.seen}
                for epoch in self.epochs.values()
            ],
        }

    def _count(self, metric: OrderMetric, now_s: float) -> None:
        self.unique += 1
        known = metric.status in self.by_status or len(self.by_status) < MAX_STATUSES
        self.by_status[metric.status if known else "OTHER"] += 1
        if metric.duration_seconds > 0 and metric.status not in RESTOCK:
            self.durations.add(metric.duration_seconds * 1_000)
        second = int(now_s)
        at, count = self._minute[second % MINUTE_S]
        self._minute[second % MINUTE_S] = (second, count + 1 if at == second else 1)


def _fact(metric: OrderMetric) -> int | None:
    """Return what names the fact (order, version), or None if that can't be an order's id or a status."""
    if not STATUS.fullmatch(metric.status):
        return None
    try:
        order = UUID(metric.order_id).int
    except ValueError:
        return None
    # A publisher that doesn't tell versions is told apart by status, as far as that goes.
    version = metric.version or (1 << 32) + hash(metric.status) % (1 << 32)
    return order << 33 | version
