"""The demo: stock the shelves, replay baskets, wait until the network is idle, audit, report."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.lab.demand.demand import Demand, StockItem, load_demand, stock_for
from autogrocery.lab.demand.supply import opening_stock
from autogrocery.lab.replay.checks import check_orders
from autogrocery.lab.replay.fact_check import wait_until_exact
from autogrocery.lab.replay.figures import Figures, OtherFigures, count_figures, metrics_expected
from autogrocery.lab.replay.fleet import open_fleet
from autogrocery.lab.replay.idle import count_receipts, gateway_auditor, wait_until_idle
from autogrocery.lab.replay.journal import open_journal
from autogrocery.lab.replay.kills import kill_during
from autogrocery.lab.replay.progress import show_progress
from autogrocery.lab.replay.replay import read_final_orders, replay
from autogrocery.lab.replay.report import print_report, write_json
from autogrocery.lab.replay.restock_figures import check_restocks, count_restocks
from autogrocery.lab.replay.robot_deaths import deaths_since, log_size
from autogrocery.lab.replay.trucks import TruckLogin, run_trucks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from autogrocery.client import RetryLimits
    from autogrocery.lab.replay.fact_check import FactCheck
    from autogrocery.lab.replay.fleet import Fleet
    from autogrocery.lab.replay.idle import Audit
    from autogrocery.lab.replay.kills import Kills
    from autogrocery.lab.replay.replay import Run
    from autogrocery.lab.replay.trucks import Trucks

IDLE_WITHIN_S: Final = 30.0


class ReplayTarget(Struct, frozen=True):
    """The running network that a replay uses. What is None is not checked.

    `internal_url` is asked for the gateway's audit, `audit` replaces that. `metrics_path` is the status file of
    analytics. `home` keeps the prepared baskets, the devices' secret and the journals; None keeps nothing. `trucks`
    bring restocks. `receipts` returns the ids of the orders that have a receipt, `robots_log` is searched for deaths,
    `count_stock` returns the units on the shelves, `check_facts` compares the facts of analytics with the history in
    the database. `kills` says which processes are killed meanwhile.
    """

    public_url: str
    internal_url: str | None = None
    metrics_path: Path | None = None
    home: Path | None = None
    audit: Callable[[], Awaitable[Audit | None]] | None = None
    trucks: tuple[TruckLogin, ...] = ()
    receipts: Callable[[], Awaitable[set[str]]] | None = None
    robots_log: Path | None = None
    count_stock: Callable[[Demand], Awaitable[int]] | None = None
    check_facts: Callable[[], Awaitable[FactCheck | None]] | None = None
    kills: Kills | None = None


async def demo(
    open_target: Callable[[], AbstractAsyncContextManager[ReplayTarget]],
    load_stock: Callable[[ReplayTarget, list[StockItem]], Awaitable[None]],
    *,
    orders: int = 500,
    rate: float = 20.0,
    seed: int = 1,
    json_path: Path | None = None,
    retry_limits: RetryLimits | None = None,
    idle_within_s: float = IDLE_WITHIN_S,
) -> int:
    """Open the network, stock it, replay `orders` baskets at `rate` a second, audit and report.

    Return 0; 1 if an invariant is violated, an order is not terminal, a response is contradicted, a metric is missing,
    or the stored facts are not exactly the status changes in the database.
    """
    async with open_target() as target:
        demand = await asyncio.to_thread(load_demand, orders, seed, target.home)
        await load_stock(target, opening_stock(demand, seed) if target.trucks else stock_for(demand))
        figures = await replay_and_check(
            target, demand, rate=rate, seed=seed, retry_limits=retry_limits, idle_within_s=idle_within_s
        )
        return finish(figures, json_path)


async def replay_and_check(
    target: ReplayTarget,
    demand: Demand,
    *,
    rate: float,
    seed: int = 1,
    retry_limits: RetryLimits | None = None,
    idle_within_s: float = IDLE_WITHIN_S,
) -> Figures:
    """Replay the demand against a running network and return the checked figures; for `demo` and `replay`."""
    run_name = uuid.uuid4().hex
    audit = target.audit or (gateway_auditor(target.internal_url) if target.internal_url is not None else None)
    journal_path = target.home / "journals" / f"{run_name}.jsonl" if target.home is not None else None
    households = [basket.household for basket in demand.baskets]
    log_start = log_size(target.robots_log)
    opening_units = await target.count_stock(demand) if target.count_stock is not None else None
    with open_journal(journal_path) as journal:
        async with open_fleet(
            target.public_url, households, journal, home=target.home, retry_limits=retry_limits
        ) as fleet:
            async with run_trucks(
                target.public_url, target.trucks, demand, run_name, retry_limits=retry_limits
            ) as trucks:
                run = await _replay_with_kills(target, fleet, demand, trucks, rate=rate, seed=seed, run_name=run_name)
            restocks = count_restocks(trucks.deliveries, run.trips) if target.trucks else None
            expected = metrics_expected(await read_final_orders(fleet, run)) + (restocks.ended if restocks else 0)
            idle_state = await wait_until_idle(audit, target.metrics_path, expected, idle_within_s)
            final_orders = await read_final_orders(
                fleet, run
            )  # read again: what was answered before the audit must still hold after it
            violations = check_orders(journal.entries, run.trips, final_orders) + check_restocks(trucks.responses)
            return count_figures(
                demand,
                run,
                final_orders,
                idle_state,
                violations,
                devices=len(fleet),
                responses=len(journal.entries) + len(trucks.responses),
                durations_ms=fleet.timings.by_step_ms,
                must_audit=audit is not None,
                must_measure=target.metrics_path is not None,
                must_compare=target.check_facts is not None,
                other=OtherFigures(
                    restocks,
                    deaths_since(target.robots_log, log_start),
                    await count_receipts(target.receipts, final_orders, idle_within_s),
                    opening_units,
                    await target.count_stock(demand) if target.count_stock is not None else None,
                    await wait_until_exact(target.check_facts, idle_within_s),
                    dict(target.kills.times) if target.kills is not None else {},
                ),
            )


async def _replay_with_kills(
    target: ReplayTarget, fleet: Fleet, demand: Demand, trucks: Trucks, *, rate: float, seed: int, run_name: str
) -> Run:
    """Replay the demand; meanwhile kill what the target says, and wait until each of them is back."""
    async with asyncio.TaskGroup() as group:
        if target.kills is not None:
            group.create_task(kill_during(target.kills, len(demand.baskets) / rate, seed))
        with show_progress(len(demand.baskets)) as show:
            return await replay(
                fleet,
                demand,
                rate,
                seed=seed,
                run_name=run_name,
                show=show,
                trucks=trucks if target.trucks else None,
            )


def finish(figures: Figures, json_path: Path | None) -> int:
    """Print the figures, write the JSON file if one is named, and return the exit code."""
    print_report(figures)
    if json_path is not None:
        write_json(figures, json_path)
    return 0 if figures.ok else 1
