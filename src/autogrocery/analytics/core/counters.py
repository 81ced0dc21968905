"""The figures: each status change is counted once, however often and by whatever way it is received."""

from __future__ import annotations

from collections import Counter
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from autogrocery.analytics.core.durations import Durations
from autogrocery.analytics.core.epochs import Epoch, count_missing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from autogrocery.analytics.core.facts import Fact
    from autogrocery.analytics.core.marks import Mark

MAX_STATUSES: Final = 32  # further ones count as OTHER
MAX_EPOCHS: Final = 65_536
MAX_RECENT: Final = (
    1 << 17
)  # in each of two generations; numbered messages are also deduplicated by their epoch's ranges
MAX_AHEAD: Final = 10_000_000  # a number further ahead than this is an error, not a loss
RESTOCK: Final = frozenset({"ANNOUNCED", "RECEIVING", "RECEIVED", "REJECTED"})
MINUTE_S: Final = 60


class Verdict(Enum):
    """What a received fact is: whether its number is new, and whether its status change is."""

    NEW = auto()
    REPEATED = auto()  # a new number for a change that was counted before
    KNOWN = auto()  # a number that was seen before, or can't be followed
    INVALID = auto()


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
        self.logs_read: set[str] = set()  # addresses of the metrics logs whose past, before the subscription, is listed
        self.by_status: Counter[str] = Counter()
        self.durations = Durations()
        self.epochs: dict[int, Epoch] = {}
        self.listed: dict[str, dict[int, Epoch]] = {}  # by metrics log, those it has listed: it can be asked for gaps
        self._recent = RecentChanges()
        self._minute: list[tuple[int, int]] = [(0, 0)] * MINUTE_S  # by second modulo 60: the second, its count

    def count(self, fact: Fact, now_s: float, *, from_log: bool = False) -> Verdict:
        """Count a fact, or count it as a duplicate or as invalid instead."""
        epoch = self.epoch(fact.epoch, joined=fact.sequence) if fact.sequence else None
        if epoch is not None:
            if epoch.last and fact.sequence - epoch.last > MAX_AHEAD:
                self.invalid += 1
                return Verdict.INVALID
            known = epoch.has(fact.sequence)
            if not known and not epoch.add(fact.sequence, now_s):
                return Verdict.KNOWN
            if known:
                self.duplicates += not from_log
                return Verdict.KNOWN
            self.from_log += from_log
            self.recovered += from_log and fact.sequence >= epoch.joined
        if not self._recent.add(_change_id(fact)):
            self.duplicates += not from_log
            return Verdict.REPEATED
        self._add(fact, now_s)
        return Verdict.NEW

    def forget_numbers(self) -> None:
        """Forget which numbers were seen: what was not stored is read from the metrics log, and not counted again."""
        self.epochs.clear()
        self.listed.clear()
        self.logs_read.clear()

    def restore(self, marks: Iterable[Mark], now_s: float) -> None:
        """Take over the numbers that earlier processes have stored: they are not counted again."""
        for mark in sorted(marks, reverse=True):  # the newest epochs, should there be more than can be followed
            epoch = self.epoch(mark.epoch, joined=mark.last + 1)
            if epoch is not None:
                epoch.mark(mark.first, mark.last, now_s)

    def void(self, epoch: Epoch, number: int, now_s: float) -> bool:
        """Record that nothing was ever published under a number; False if that was known, or can't be followed."""
        added = epoch.add(number, now_s)
        self.voids += added
        return added

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

    def _add(self, fact: Fact, now_s: float) -> None:
        self.unique += 1
        known = fact.status in self.by_status or len(self.by_status) < MAX_STATUSES
        self.by_status[fact.status if known else "OTHER"] += 1
        if fact.duration_ms > 0 and fact.status not in RESTOCK:
            self.durations.add(fact.duration_ms)
        second = int(now_s)
        at, count = self._minute[second % MINUTE_S]
        self._minute[second % MINUTE_S] = (second, count + 1 if at == second else 1)


def _change_id(fact: Fact) -> int:
    """Return the identity of a status change (order, version); without a version (0) its status tells it apart."""
    version = fact.version or (1 << 32) + hash(fact.status) % (1 << 32)
    return fact.order_id.int << 33 | version
