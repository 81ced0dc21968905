"""Trucks restock what was sold and what was out of stock; customers return for it."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from autogrocery.client import RetryLimits
from autogrocery.lab.demand.baskets import Basket, Line, Product
from autogrocery.lab.demand.demand import Demand, StockItem
from autogrocery.lab.replay.demo import ReplayTarget, demo
from autogrocery.lab.replay.fleet import open_fleet
from autogrocery.lab.replay.journal import Journal
from autogrocery.lab.replay.replay import MAX_VISITS, Run, replay
from autogrocery.lab.replay.restock_figures import check_restocks, count_restocks
from autogrocery.lab.replay.trucks import TruckLogin, Trucks, run_trucks
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
    """Replay the demand with trucks, with short intervals."""
    households = [basket.household for basket in wanted.baskets]
    retry_limits = RetryLimits(2.0, 1.0)
    async with (
        open_fleet(gateway.url, households, Journal(None), retry_limits=retry_limits) as fleet,
        run_trucks(
            gateway.url, logins, wanted, "run", retry_limits=retry_limits, round_s=0.05, revisit_s=0.1
        ) as trucks,
    ):
        run = await replay(
            fleet, wanted, 100.0, run_name="run", plans=lambda _seed, _number: "buy", trucks=trucks if logins else None
        )
    return run, trucks


async def test_sold_units_are_restocked(gateway: FakeGateway) -> None:
    run, trucks = await play(gateway, demand((Line("milk", 3),), (Line("rye", 5),)))
    assert [trip.outcome for trip in run.trips] == ["COMPLETED"] * 2
    restocks = count_restocks(trucks.deliveries, run.trips)
    assert (restocks.not_terminal, restocks.returning_customers) == (0, 0)
    assert check_restocks(trucks.responses) == []


async def test_customer_who_finds_goods_out_of_stock_is_served_after_a_delivery(gateway: FakeGateway) -> None:
    run, trucks = await play(gateway, demand((Line("milk", 9),)))
    (trip,) = run.trips
    assert (trip.outcome, trip.visits > 1) == ("COMPLETED", True)
    restocks = count_restocks(trucks.deliveries, run.trips)
    assert (restocks.outcomes["RECEIVED"], restocks.returning_customers, restocks.returning_in_vain) == (
        len(trucks.deliveries),
        1,
        0,
    )
    assert restocks.announced == restocks.received >= 4


async def test_unknown_product_is_delivered(gateway: FakeGateway) -> None:
    gateway.stock = {"rye": 5}
    run, trucks = await play(gateway, demand((Line("milk", 2), Line("rye", 1))))
    assert run.trips[0].outcome == "COMPLETED"
    restocks = [one.restock for one in trucks.deliveries if one.restock is not None]
    assert ("milk", "Milk", "dairy", 4) in [
        (g.sku, g.name, g.aisle_type, g.quantity) for r in restocks for g in r.items
    ]


async def test_without_trucks_customers_do_not_return(gateway: FakeGateway) -> None:
    run, _ = await play(gateway, demand((Line("milk", 9),)), logins=[])
    assert (run.trips[0].outcome, run.trips[0].visits) == ("refused: insufficient_stock", 1)


async def test_customer_gives_up_after_max_visits_and_refused_deliveries_are_counted(gateway: FakeGateway) -> None:
    gateway.trucks.clear()
    run, trucks = await play(gateway, demand((Line("milk", 9),)))
    assert (run.trips[0].outcome, run.trips[0].visits) == ("refused: insufficient_stock", MAX_VISITS)
    restocks = count_restocks(trucks.deliveries, run.trips)
    assert restocks.returning_in_vain == 1
    assert restocks.outcomes == {"refused: invalid_credentials": restocks.deliveries}


async def test_unanswered_delivery_is_not_terminal(gateway: FakeGateway) -> None:
    gateway.fault_queue["/api/truck/restock"].extend(["drop"] * 200)
    run, trucks = await play(gateway, demand((Line("milk", 9),)))
    assert count_restocks(trucks.deliveries, run.trips).not_terminal >= 1


async def test_shortage_of_several_customers_is_restocked_once(gateway: FakeGateway) -> None:
    gateway.stock = {"milk": 0, "rye": 0}
    run, trucks = await play(gateway, demand(*[(Line("milk", 1),)] * 4))
    assert {trip.outcome for trip in run.trips} == {"COMPLETED"}
    restocks = [one.restock for one in trucks.deliveries if one.restock is not None]
    assert sum(line.quantity for restock in restocks for line in restock.items) <= 3 * 4


async def in_demo(gateway: FakeGateway, tmp_path: Path, receipts: Callable[[], Awaitable[set[str]]]) -> tuple[int, Any]:
    """Run a demo with half-full shelves; return its exit code and its figures."""
    target = ReplayTarget(gateway.url, None, None, None, trucks=tuple(LOGINS), receipts=receipts)

    @asynccontextmanager
    async def network() -> AsyncIterator[ReplayTarget]:
        yield target

    async def fill(_stage: ReplayTarget, items: list[StockItem]) -> None:
        gateway.stock = {item.sku: item.quantity for item in items}
        gateway.trucks = {login.device_id: login.password for login in LOGINS}

    path = tmp_path / "figures.json"
    code = await demo(
        network, fill, orders=6, rate=50.0, json_path=path, retry_limits=RetryLimits(20, 5), idle_within_s=0.2
    )
    return code, json.loads(path.read_text())


async def test_demo_with_trucks_opens_half_stocked_and_counts_receipts(gateway: FakeGateway, tmp_path: Path) -> None:
    async def all_of_them() -> set[str]:
        return set(gateway.orders)

    code, report = await in_demo(gateway, tmp_path, all_of_them)
    assert report["other"]["receipts"] == report["outcomes"]["COMPLETED"]
    assert (code, report["other"]["restocks"]["not_terminal"]) == (0, 0)


async def test_demo_with_a_missing_receipt_fails(gateway: FakeGateway, tmp_path: Path) -> None:
    async def none_of_them() -> set[str]:
        return set()

    code, report = await in_demo(gateway, tmp_path, none_of_them)
    assert (code, report["other"]["receipts"]) == (1, 0)
