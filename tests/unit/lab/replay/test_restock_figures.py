from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from autogrocery.client import Restock, RestockLine, RestockResponse
from autogrocery.lab.demand.baskets import Basket
from autogrocery.lab.replay.replay import Trip
from autogrocery.lab.replay.restock_figures import check_restocks, count_restocks
from autogrocery.lab.replay.robot_deaths import RobotDeaths, deaths_since, log_size
from autogrocery.lab.replay.trucks import TruckDelivery

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2026, 1, 1, tzinfo=UTC)
LINE = RestockLine("milk", "Milk", "dairy", 10, received=9, short=1, over=0, damaged=2)
EARLY = Restock("r-1", "farm", "The Farm", "1", "RECEIVING", [replace(LINE, received=4, short=6, damaged=0)], AT)
DONE = replace(EARLY, status="RECEIVED", items=[LINE], finished_at=AT)
TRIP = Trip(Basket(1, 0.0, ()), "buy")


def responses(*states: Restock) -> list[RestockResponse]:
    return [RestockResponse("status", 200, restock) for restock in states]


def test_deliveries_are_counted_by_outcome_and_unit() -> None:
    deliveries = [
        TruckDelivery("1", DONE),
        TruckDelivery("2", EARLY),
        TruckDelivery("3", refused="x"),
        TruckDelivery("4", unanswered="y"),
    ]
    trips = [TRIP, replace(TRIP, visits=2, order_id="o-1"), replace(TRIP, visits=7)]
    counted = count_restocks(deliveries, trips)
    assert counted.outcomes == {"RECEIVED": 1, "RECEIVING": 1, "refused: x": 1, "unanswered": 1}
    assert (counted.deliveries, counted.not_terminal, counted.ended) == (4, 2, 1)
    assert (counted.announced, counted.received, counted.short, counted.damaged) == (20, 13, 7, 2)
    assert (counted.returning_customers, counted.returning_in_vain) == (2, 1)


def test_consistent_responses_have_no_violation() -> None:
    assert check_restocks(responses(EARLY, EARLY, DONE, DONE)) == []


@pytest.mark.parametrize(
    ("states", "promise"),
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
def test_inconsistent_responses_are_found(states: tuple[Restock, ...], promise: str) -> None:
    assert promise in " ".join(violation.promise for violation in check_restocks(responses(*states)))


def test_robot_deaths_are_counted_from_the_start_of_the_run(tmp_path: Path) -> None:
    log = tmp_path / "robots.log"
    assert (log_size(log), deaths_since(log, 0), deaths_since(None, 0)) == (0, None, None)
    line = b'{"robot_id":"robot-1","event":"robot_%s","role":"robots"}\n'
    log.write_bytes(line % b"died")
    start = log_size(log)
    with log.open("ab") as file:
        file.write(line % b"died" + line % b"died" + line % b"returned")
    assert deaths_since(log, start) == RobotDeaths(2, 1)
