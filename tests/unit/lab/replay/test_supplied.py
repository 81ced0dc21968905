from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from autogrocery.client import Restock, RestockLine, ToldRestock
from autogrocery.lab.demand.market import Basket
from autogrocery.lab.replay.deaths import Deaths, deaths_since, length
from autogrocery.lab.replay.replay import Trip
from autogrocery.lab.replay.supplied import count_supplied, judge_restocks
from autogrocery.lab.replay.trucks import Delivery

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2026, 1, 1, tzinfo=UTC)
LINE = RestockLine("milk", "Milk", "dairy", 10, received=9, short=1, over=0, damaged=2)
EARLY = Restock("r-1", "farm", "The Farm", "1", "RECEIVING", [replace(LINE, received=4, short=6, damaged=0)], AT)
DONE = replace(EARLY, status="RECEIVED", items=[LINE], finished_at=AT)
TRIP = Trip(Basket(1, 0.0, ()), "buy")


def told(*life: Restock) -> list[ToldRestock]:
    return [ToldRestock("status", 200, restock) for restock in life]


def test_deliveries_are_counted_by_outcome_and_unit() -> None:
    deliveries = [Delivery("1", DONE), Delivery("2", EARLY), Delivery("3", refused="x"), Delivery("4", unanswered="y")]
    trips = [TRIP, replace(TRIP, visits=2, order_id="o-1"), replace(TRIP, visits=7)]
    counted = count_supplied(deliveries, trips)
    assert counted.outcomes == {"RECEIVED": 1, "RECEIVING": 1, "refused: x": 1, "unanswered": 1}
    assert (counted.deliveries, counted.not_terminal, counted.ended) == (4, 2, 1)
    assert (counted.announced, counted.received, counted.short, counted.damaged) == (20, 13, 7, 2)
    assert (counted.came_back, counted.came_back_in_vain) == (2, 1)


def test_a_true_story_of_a_delivery_breaks_nothing() -> None:
    assert judge_restocks(told(EARLY, EARLY, DONE, DONE)) == []


@pytest.mark.parametrize(
    ("life", "promise"),
    [
        ((DONE, EARLY), "statuses are a path"),
        ((DONE, replace(DONE, status="REJECTED")), "statuses are a path"),
        ((EARLY, replace(DONE, items=[replace(LINE, received=3, short=7)])), "never decrease"),
        ((DONE, replace(DONE, items=[replace(LINE, damaged=1)])), "never decrease"),
        ((EARLY, replace(DONE, items=[])), "never decrease"),
        ((EARLY, replace(DONE, items=[replace(LINE, quantity=12, short=3)])), "never decrease"),
        ((replace(DONE, items=[replace(LINE, short=0)]),), "short and over"),
        ((replace(DONE, items=[replace(LINE, damaged=10)]),), "short and over"),
    ],
)
def test_an_untrue_story_of_a_delivery_is_found(life: tuple[Restock, ...], promise: str) -> None:
    assert promise in " ".join(violation.promise for violation in judge_restocks(told(*life)))


def test_robots_that_died_are_counted_from_where_the_run_began(tmp_path: Path) -> None:
    log = tmp_path / "robots.log"
    assert (length(log), deaths_since(log, 0), deaths_since(None, 0)) == (0, None, None)
    line = b'{"robot_id":"robot-1","event":"robot_%s","role":"robots"}\n'
    log.write_bytes(line % b"died")
    start = length(log)
    with log.open("ab") as file:
        file.write(line % b"died" + line % b"died" + line % b"returned")
    assert deaths_since(log, start) == Deaths(2, 1)
