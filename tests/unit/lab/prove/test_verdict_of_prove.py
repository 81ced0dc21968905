from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from rich.console import Console

from autogrocery.lab.demand.market import Basket, Line
from autogrocery.lab.prove.network import Written
from autogrocery.lab.prove.record import Fault
from autogrocery.lab.prove.report import finish
from autogrocery.lab.replay.quiet import Audit, Invariant, Metrics, Rest
from autogrocery.lab.replay.replay import Run, Trip
from tests.harness.recorded_run import (
    CLEAN,
    ENTRIES,
    EVENTS,
    HELD,
    ORDER,
    ORDER_ID,
    OUTCOME,
    TRIP,
    WITNESS,
    figures,
    record,
    told,
)

if TYPE_CHECKING:
    from autogrocery.lab.prove.figures import Figures

SUPPLIED = OUTCOME.supplied
assert SUPPLIED is not None
VIOLATED = Audit(clean=False, invariants=[Invariant("inventory: stock_is_conserved", 2, [ORDER_ID])])
STUCK = replace(WITNESS, order=replace(ORDER, status="PROCESSING", outcome=None), events=EVENTS[:2])
OTHER = Trip(Basket(1, 0.0, (Line("milk", 3),)), "buy", ORDER_ID, ORDER)


def ended(found: Figures) -> tuple[int, str]:
    written = io.StringIO()
    code = finish(found, None, None, Console(file=written, width=160))
    return code, written.getvalue()


def test_a_run_in_which_all_held_ends_0() -> None:
    found = figures()
    code, text = ended(found)
    assert found.violations == []
    assert code == 0
    assert "PROVEN: no oversell, no lost order, no second dispatch, nothing stuck" in text
    assert "repeat it" not in text


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        ({"witnesses": [replace(WITNESS, order=None, events=[])]}, "an order that was told exists"),
        (
            {"supplied": replace(SUPPLIED, outcomes={"RECEIVING": 1}, not_terminal=1)},
            "every delivery is put away or rejected",
        ),
        ({"told_trucks": OUTCOME.told_trucks[::-1]}, "a delivery's statuses are a path of the edge table"),
        ({"entries": [*ENTRIES, told("order", "CANCELLED", 16.0)]}, "a terminal word stays"),
        (
            {"entries": [told("order", "PROCESSING", 1.0), told("order", "PREVIEWED", 2.0)]},
            "polled statuses are a path",
        ),
        ({"witnesses": [replace(WITNESS, events=EVENTS[:2])]}, "history leads from the preview to the status"),
        ({"run": Run([OTHER], 20.0)}, "the order holds the basket's goods"),
        ({"witnesses": [STUCK]}, "every order ends"),
        ({"rest": Rest(VIOLATED, OUTCOME.rest.metrics)}, "audit: inventory: stock_is_conserved"),
        ({"rest": Rest(None, OUTCOME.rest.metrics)}, "the databases can be audited"),
        ({"rest": Rest(CLEAN, None)}, "analytics has every metric"),
        ({"rest": Rest(CLEAN, Metrics(received=2, unique=2))}, "analytics has every metric"),
        ({"rest": Rest(CLEAN, Metrics(received=4, unique=4))}, "analytics has every metric"),
        ({"rest": Rest(CLEAN, Metrics(received=3, unique=3, gaps_open=1))}, "analytics has every metric"),
        ({"rest": Rest(CLEAN, Metrics(received=3, unique=3, invalid=1))}, "analytics has every metric"),
        ({"written": None}, "the databases can be read"),
        ({"receipts": set()}, "a completed order has its receipt"),
        ({"receipts": {ORDER_ID, "o-2"}}, "only completed orders have one"),
        ({"written": Written(3, frozenset(), frozenset({ORDER_ID}))}, "only completed orders have one"),
        ({"written": Written(3, frozenset({ORDER_ID}), frozenset({ORDER_ID, "o-2"}))}, "a basket is one order"),
        ({"down": ["robots"]}, "every process comes back"),
    ],
)
def test_each_broken_promise_alone_ends_1(broken: dict[str, Any], promise: str) -> None:
    found = figures(replace(OUTCOME, **broken))
    code, text = ended(found)
    assert code == 1
    assert any(one.promise.startswith(promise) for one in found.violations)
    assert "NOT PROVEN" in text
    assert "autogrocery prove --minutes 0.5 --seed 7" in text


@pytest.mark.parametrize("violations", [["3 units sold of 2"], []])
def test_a_scenario_that_is_broken_or_was_not_played_ends_1(violations: list[str]) -> None:
    found = figures(scenarios=(replace(HELD, ok=False, violations=violations),))
    assert ended(found)[0] == 1
    assert found.violations[0].promise.startswith("scenario buyers")


def test_a_process_that_never_works_again_ends_1() -> None:
    seen = record()
    seen.faults.append(Fault("kill", "pricing", "SIGKILL", 18.0, 19.6))
    found = figures(seen=seen)
    assert ended(found)[0] == 1
    assert [one.told for one in found.violations] == ["pricing: no preview after 19.6 s"]


def test_a_process_that_is_never_ready_again_ends_1() -> None:
    seen = record()
    seen.faults.append(Fault("kill", "pricing", "SIGKILL", 18.0, None))
    found = figures(seen=seen)
    assert ended(found)[0] == 1
    assert [one.told for one in found.violations] == ["pricing, struck at 18.0 s, was never itself again"]


def test_a_violation_names_the_order_and_how_to_look_at_it() -> None:
    _, text = ended(figures(replace(OUTCOME, witnesses=[STUCK])))
    assert f"order {ORDER_ID} · still PROCESSING" in text
    assert f"AUTOGROCERY_HOME=/tmp/prove-1 autogrocery order show {ORDER_ID}" in text


def test_a_basket_without_an_answer_may_have_become_an_order() -> None:
    silent = Trip(TRIP.basket, "buy", unanswered="nothing was heard")
    written = Written(3, frozenset({ORDER_ID}), frozenset({ORDER_ID, "o-2"}))
    assert figures(replace(OUTCOME, run=Run([TRIP, silent], 20.0), written=written)).ok


def test_lost_acknowledgements_are_counted_apart() -> None:
    lost = figures(replace(OUTCOME, witnesses=[replace(WITNESS, order=None, events=[])]))
    assert lost.lost_acknowledgements == 1
    assert figures(replace(OUTCOME, receipts=set())).lost_acknowledgements == 0


def test_the_run_itself_is_whole() -> None:
    assert figures().orders.outcomes == {"COMPLETED": 1}
    assert OUTCOME.run.trips == [TRIP]
