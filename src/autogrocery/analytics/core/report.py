"""The figures of a day or a week of one mart, or of all marts of the store."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

DAY_S = 86_400
HOUR_S = 3_600
MINUTE_S = 60
WEEK_S = 7 * DAY_S
MAX_DAYS = 31
BUSY_SHARE = 0.8  # of a robot's time: beyond it queues grow out of proportion (M/M/c; a fifth of slack)


class Period(Struct, frozen=True):
    """From `since_s` to before `until_s` (Unix seconds), in steps of `step_s`; `store_id` "" is all marts."""

    since_s: Annotated[int, Meta(ge=0, le=1 << 32)]
    until_s: Annotated[int, Meta(ge=0, le=1 << 32)]
    step_s: Annotated[int, Meta(ge=60, le=WEEK_S)] = HOUR_S
    store_id: str = ""

    def a_week_before(self) -> Period:
        """Return the same period one week earlier."""
        return Period(self.since_s - WEEK_S, self.until_s - WEEK_S, self.step_s, self.store_id)


class Step(Struct, frozen=True):
    """What ended or began in one step: completed orders, what they cost, quotes; `p90_ms` from confirm to end."""

    started_at: int  # Unix seconds
    orders: int = 0
    revenue_cents: int = 0
    items: int = 0
    previews: int = 0
    busy_s: float = 0.0  # of all orders that ended in the step, from confirm to end
    p90_ms: float = 0.0


class Outcome(Struct, frozen=True):
    """How many orders that were quoted in the period came to rest in one status, and what they had been quoted."""

    status: str
    was_dispatched: bool  # whether robots had it: status PROCESSING
    orders: int
    quoted_cents: int
    short_cents: int = 0  # of COMPLETED orders: what was quoted and not picked, and so not charged


class Stage(Struct, frozen=True):
    """How long one stage of the period's orders took."""

    name: str
    orders: int
    p50_ms: float
    p90_ms: float
    p99_ms: float


class Deliveries(Struct, frozen=True):
    """Deliveries announced in the period by the status in which they are, and the units announced."""

    status: str
    deliveries: int
    units_announced: int


class ShortSku(Struct, frozen=True):
    """A product that was picked short; `aisle` is "" if robots' picks are not told."""

    aisle: str
    sku: str
    name: str
    orders: int
    units: int
    lost_cents: int


class ShortAisle(Struct, frozen=True):
    """What the short lines of one aisle cost; `skus` counts the products."""

    aisle: str
    orders: int
    skus: int
    units: int
    lost_cents: int


class AisleLoad(Struct, frozen=True):
    """The work of one aisle's robots in the period, and in its busiest hour (`peak_`).

    A robot is busy from when it had an assignment and was done with the one before, until it reported. `peak_wait_ms`
    is how long nine in ten assignments of the busiest hour waited for their robot at most.
    """

    aisle: str
    robots: int
    picks: int
    units: int
    busy_s: float
    peak_busy_s: float
    peak_wait_ms: float

    @property
    def peak_load(self) -> float:
        """Return how many robots were busy at once on average in the busiest hour (erlangs)."""
        return self.peak_busy_s / HOUR_S

    @property
    def robots_needed(self) -> int:
        """Return how many robots would have been busy for at most BUSY_SHARE of the busiest hour."""
        return max(ceil(self.peak_load / BUSY_SHARE - 1e-9), 1)


class RobotLoad(Struct, frozen=True):
    """The work of one robot."""

    aisle: str
    robot_id: str
    picks: int
    units: int
    busy_s: float
    store_id: str = ""


class Received(Struct, frozen=True):
    """Units of deliveries that ended in the period, by aisle; `damaged` is part of `received`."""

    aisle: str
    deliveries: int
    announced: int
    received: int
    damaged: int
    missing: int
    surplus: int


class Told(Struct, frozen=True):
    """Whether the sources of details ever answered, and how many ended orders they were not asked for yet."""

    shortfalls: bool = False
    picks: bool = False
    shortfalls_behind: int = 0
    picks_behind: int = 0


class Report(Struct, frozen=True):
    """All figures of a period; `before` has the steps of the same period one week earlier.

    `hours` has the period's hours, if its steps are longer. `short_skus` has the most expensive products only,
    `short_aisles` all of them. `told` says what of the details is known: an empty list may mean "not told".
    Of a period that has not passed yet, `outcomes_before` and `before_so_far`, the sum of a week before, end at the
    same time of the week as the newest fact.
    """

    period: Period
    steps: list[Step]
    before: list[Step]
    outcomes: list[Outcome]
    stages: list[Stage]
    deliveries: list[Deliveries]
    newest_fact_at: int  # Unix seconds; 0: none
    gaps_open: int = 0
    hours: list[Step] = []
    short_skus: list[ShortSku] = []
    short_aisles: list[ShortAisle] = []
    aisles: list[AisleLoad] = []
    robots: list[RobotLoad] = []
    received: list[Received] = []
    told: Told = Told()
    outcomes_before: list[Outcome] = []
    before_so_far: Step | None = None

    @property
    def busiest(self) -> Step | None:
        """Return the hour with the most completed orders; None without any."""
        return busiest_of(self.hours or self.steps)

    @property
    def short_cents(self) -> int:
        """Return what short picks cost: what COMPLETED orders were quoted and not charged."""
        return sum(one.short_cents for one in self.outcomes)

    @property
    def short_cents_before(self) -> int:
        """Return the same of the week before."""
        return sum(one.short_cents for one in self.outcomes_before)

    @property
    def total_before(self) -> Step:
        """Return the sum of the week before, of a running period up to the same time."""
        if self.before_so_far is not None:
            return self.before_so_far
        orders, cents = sum(step.orders for step in self.before), sum(step.revenue_cents for step in self.before)
        return Step(self.period.since_s - WEEK_S, orders, cents)

    @property
    def is_running(self) -> bool:
        """Return whether the newest fact is more than an hour before the period's end."""
        return self.newest_fact_at < self.period.until_s - HOUR_S

    @property
    def length_s(self) -> int:
        """Return how much of the period has passed, as far as the newest fact shows."""
        return passed_until(self.period, self.newest_fact_at) - self.period.since_s

    def in_progress(self, step: Step) -> float:
        """Return how many orders were in robots' hands on average during a step, by Little's law (L = λW)."""
        return step.busy_s / (HOUR_S if self.hours else self.period.step_s)


def passed_until(period: Period, newest_at: int) -> int:
    """Return the end of what has passed of a period: that of the newest fact's minute, within the period."""
    return min(period.until_s, max(newest_at, period.since_s) + MINUTE_S)


def busiest_of(steps: Sequence[Step]) -> Step | None:
    """Return the step with the most completed orders; None without any."""
    best = max(steps, key=lambda step: step.orders, default=None)
    return best if best is not None and best.orders else None
