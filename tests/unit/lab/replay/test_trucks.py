"""Trucks that bring what was sold and what was missed, and customers who come back for it."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from autogrocery.client import Patience
from autogrocery.lab.demand.demand import Demand, StockItem
from autogrocery.lab.demand.market import Basket, Line, Product
from autogrocery.lab.replay.demo import Stage, demo
from autogrocery.lab.replay.fleet import open_fleet
from autogrocery.lab.replay.journal import Journal
from autogrocery.lab.replay.replay import MOST_VISITS, Run, replay
from autogrocery.lab.replay.supplied import count_supplied, judge_restocks
from autogrocery.lab.replay.trucks import TruckLogin, Trucks, driving
from tests.harness.fake_gateway import FakeGateway, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

SHELF = [Product("milk", "Milk", "dairy", 130), Product("rye", "Rye", "bread", 300)]
LOGINS = [TruckLogin("truck-dairy", "p" * 12, "dairy"), TruckLogin("truck-bread", "p" * 12, "bread")]


def demand(*baskets: tuple[Line, ...]) -> Demand:
    return Demand("by hand", SHELF, [Basket(number, 0.0, lines) for number, lines in enumerate(baskets)])


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with serving(stock={"milk": 5, "rye": 5}, pick_s=0.05) as fake:
        fake.trucks = {login.device_id: login.password for login in LOGINS}
        yield fake


async def play(gateway: FakeGateway, wanted: Demand, *, logins: list[TruckLogin] = LOGINS) -> tuple[Run, Trucks]:
    """Let customers and trucks come, quickly."""
    households = [basket.household for basket in wanted.baskets]
    patience = Patience(2.0, 1.0)
    async with (
        open_fleet(gateway.url, households, Journal(None), patience=patience) as fleet,
        driving(gateway.url, logins, wanted, "run", patience=patience, round_s=0.05, come_back_s=0.1) as trucks,
    ):
        run = await replay(
            fleet, wanted, 100.0, run_name="run", plans=lambda _seed, _number: "buy", trucks=trucks if logins else None
        )
    return run, trucks


async def test_what_was_sold_is_brought_again(gateway: FakeGateway) -> None:
    run, trucks = await play(gateway, demand((Line("milk", 3),), (Line("rye", 5),)))
    assert [trip.outcome for trip in run.trips] == ["COMPLETED"] * 2
    supplied = count_supplied(trucks.deliveries, run.trips)
    assert (supplied.not_terminal, supplied.came_back) == (0, 0)
    assert judge_restocks(trucks.told) == []


async def test_who_finds_a_shelf_empty_is_served_after_the_truck(gateway: FakeGateway) -> None:
    run, trucks = await play(gateway, demand((Line("milk", 9),)))
    (trip,) = run.trips
    assert (trip.outcome, trip.visits > 1) == ("COMPLETED", True)
    supplied = count_supplied(trucks.deliveries, run.trips)
    assert (supplied.outcomes["RECEIVED"], supplied.came_back, supplied.came_back_in_vain) == (
        len(trucks.deliveries),
        1,
        0,
    )
    assert supplied.announced == supplied.received >= 4


async def test_an_article_that_nobody_knew_is_brought(gateway: FakeGateway) -> None:
    gateway.stock = {"rye": 5}
    run, trucks = await play(gateway, demand((Line("milk", 2), Line("rye", 1))))
    assert run.trips[0].outcome == "COMPLETED"
    restocks = [one.restock for one in trucks.deliveries if one.restock is not None]
    assert ("milk", "Milk", "dairy", 4) in [
        (g.sku, g.name, g.aisle_type, g.quantity) for r in restocks for g in r.items
    ]


async def test_without_trucks_nobody_comes_back(gateway: FakeGateway) -> None:
    run, _ = await play(gateway, demand((Line("milk", 9),)), logins=[])
    assert (run.trips[0].outcome, run.trips[0].visits) == ("refused: insufficient_stock", 1)


async def test_who_never_finds_it_gives_up_and_the_delivery_that_was_refused_is_told(gateway: FakeGateway) -> None:
    gateway.trucks.clear()
    run, trucks = await play(gateway, demand((Line("milk", 9),)))
    assert (run.trips[0].outcome, run.trips[0].visits) == ("refused: insufficient_stock", MOST_VISITS)
    supplied = count_supplied(trucks.deliveries, run.trips)
    assert supplied.came_back_in_vain == 1
    assert supplied.outcomes == {"refused: invalid_credentials": supplied.deliveries}


async def test_a_delivery_without_an_answer_is_not_terminal(gateway: FakeGateway) -> None:
    gateway.mischief["/api/truck/restock"].extend(["drop"] * 200)
    run, trucks = await play(gateway, demand((Line("milk", 9),)))
    assert count_supplied(trucks.deliveries, run.trips).not_terminal >= 1


async def test_what_several_miss_at_once_is_brought_once(gateway: FakeGateway) -> None:
    gateway.stock = {"milk": 0, "rye": 0}
    run, trucks = await play(gateway, demand(*[(Line("milk", 1),)] * 4))
    assert {trip.outcome for trip in run.trips} == {"COMPLETED"}
    restocks = [one.restock for one in trucks.deliveries if one.restock is not None]
    assert sum(line.quantity for restock in restocks for line in restock.items) <= 3 * 4


async def in_demo(gateway: FakeGateway, tmp_path: Path, receipts: Callable[[], Awaitable[set[str]]]) -> tuple[int, Any]:
    """Run a demo whose shelves are half full; returns its exit code and its figures."""
    stage = Stage(gateway.url, None, None, None, trucks=tuple(LOGINS), receipts=receipts)

    @asynccontextmanager
    async def network() -> AsyncIterator[Stage]:
        yield stage

    async def fill(_stage: Stage, items: list[StockItem]) -> None:
        gateway.stock = {item.sku: item.quantity for item in items}
        gateway.trucks = {login.device_id: login.password for login in LOGINS}

    path = tmp_path / "figures.json"
    code = await demo(network, fill, orders=6, rate=50.0, json_path=path, patience=Patience(20, 5), quiet_within_s=0.2)
    return code, json.loads(path.read_text())


async def test_a_demo_with_trucks_opens_with_less_than_is_wanted_and_counts_receipts(
    gateway: FakeGateway, tmp_path: Path
) -> None:
    async def all_of_them() -> set[str]:
        return set(gateway.orders)

    code, told = await in_demo(gateway, tmp_path, all_of_them)
    assert told["beside"]["receipts"] == told["outcomes"]["COMPLETED"]
    assert (code, told["beside"]["supplied"]["not_terminal"]) == (0, 0)


async def test_a_demo_in_which_a_receipt_is_missing_fails(gateway: FakeGateway, tmp_path: Path) -> None:
    async def none_of_them() -> set[str]:
        return set()

    code, told = await in_demo(gateway, tmp_path, none_of_them)
    assert (code, told["beside"]["receipts"]) == (1, 0)
