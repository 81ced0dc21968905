from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from rich.console import Console

from autogrocery.client import Event, Order, OrderLine, Robot
from autogrocery.lab.demand.baskets import Basket, Line, Product
from autogrocery.lab.demand.demand import Demand
from autogrocery.lab.replay.checks import Violation
from autogrocery.lab.replay.fact_check import FactCheck
from autogrocery.lab.replay.figures import NO_OTHER_FIGURES, Figures, OtherFigures, count_figures, percentile
from autogrocery.lab.replay.idle import Audit, IdleState, Invariant, Metrics
from autogrocery.lab.replay.replay import FinalOrder, Run, Trip
from autogrocery.lab.replay.report import print_report, write_json
from autogrocery.lab.replay.restock_figures import RestockFigures
from autogrocery.lab.replay.robot_deaths import RobotDeaths

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2026, 1, 1, tzinfo=UTC)
BASKET = Basket(1, 0.0, (Line("milk", 2), Line("rye", 1)))
LINES = [OrderLine("milk", "Milk", 2, 100, 100, 1), OrderLine("rye", "Rye", 1, 300, 300, 1)]
ROBOTS = [Robot("cow-1", "dairy", "a-1"), Robot("oven-1", "bread", "a-2"), Robot("oven-2", "bread", "a-3")]
ORDER = Order("o-1", "COMPLETED", "USD", 400, 500, LINES, AT, outcome="PARTIAL", robots=ROBOTS)
SHELF = [Product("milk", "Milk", "dairy", 100), Product("rye", "Rye", "bread", 300)]
DEMAND = Demand("by hand", SHELF, [BASKET, BASKET])
RUN = Run([Trip(BASKET, "buy", "o-1", ORDER), Trip(BASKET, "buy", refused="insufficient_stock")], 2.0)
EVENTS = [Event(1, "PREVIEWED", "preview", AT), Event(2, "COMPLETED", "webhook", AT)]
CLEAN = IdleState(Audit(clean=True, invariants=[Invariant("held_is_the_sum_of_holds", 0)]), Metrics(received=2))
VIOLATED = Audit(clean=False, invariants=[Invariant("no_negative_balance", 2, ["milk"])])
RESTOCKS = RestockFigures(
    3,
    {"RECEIVED": 3},
    0,
    announced=30,
    received=28,
    short=2,
    over=0,
    damaged=1,
    returning_customers=4,
    returning_in_vain=1,
)


def figures(
    order: Order = ORDER,
    idle_state: IdleState = CLEAN,
    violations: list[Violation] | None = None,
    other: OtherFigures = NO_OTHER_FIGURES,
) -> Figures:
    return count_figures(
        DEMAND,
        RUN,
        [FinalOrder("o-1", order, EVENTS)],
        idle_state,
        violations or [],
        devices=1,
        responses=3,
        durations_ms={"preview": [1.0, 2.0, 3.0]},
        must_audit=True,
        must_measure=True,
        other=other,
    )


def printed(counted: Figures) -> str:
    written = io.StringIO()
    print_report(counted, Console(file=written, width=140))
    return written.getvalue()


def test_figures_count_outcomes_revenue_and_robots() -> None:
    counted = figures()
    assert counted.ok
    assert counted.outcomes == {"COMPLETED": 1, "refused: insufficient_stock": 1}
    assert (counted.revenue_cents, counted.quoted_cents, counted.completed_partial) == (400, 500, 1)
    assert [(share.robot_class, share.orders, share.lines, share.robots) for share in counted.robot_classes] == [
        ("bread", 1, 1, 2),
        ("dairy", 1, 1, 1),
    ]
    assert [share.robot_id for share in counted.robots] == ["oven-1", "oven-2", "cow-1"]
    assert (counted.steps["preview"].p50_ms, counted.steps["preview"].p99_ms) == (2.0, 3.0)


def test_unfinished_order_is_not_ok() -> None:
    counted = figures(Order("o-1", "PROCESSING", "USD", 500, 500, LINES, AT))
    assert not counted.ok
    assert counted.not_terminal == 1
    assert "NOT CLEAN" in printed(counted)


