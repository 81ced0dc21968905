"""The figures of a replay, counted from the final state of every order."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.client import TERMINAL
from autogrocery.lab.replay.fact_check import FactCheck  # noqa: TC001 - msgspec reads it from OtherFigures

if TYPE_CHECKING:
    from collections.abc import Iterable

    from autogrocery.client import Order
    from autogrocery.lab.demand.demand import Demand
    from autogrocery.lab.replay.checks import Violation
    from autogrocery.lab.replay.idle import Audit, IdleState, Metrics
    from autogrocery.lab.replay.replay import FinalOrder, Run, Trip
    from autogrocery.lab.replay.restock_figures import RestockFigures
    from autogrocery.lab.replay.robot_deaths import RobotDeaths

STEPS: Final = ("register", "login", "preview", "confirm", "cancel", "pick")


class Step(Struct, frozen=True):
    """How long one step took on the device, retries included; a pick lasts from confirm to COMPLETED."""

    count: int
    p50_ms: float
    p99_ms: float


class ClassShare(Struct, frozen=True):
    """One class of robots: the orders and lines assigned to it, and how many of its robots were used."""

    robot_class: str
    orders: int
    lines: int
    robots: int


class RobotShare(Struct, frozen=True):
    """How many orders were assigned to one robot."""

    robot_id: str
    robot_class: str
    orders: int


class OtherFigures(Struct, frozen=True):
    """Figures beside the orders; None for what was not observed.

    `receipts` counts completed orders with a receipt; `opening_units` and `left_units` are units on the shelves before
    and after. `killed` is how often each process was killed meanwhile, by name.
    """

    restocks: RestockFigures | None = None
    robot_deaths: RobotDeaths | None = None
    receipts: int | None = None
    opening_units: int | None = None
    left_units: int | None = None
    facts: FactCheck | None = None
    killed: dict[str, int] = {}


NO_OTHER_FIGURES: Final = OtherFigures()


class Figures(Struct, frozen=True):
    """All figures of a replay; table and JSON file are made of them."""

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
    responses: int
    violations: list[Violation]
    metrics_expected: int
    metrics: Metrics | None
    audit: Audit | None
    other: OtherFigures


def count_figures(
    demand: Demand,
    run: Run,
    final_orders: list[FinalOrder],
    idle_state: IdleState,
    violations: list[Violation],
    *,
    devices: int,
    responses: int,
    durations_ms: dict[str, list[float]],
    must_audit: bool,
    must_measure: bool,
    must_compare: bool = False,
    other: OtherFigures = NO_OTHER_FIGURES,
) -> Figures:
    """Count the figures.

    `ok` is true if there is an order, every order and delivery is terminal, every call was answered, every promise
    kept, the audit clean, no metric missing, each completed order has its receipt, and the stored facts are exactly the
    status changes. With `must_audit`, `must_measure` and `must_compare`, missing audit, metrics or facts make it false.
    """
    orders = [final_order.order for final_order in final_orders if final_order.order is not None]
    unanswered = sum(trip.unanswered is not None for trip in run.trips)
    not_terminal = sum(order.status not in TERMINAL for order in orders) + len(final_orders) - len(orders)
    completed = [order for order in orders if order.status == "COMPLETED"]
    expected = metrics_expected(final_orders) + (other.restocks.ended if other.restocks is not None else 0)
    audited = (idle_state.audit is not None and idle_state.audit.clean) or (idle_state.audit is None and not must_audit)
    measured = not must_measure or _all_measured(idle_state.metrics, expected)
    complete = _all_stored(other.facts, must_compare=must_compare) and _all_done(other, len(completed))
    picked = [line for order in completed for line in order.items]
    return Figures(
        ok=bool(orders) and not (not_terminal or unanswered or violations) and (audited and measured and complete),
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
        responses=responses,
        violations=violations,
        metrics_expected=expected,
        metrics=idle_state.metrics,
        audit=idle_state.audit,
        other=other,
    )


def metrics_expected(final_orders: Iterable[FinalOrder]) -> int:
    """Return how many metrics are expected: one for every status change of every order."""
    return sum(len(final_order.events) for final_order in final_orders)


def percentile(numbers: list[float], share: float) -> float:
    """Return the percentile by nearest rank: the smallest number with at least `share` of all not above it."""
    return sorted(numbers)[max(0, math.ceil(share * len(numbers)) - 1)]


def _all_done(other: OtherFigures, completed: int) -> bool:
    """Return whether every delivery ended and every completed order has its receipt."""
    delivered = other.restocks is None or other.restocks.not_terminal == 0
    return delivered and other.receipts in (None, completed)


def _all_stored(facts: FactCheck | None, *, must_compare: bool) -> bool:
    """Return whether the facts are exact; facts that are only counted are judged by the metrics."""
    return not must_compare if facts is None else facts.exact or facts.facts is None


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
