from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from autogrocery.client import RetryLimits
from autogrocery.lab.demand.baskets import Basket, Line
from autogrocery.lab.demand.demand import Demand, StockItem, load_demand
from autogrocery.lab.replay.checks import check_orders
from autogrocery.lab.replay.demo import ReplayTarget, demo, replay_and_check
from autogrocery.lab.replay.fleet import open_fleet
from autogrocery.lab.replay.journal import Journal, open_journal, read_journal
from autogrocery.lab.replay.progress import show_progress
from autogrocery.lab.replay.replay import Run, due_times_s, plan_of, read_final_orders, replay
from tests.harness.fake_gateway import FakeGateway, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

RATE = 300.0


def small_demand(orders: int) -> Demand:
    return load_demand(orders, 1, real=False)


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with serving(preview_ttl_s=1.0, pick_s=0.3) as fake:
        yield fake


async def play(gateway: FakeGateway, demand: Demand, journal: Journal, name: str = "run") -> tuple[Run, list[str]]:
    households = [basket.household for basket in demand.baskets]
    async with open_fleet(gateway.url, households, journal, retry_limits=RetryLimits(20, 5)) as fleet:
        run = await replay(fleet, demand, RATE, run_name=name)
        violations = check_orders(journal.entries, run.trips, await read_final_orders(fleet, run))
        return run, [f"{violation.promise}: {violation.detail}" for violation in violations]


async def test_every_order_ends_without_violation(gateway: FakeGateway) -> None:
    demand = small_demand(200)
    run, violations = await play(gateway, demand, Journal(None))
    outcomes = Counter(trip.outcome for trip in run.trips)
    plans = Counter(plan_of(1, number) for number in range(200))
    assert violations == []
    assert outcomes["EXPIRED"] == plans["abandon"] > 0
    assert outcomes["CANCELLED"] == plans["cancel the preview"] + plans["cancel the order"] > 0
    assert outcomes["COMPLETED"] == plans["buy"]
    assert len(gateway.devices) == 40
    assert len(gateway.orders) == 200


async def test_lost_and_late_answers_cause_no_violation(gateway: FakeGateway) -> None:
    for path in ("preview", "confirm"):
        gateway.fault_queue[f"/api/client/order/{path}"].extend(["lose", "busy 0", "drop", "too many"] * 5)
    gateway.fault_queue["/api/client/order/confirm"].extend(["doubt", "revoke"] * 5)
    gateway.fault_queue["/api/client/register"].extend(["lose", "busy 0"])
    run, violations = await play(gateway, small_demand(60), Journal(None))
    assert violations == []
    assert not any(trip.unanswered or trip.refused for trip in run.trips)
    assert len(gateway.orders) == 60


async def test_gateway_restart_causes_no_violation(gateway: FakeGateway) -> None:
    gateway.goal = 30
    playing = asyncio.create_task(play(gateway, small_demand(100), Journal(None)))
    async with asyncio.timeout(20):
        await gateway.goal_reached.wait()
        await gateway.stop()
        await asyncio.sleep(0.3)  # the outage itself
        await gateway.start()
        run, violations = await playing
    assert violations == []
    assert not any(trip.unanswered for trip in run.trips)


async def test_out_of_stock_is_an_outcome_not_an_error(gateway: FakeGateway) -> None:
    basket = Basket(1, 0.0, (Line("gone-milk", 1),))
    run, _ = await play(gateway, Demand("by hand", [], [basket]), Journal(None))
    assert [trip.outcome for trip in run.trips] == ["refused: insufficient_stock"]


async def test_second_run_uses_the_same_devices_for_new_orders(gateway: FakeGateway, tmp_path: Path) -> None:
    demand = small_demand(20)
    for _ in range(2):
        figures = await replay_and_check(ReplayTarget(gateway.url, home=tmp_path), demand, rate=RATE)
        assert figures.ok
    assert len(gateway.devices) == 4
    assert len(gateway.orders) == 40
    assert (tmp_path / "devices.secret").stat().st_mode & 0o777 == 0o600


async def test_journal_file_has_every_response(gateway: FakeGateway, tmp_path: Path) -> None:
    with open_journal(tmp_path / "j" / "run.jsonl") as journal:
        await play(gateway, small_demand(20), journal)
        assert read_journal(tmp_path / "j" / "run.jsonl") == journal.entries
    assert {entry.step for entry in journal.entries} >= {"preview", "confirm", "order"}