def test_violated_invariant_is_shown_with_its_name() -> None:
    idle_state = IdleState(VIOLATED, Metrics(received=2))
    assert not figures(idle_state=idle_state).ok
    assert "no_negative_balance: 2" in printed(figures(idle_state=idle_state))


def measured(received: int) -> IdleState:
    return IdleState(CLEAN.audit, Metrics(received=received))


def test_deliveries_robot_deaths_and_receipts_are_shown() -> None:
    other = OtherFigures(RESTOCKS, RobotDeaths(2, 2), receipts=1, opening_units=100, left_units=90)
    counted = figures(idle_state=measured(5), other=other)
    assert counted.ok
    assert (counted.short_lines, counted.lines) == (1, 2)
    text = printed(counted)
    for words in (
        "3 (RECEIVED 3)",
        "28 (2 short, 0 over, 1 damaged)",
        "100 at first, 90 at the end",
        "4 after finding goods out of stock, 1 in vain",
        "1 for 1 completed orders",
        "2, 2 returned",
        "1, 50.0% of 2",
    ):
        assert words in text


@pytest.mark.parametrize(
    "other",
    [
        OtherFigures(replace(RESTOCKS, outcomes={"RECEIVED": 2, "RECEIVING": 1}, not_terminal=1), receipts=1),
        OtherFigures(RESTOCKS, receipts=0),
    ],
)
def test_unfinished_delivery_or_missing_receipt_is_not_ok(other: OtherFigures) -> None:
    assert not figures(idle_state=measured(5), other=other).ok


def test_missing_metric_of_a_delivery_is_not_ok() -> None:
    assert not figures(idle_state=measured(4), other=OtherFigures(RESTOCKS)).ok


def test_violation_is_shown_with_its_order() -> None:
    text = printed(figures(violations=[Violation("a terminal status stays", "o-1", "CANCELLED, then COMPLETED")]))
    assert "a terminal status stays · order o-1" in text


def test_a_clean_run_prints_every_row() -> None:
    text = printed(figures())
    for word in ("COMPLETED", "revenue", "4.00 USD", "preview", "dairy", "clean, 1 invariants", "metrics received"):
        assert word in text


def test_json_has_the_same_figures(tmp_path: Path) -> None:
    write_json(figures(), tmp_path / "deep" / "figures.json")
    read = json.loads((tmp_path / "deep" / "figures.json").read_text())
    assert read["outcomes"]["COMPLETED"] == 1
    assert read["robot_classes"][0]["robots"] == 2


def test_percentiles_are_nearest_ranks() -> None:
    assert percentile([5.0], 0.99) == 5.0
    assert percentile([float(number) for number in range(1, 101)], 0.99) == 99.0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0


def test_run_with_only_unknown_skus_is_not_ok() -> None:
    run = Run([Trip(BASKET, "buy", refused="unknown_sku")] * 2, 2.0)
    idle_state = IdleState(CLEAN.audit, Metrics(received=0))
    counted = count_figures(
        DEMAND, run, [], idle_state, [], devices=1, responses=0, durations_ms={}, must_audit=True, must_measure=True
    )
    assert not counted.ok
    text = printed(counted)
    assert "stock load --demo" in text
    assert "NOT CLEAN" in text
    assert "every order terminal" not in text
    assert "stock load" not in printed(figures())


@pytest.mark.parametrize(
    ("facts", "ok", "line"),
    [
        (FactCheck(2, 2, 2, same_changes=True), True, "facts exact"),
        (FactCheck(2, 2, None, same_changes=False), True, "facts only counted"),
        (FactCheck(3, 2, 2, same_changes=False), False, "NOT CLEAN"),
        (FactCheck(2, 2, 2, same_changes=False), False, "and not the same ones"),
    ],
)
def test_facts_that_are_not_the_history_are_told_and_not_ok(facts: FactCheck, ok: object, line: str) -> None:
    counted = figures(other=OtherFigures(facts=facts, killed={"analytics": 3}))
    assert counted.ok is ok
    out = io.StringIO()
    print_report(counted, Console(file=out, width=200))
    assert line in out.getvalue()
    assert "analytics killed" in out.getvalue()
