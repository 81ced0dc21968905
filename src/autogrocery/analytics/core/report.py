"""The figures of a day or a week of one mart, or of all marts of the store."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

DAY_S = 86_400
HOUR_S = 3_600
WEEK_S = 7 * DAY_S
MAX_DAYS = 31


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


class Report(Struct, frozen=True):
    """All figures of a period; `before` has the steps of the same period one week earlier."""

    period: Period
    steps: list[Step]
    before: list[Step]
    outcomes: list[Outcome]
    stages: list[Stage]
    deliveries: list[Deliveries]
    newest_fact_at: int  # Unix seconds; 0: none
    gaps_open: int = 0

    @property
    def busiest(self) -> Step | None:
        """Return the step with the most completed orders; None without any."""
        best = max(self.steps, key=lambda step: step.orders, default=None)
        return best if best is not None and best.orders else None

    def in_progress(self, step: Step) -> float:
        """Return how many orders were in robots' hands on average during a step, by Little's law (L = λW)."""
        return step.busy_s / self.period.step_s
