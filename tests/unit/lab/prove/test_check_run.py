from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from rich.console import Console

from autogrocery.lab.demand.baskets import Basket, Line
from autogrocery.lab.prove.network import DatabaseTotals
from autogrocery.lab.prove.record import Fault
from autogrocery.lab.prove.report import finish
from autogrocery.lab.replay.idle import Audit, IdleState, Invariant, Metrics
from autogrocery.lab.replay.replay import Run, Trip
from tests.harness.recorded_run import (
    CLEAN,
    ENTRIES,
    EVENTS,
    FINAL_ORDER,
    HELD,
    ORDER,
    ORDER_ID,
    OUTCOME,
    TRIP,
    entry,
    figures,
    record,
)

if TYPE_CHECKING:
    from autogrocery.lab.prove.figures import Figures

RESTOCKS = OUTCOME.restocks
assert RESTOCKS is not None
VIOLATED = Audit(clean=False, invariants=[Invariant("inventory: stock_is_conserved", 2, [ORDER_ID])])
STUCK = replace(FINAL_ORDER, order=replace(ORDER, status="PROCESSING", outcome=None), events=EVENTS[:2])
OTHER = Trip(Basket(1, 0.0, (Line("milk", 3),)), "buy", ORDER_ID, ORDER)


def ended(found: Figures) -> tuple[int, str]:
    written = io.StringIO()
    code = finish(found, None, None, Console(file=written, width=160))
    return code, written.getvalue()


def test_run_without_violation_returns_0() -> None:
    found = figures()
    code, text = ended(found)
    assert found.violations == []
    assert code == 0
    assert "PROVEN: no oversell, no lost order, no second dispatch, nothing stuck" in text
    assert "repeat it" not in text


@pytest.mark.parametrize(
    ("changes", "promise"),
    [
        ({"final_orders": [replace(FINAL_ORDER, order=None, events=[])]}, "an order that was returned exists"),
        (
            {"restocks": replace(RESTOCKS, outcomes={"RECEIVING": 1}, not_terminal=1)},
            "every delivery is put away or rejected",
        ),
        ({"restock_responses": OUTCOME.restock_responses[::-1]}, "a delivery's statuses are a path of the edge table"),
        ({"entries": [*ENTRIES, entry("order", "CANCELLED", 16.0)]}, "a terminal status stays"),
        (
            {"entries": [entry("order", "PROCESSING", 1.0), entry("order", "PREVIEWED", 2.0)]},
            "polled statuses are a path",
        ),
        ({"final_orders": [replace(FINAL_ORDER, events=EVENTS[:2])]}, "history leads from the preview to the status"),
        ({"run": Run([OTHER], 20.0)}, "the order has the basket's lines"),
        ({"final_orders": [STUCK]}, "every order ends"),
        ({"idle_state": IdleState(VIOLATED, OUTCOME.idle_state.metrics)}, "audit: inventory: stock_is_conserved"),
        ({"idle_state": IdleState(None, OUTCOME.idle_state.metrics)}, "the databases can be audited"),
        ({"idle_state": IdleState(CLEAN, None)}, "analytics has every metric"),
        ({"idle_state": IdleState(CLEAN, Metrics(received=2, unique=2))}, "analytics has every metric"),
        ({"idle_state": IdleState(CLEAN, Metrics(received=4, unique=4))}, "analytics has every metric"),
        ({"idle_state": IdleState(CLEAN, Metrics(received=3, unique=3, gaps_open=1))}, "analytics has every metric"),
        ({"idle_state": IdleState(CLEAN, Metrics(received=3, unique=3, invalid=1))}, "analytics has every metric"),
        ({"database_totals": None}, "the databases can be read"),
        ({"receipts": set()}, "a completed order has its receipt"),
        ({"receipts": {ORDER_ID, "o-2"}}, "only completed orders have one"),
        ({"database_totals": DatabaseTotals(3, frozenset(), frozenset({ORDER_ID}))}, "only completed orders have one"),
        (
            {"database_totals": DatabaseTotals(3, frozenset({ORDER_ID}), frozenset({ORDER_ID, "o-2"}))},
            "a basket is one order",
        ),
        ({"down": ["robots"]}, "every process comes back"),
    ],
)
def test_each_violation_alone_returns_1(changes: dict[str, Any], promise: str) -> None:
    found = figures(replace(OUTCOME, **changes))
    code, text = ended(found)
    assert code == 1
    assert any(one.promise.startswith(promise) for one in found.violations)
    assert "NOT PROVEN" in text
    assert "autogrocery prove --minutes 0.5 --seed 7" in text


@pytest.mark.parametrize("violations", [["3 units sold of 2"], []])
def test_broken_or_unplayed_scenario_returns_1(violations: list[str]) -> None:
    found = figures(scenarios=(replace(HELD, ok=False, violations=violations),))
    assert ended(found)[0] == 1
    assert found.violations[0].promise.startswith("scenario oversell")


def test_process_without_success_after_a_fault_returns_1() -> None:
    seen = record()
    seen.faults.append(Fault("kill", "pricing", "SIGKILL", 18.0, 19.6))
    found = figures(seen=seen)
    assert ended(found)[0] == 1
    assert [one.detail for one in found.violations] == ["pricing: no preview after 19.6 s"]


def test_process_that_never_restarts_returns_1() -> None:
    seen = record()
    seen.faults.append(Fault("kill", "pricing", "SIGKILL", 18.0, None))
    found = figures(seen=seen)
    assert ended(found)[0] == 1
    assert [one.detail for one in found.violations] == ["pricing, broken at 18.0 s, did not recover"]


def test_violation_names_the_order_and_how_to_inspect_it() -> None:
    _, text = ended(figures(replace(OUTCOME, final_orders=[STUCK])))
    assert f"order {ORDER_ID} · still PROCESSING" in text
    assert f"AUTOGROCERY_HOME=/tmp/prove-1 autogrocery order show {ORDER_ID}" in text


def test_unanswered_basket_may_have_become_an_order() -> None:
    silent = Trip(TRIP.basket, "buy", unanswered="no answer")
    totals = DatabaseTotals(3, frozenset({ORDER_ID}), frozenset({ORDER_ID, "o-2"}))
    assert figures(replace(OUTCOME, run=Run([TRIP, silent], 20.0), database_totals=totals)).ok


def test_lost_acknowledgements_are_counted_separately() -> None:
    lost = figures(replace(OUTCOME, final_orders=[replace(FINAL_ORDER, order=None, events=[])]))
    assert lost.lost_acknowledgements == 1
    assert figures(replace(OUTCOME, receipts=set())).lost_acknowledgements == 0


def test_recorded_run_is_complete() -> None:
    assert figures().orders.outcomes == {"COMPLETED": 1}
    assert OUTCOME.run.trips == [TRIP]
