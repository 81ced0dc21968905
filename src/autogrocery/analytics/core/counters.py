"""The figures: each status change is counted once, however often and by whatever way it is received."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from autogrocery.analytics.core.durations import Durations
from autogrocery.analytics.core.epochs import Epoch, count_missing

if TYPE_CHECKING:
    from autogrocery.contracts.analytics.metric import OrderMetric

STATUS: Final = re.compile(r"[A-Z][A-Z_]{0,31}")
MAX_STATUSES: Final = 32  # further ones count as OTHER
MAX_EPOCHS: Final = 4_096
MAX_RECENT: Final = (
    1 << 17
)  # in each of two generations; numbered messages are also deduplicated by their epoch's ranges
MAX_AHEAD: Final = 10_000_000  # a number further ahead than this is an error, not a loss
RESTOCK: Final = frozenset({"ANNOUNCED", "RECEIVING", "RECEIVED", "REJECTED"})
MINUTE_S: Final = 60


class RecentChanges:
    """A set of the last 131,072 to 262,144 status changes, in two generations."""

    def __init__(self) -> None:
        self._young: set[int] = set()
        self._old: set[int] = set()

    def add(self, change: int) -> bool:
        """Add a status change; False if it is in the set already."""
        if change in self._young or change in self._old:
            return False
        if len(self._young) >= MAX_RECENT:
            self._old, self._young = self._young, set()
        self._young.add(change)
        return True


class Counters:
    """All figures, from the start of every known epoch."""

    def __init__(self) -> None:
        self.received = self.unique = self.duplicates = self.invalid = 0
        self.from_log = self.recovered = self.voids = 0
        self.has_past = False  # whether the metrics published before the subscription have been read
        self.by_status: Counter[str] = Counter()
        self.durations = Durations()
        self.epochs: dict[int, Epoch] = {}
        self._recent = RecentChanges()
        self._minute: list[tuple[int, int]] = [(0, 0)] * MINUTE_S  # by second modulo 60: the second, its count

    def count(self, metric: OrderMetric, now_s: float, *, from_log: bool = False) -> bool:
        """Count a metric; return False if it is counted as a duplicate or as invalid instead."""
        change = _change_id(metric)
        if change is None:
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
        if not self._recent.add(change):
            self.duplicates += not from_log
            return False
        self._add(metric, now_s)
        return True

    def void(self, epoch: Epoch, number: int, now_s: float) -> None:
        """Record that nothing was ever published under a number."""
        if epoch.add(number, now_s):
            self.voids += 1

    def epoch(self, number: int, *, joined: int) -> Epoch | None:
        """Return an epoch, created with `joined` if it is new; None if MAX_EPOCHS are followed already."""
        found = self.epochs.get(number)
        if found is None and len(self.epochs) < MAX_EPOCHS:
            found = self.epochs[number] = Epoch(number, joined)
        return found

    def last_minute(self, now_s: float) -> int:
        """Return how many status changes were counted within the last minute."""
        return sum(count for second, count in self._minute if now_s - second < MINUTE_S)

    def snapshot(self, now_s: float) -> dict[str, Any]:
        """Return all figures, ready for JSON."""
        quantiles = {f"p{part}": self.durations.quantile_ms(part / 100) for part in (50, 90, 99)}
        return {
            "received": self.received,
            "unique": self.unique,
            "duplicates": self.duplicates,
            "invalid": self.invalid,
            "from_log": self.from_log,
            "gaps_open": count_missing(self.epochs.values(), now_s),
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

    def _add(self, metric: OrderMetric, now_s: float) -> None:
        self.unique += 1
        known = metric.status in self.by_status or len(self.by_status) < MAX_STATUSES
        self.by_status[metric.status if known else "OTHER"] += 1
        if metric.duration_seconds > 0 and metric.status not in RESTOCK:
            self.durations.add(metric.duration_seconds * 1_000)
        second = int(now_s)
        at, count = self._minute[second % MINUTE_S]
        self._minute[second % MINUTE_S] = (second, count + 1 if at == second else 1)


def _change_id(metric: OrderMetric) -> int | None:
    """Return the identity of a status change (order, version), or None if the order id or the status is malformed."""
    if not STATUS.fullmatch(metric.status):
        return None
    try:
        order = UUID(metric.order_id).int
    except ValueError:
        return None
    # Changes without a version (0) are distinguished by their status only.
    version = metric.version or (1 << 32) + hash(metric.status) % (1 << 32)
    return order << 33 | version
