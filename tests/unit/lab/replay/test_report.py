from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from rich.console import Console

from autogrocery.client import Event, Order, OrderLine, Robot
from autogrocery.lab.demand.demand import Demand
from autogrocery.lab.demand.market import Basket, Line, Product
from autogrocery.lab.replay.deaths import Deaths
from autogrocery.lab.replay.figures import NOTHING_BESIDE, Beside, Figures, count_figures, percentile
from autogrocery.lab.replay.quiet import Audit, Invariant, Metrics, Rest
from autogrocery.lab.replay.replay import Run, Trip, Witness
from autogrocery.lab.replay.report import print_report, write_json
from autogrocery.lab.replay.supplied import Supplied
from autogrocery.lab.replay.verdict import Violation

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
CLEAN = Rest(Audit(True, [Invariant("held_is_the_sum_of_holds", 0)]), Metrics(received=2))  # noqa: FBT003 - JSON's order


SUPPLIED = Supplied(
    3, {"RECEIVED": 3}, 0, announced=30, received=28, short=2, over=0, damaged=1, came_back=4, came_back_in_vain=1
)


def figures(
    order: Order = ORDER, rest: Rest = CLEAN, broken: list[Violation] | None = None, beside: Beside = NOTHING_BESIDE
) -> Figures:
    return count_figures(
        DEMAND,
        RUN,
        [Witness("o-1", order, EVENTS)],
        rest,
        broken or [],
        devices=1,
        told=3,
        durations_ms={"preview": [1.0, 2.0, 3.0]},
        must_audit=True,
        must_measure=True,
        beside=beside,
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


def test_an_order_that_did_not_end_is_not_ok() -> None:
    counted = figures(Order("o-1", "PROCESSING", "USD", 500, 500, LINES, AT))
    assert not counted.ok
    assert counted.not_terminal == 1
    assert "NOT CLEAN" in printed(counted)


def test_a_violated_audit_is_shown_with_its_name() -> None:
    rest = Rest(Audit(False, [Invariant("no_negative_balance", 2, ["milk"])]), Metrics(received=2))  # noqa: FBT003 - JSON's order
    assert not figures(rest=rest).ok
    assert "no_negative_balance: 2" in printed(figures(rest=rest))


def measured(received: int) -> Rest:
    return Rest(CLEAN.audit, Metrics(received=received))


def test_what_trucks_brought_who_died_and_the_receipts_are_shown() -> None:
    beside = Beside(SUPPLIED, Deaths(2, 2), receipts=1, opening_units=100, left_units=90)
    counted = figures(rest=measured(5), beside=beside)
    assert counted.ok
    assert (counted.short_lines, counted.lines) == (1, 2)
    text = printed(counted)
    for words in (
        "3 (RECEIVED 3)",
        "28 (2 short, 0 over, 1 damaged)",
        "100 at first, 90 at the end",
        "4 after an empty shelf, 1 in vain",
        "1 for 1 completed orders",
        "2, 2 came back",
        "1, 50.0% of 2",
    ):
        assert words in text


@pytest.mark.parametrize(
    "beside",
    [
        Beside(replace(SUPPLIED, outcomes={"RECEIVED": 2, "RECEIVING": 1}, not_terminal=1), receipts=1),
        Beside(SUPPLIED, receipts=0),
    ],
)
def test_a_delivery_under_way_or_a_missing_receipt_is_not_ok(beside: Beside) -> None:
    assert not figures(rest=measured(5), beside=beside).ok


def test_the_end_of_a_delivery_without_its_metric_is_not_ok() -> None:
    assert not figures(rest=measured(4), beside=Beside(SUPPLIED)).ok


def test_a_broken_promise_is_shown_with_its_order() -> None:
    text = printed(figures(broken=[Violation("a terminal word stays", "o-1", "CANCELLED, then COMPLETED")]))
    assert "a terminal word stays · order o-1" in text


def test_a_clean_run_prints_every_row() -> None:
    text = printed(figures())
    for word in ("COMPLETED", "revenue", "4.00 USD", "preview", "dairy", "clean, 1 invariants", "metrics received"):
        assert word in text


def test_the_json_holds_the_same_figures(tmp_path: Path) -> None:
    write_json(figures(), tmp_path / "deep" / "figures.json")
    read = json.loads((tmp_path / "deep" / "figures.json").read_text())
    assert read["outcomes"]["COMPLETED"] == 1
    assert read["robot_classes"][0]["robots"] == 2


def test_percentiles_are_nearest_ranks() -> None:
    assert percentile([5.0], 0.99) == 5.0
    assert percentile([float(number) for number in range(1, 101)], 0.99) == 99.0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0


def test_baskets_that_all_name_what_nobody_knows_are_no_clean_run() -> None:
    run = Run([Trip(BASKET, "buy", refused="unknown_sku")] * 2, 2.0)
    rest = Rest(CLEAN.audit, Metrics(received=0))
    counted = count_figures(
        DEMAND, run, [], rest, [], devices=1, told=0, durations_ms={}, must_audit=True, must_measure=True
    )
    assert not counted.ok
    text = printed(counted)
    assert "stock load --demo" in text
    assert "NOT CLEAN" in text
    assert "every order terminal" not in text
    assert "stock load" not in printed(figures())
