"""The figures of a replay: counted from the last look at every order, never from hopes."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.client import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from autogrocery.client import Order
    from autogrocery.lab.demand.demand import Demand
    from autogrocery.lab.replay.deaths import Deaths
    from autogrocery.lab.replay.quiet import Audit, Metrics, Rest
    from autogrocery.lab.replay.replay import Run, Trip, Witness
    from autogrocery.lab.replay.supplied import Supplied
    from autogrocery.lab.replay.verdict import Violation

STEPS: Final = ("register", "login", "preview", "confirm", "cancel", "pick")


class Step(Struct, frozen=True):
    """How long one step took, as its device felt it; a pick runs from confirm to COMPLETED."""

    count: int
    p50_ms: float
    p99_ms: float


class ClassShare(Struct, frozen=True):
    """What one class of robots did: orders and lines it was sent for, and the robots that went."""

    robot_class: str
    orders: int
    lines: int
    robots: int


class RobotShare(Struct, frozen=True):
    """How many orders one robot was sent for."""

    robot_id: str
    robot_class: str
    orders: int


class Beside(Struct, frozen=True):
    """What a replay saw beside its orders; None where nobody was named to look.

    `receipts` are those of completed orders that were found; `opening_units` and `left_units` lay on the shelves before and after.
    """

    supplied: Supplied | None = None
    deaths: Deaths | None = None
    receipts: int | None = None
    opening_units: int | None = None
    left_units: int | None = None


NOTHING_BESIDE: Final = Beside()


class Figures(Struct, frozen=True):
    """Everything the end of a replay tells; the table and the JSON file are both made of this."""

    ok: bool
    source: str
    orders_asked: int
    devices: int
    took_s: float
    orders_per_s: float
    outcomes: dict[str, int]
    completed_full: int
    completed_partial: int
    short_lines: int
    lines: int
    not_terminal: int
    unanswered: int
    currency: str | None
    revenue_cents: int
    quoted_cents: int
    steps: dict[str, Step]
    robot_classes: list[ClassShare]
    robots: list[RobotShare]
    told: int
    broken_promises: list[Violation]
    metrics_expected: int
    metrics: Metrics | None
    audit: Audit | None
    beside: Beside


def count_figures(
    demand: Demand,
    run: Run,
    witnesses: list[Witness],
    rest: Rest,
    broken: list[Violation],
    *,
    devices: int,
    told: int,
    durations_ms: dict[str, list[float]],
    must_audit: bool,
    must_measure: bool,
    beside: Beside = NOTHING_BESIDE,
) -> Figures:
    """Count, and say whether all is well.

    `ok` is true if there was an order, every order and delivery is terminal, every answer was heard, every promise kept, the
    audit clean, no metric missing, and each completed order has its receipt.

    `must_audit` and `must_measure` say that an audit and the metrics are part of the bargain: silence is then a failure.
    """
    orders = [witness.order for witness in witnesses if witness.order is not None]
    unanswered = sum(trip.unanswered is not None for trip in run.trips)
    not_terminal = sum(order.status not in TERMINAL for order in orders) + len(witnesses) - len(orders)
    completed = [order for order in orders if order.status == "COMPLETED"]
    expected = metrics_expected(witnesses) + (beside.supplied.ended if beside.supplied is not None else 0)
    audited = (rest.audit is not None and rest.audit.clean) or (rest.audit is None and not must_audit)
    measured = not must_measure or _all_measured(rest.metrics, expected)
    picked = [line for order in completed for line in order.items]
    return Figures(
        ok=bool(orders)
        and not (not_terminal or unanswered or broken)
        and audited
        and measured
        and _all_done(beside, len(completed)),
        source=demand.source,
        orders_asked=len(demand.baskets),
        devices=devices,
        took_s=round(run.took_s, 3),
        orders_per_s=round(len(run.trips) / max(run.took_s, 0.001), 2),
        outcomes=_outcomes(run.trips, orders),
        completed_full=sum(order.outcome == "FULL" for order in completed),
        completed_partial=sum(order.outcome == "PARTIAL" for order in completed),
        short_lines=sum(line.picked is not None and line.picked < line.quantity for line in picked),
        lines=len(picked),
        not_terminal=not_terminal,
        unanswered=unanswered,
        currency=orders[0].currency if orders else None,
        revenue_cents=sum(order.total_cents for order in completed),
        quoted_cents=sum(order.quoted_total_cents for order in completed),
        steps={step: _step(durations_ms[step]) for step in STEPS if durations_ms.get(step)},
        robot_classes=_class_shares(demand, orders),
        robots=_robot_shares(orders),
        told=told,
        broken_promises=broken,
        metrics_expected=expected,
        metrics=rest.metrics,
        audit=rest.audit,
        beside=beside,
    )


def metrics_expected(witnesses: Iterable[Witness]) -> int:
    """One metric for every status change of every order."""
    return sum(len(witness.events) for witness in witnesses)


def percentile(numbers: list[float], share: float) -> float:
    """Return the smallest number that at least `share` of all are not above (nearest rank)."""
    return sorted(numbers)[max(0, math.ceil(share * len(numbers)) - 1)]


def _all_done(beside: Beside, completed: int) -> bool:
    """Say whether every delivery ended, and every completed order has its receipt."""
    delivered = beside.supplied is None or beside.supplied.not_terminal == 0
    return delivered and beside.receipts in (None, completed)


def _all_measured(metrics: Metrics | None, expected: int) -> bool:
    return metrics is not None and metrics.gaps_open == 0 and metrics.invalid == 0 and metrics.changes >= expected


def _outcomes(trips: list[Trip], orders: list[Order]) -> dict[str, int]:
    counted = Counter(str(order.status) for order in orders)
    counted.update(trip.outcome for trip in trips if trip.order_id is None)
    return dict(sorted(counted.items()))


def _step(durations_ms: list[float]) -> Step:
    p50_ms, p99_ms = percentile(durations_ms, 0.5), percentile(durations_ms, 0.99)
    return Step(len(durations_ms), round(p50_ms, 2), round(p99_ms, 2))


def _class_shares(demand: Demand, orders: list[Order]) -> list[ClassShare]:
    aisles = {product.sku: product.aisle_type for product in demand.products}
    sent: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    robots: dict[str, set[str]] = {}
    for order in orders:
        classes = {robot.robot_class for robot in order.robots or ()}
        sent.update(classes)
        lines.update(str(aisles[line.sku]) for line in order.items if aisles.get(line.sku) in classes)
        for robot in order.robots or ():
            robots.setdefault(robot.robot_class, set()).add(robot.robot_id)
    return [ClassShare(name, sent[name], lines[name], len(robots[name])) for name in sorted(robots)]


def _robot_shares(orders: list[Order]) -> list[RobotShare]:
    counted = Counter(
        pair for order in orders for pair in {(robot.robot_class, robot.robot_id) for robot in order.robots or ()}
    )
    return [RobotShare(robot_id, robot_class, count) for (robot_class, robot_id), count in sorted(counted.items())]