async def test_demo_returns_0_and_writes_its_figures(gateway: FakeGateway, tmp_path: Path) -> None:
    stocked: list[StockItem] = []
    (tmp_path / "metrics.json").write_text(json.dumps({"received": 10_000, "duration_ms": {"p50": 50.0}}))

    @asynccontextmanager
    async def target() -> AsyncIterator[ReplayTarget]:
        yield ReplayTarget(gateway.url, gateway.url, tmp_path / "metrics.json", tmp_path)

    async def load_stock(_stage: ReplayTarget, stock: list[StockItem]) -> None:
        stocked.extend(stock)

    code = await demo(target, load_stock, orders=30, rate=RATE, json_path=tmp_path / "out" / "demo.json")
    figures = json.loads((tmp_path / "out" / "demo.json").read_text())
    assert code == 0
    assert figures["ok"]
    assert sum(figures["outcomes"].values()) == 30
    assert figures["audit"]["clean"]
    assert figures["revenue_cents"] > 0
    assert {"register", "login", "preview", "confirm", "pick"} <= set(figures["steps"])
    assert {item.sku for item in stocked} >= {row["sku"] for order in gateway.orders.values() for row in order.items}


async def test_wrong_total_makes_the_demo_fail(gateway: FakeGateway, tmp_path: Path) -> None:
    gateway.overrides = {"total_cents": 1}
    figures = await replay_and_check(ReplayTarget(gateway.url, home=tmp_path), small_demand(5), rate=RATE)
    assert not figures.ok
    assert {violation.promise for violation in figures.violations} >= {"the total is what was picked"}


@pytest.mark.parametrize(
    "metrics",
    [
        '{"received": 10000, "gaps_open": 1}',
        '{"received": 3}',
        '{"received": 9999, "unique": 3}',
        '{"received": 9999, "invalid": 1}',
        "",
    ],
)
async def test_missing_metrics_make_the_demo_fail(gateway: FakeGateway, tmp_path: Path, metrics: str) -> None:
    (tmp_path / "metrics.json").write_text(metrics)
    target = ReplayTarget(gateway.url, metrics_path=tmp_path / "metrics.json", home=tmp_path)
    figures = await replay_and_check(target, small_demand(5), rate=RATE, idle_within_s=0.1)
    assert not figures.ok


async def test_unreachable_audit_makes_the_demo_fail(gateway: FakeGateway, tmp_path: Path) -> None:
    target = ReplayTarget(gateway.url, internal_url=f"{gateway.url}/nowhere", home=tmp_path)
    assert not (await replay_and_check(target, small_demand(5), rate=RATE, idle_within_s=0.1)).ok


def test_due_times_are_scaled_to_the_rate() -> None:
    demand = small_demand(100)
    due_s = due_times_s(demand, 20)
    assert due_s[0] == 0
    assert due_s[-1] == pytest.approx(100 / 20)
    assert due_s == sorted(due_s)
    with pytest.raises(ValueError, match="positive"):
        due_times_s(demand, 0)


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_pace_and_outcomes(*, terminal: bool) -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=terminal, width=120)
    with show_progress(3, console) as show:
        show(Counter({"COMPLETED": 2, "CANCELLED": 1}))
    assert "COMPLETED 2" in written.getvalue()
    assert "orders/s" in written.getvalue()


async def test_orders_that_are_not_returned_share_one_time_limit(gateway: FakeGateway) -> None:
    demand = small_demand(60)
    households = [basket.household for basket in demand.baskets]
    async with open_fleet(gateway.url, households, Journal(None), retry_limits=RetryLimits(20, 5)) as fleet:
        run = await replay(fleet, demand, RATE, run_name="run")
        returned = await read_final_orders(fleet, run)
        assert all(final_order.order is not None for final_order in returned)
        await gateway.stop()
        async with asyncio.timeout(10):
            missing = await read_final_orders(fleet, run, timeout_s=0.3)
    assert [final_order.order_id for final_order in missing] == [final_order.order_id for final_order in returned]
    assert [final_order.order for final_order in missing] == [None] * len(returned)
