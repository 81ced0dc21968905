"""The whole network shown in one go: stock the shelves, replay the baskets, come to rest, audit, report."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.lab.demand.demand import Demand, StockItem, load_demand, stock_for
from autogrocery.lab.demand.supply import opening_stock
from autogrocery.lab.replay.deaths import deaths_since, length
from autogrocery.lab.replay.figures import Beside, Figures, count_figures, metrics_expected
from autogrocery.lab.replay.fleet import open_fleet
from autogrocery.lab.replay.journal import open_journal
from autogrocery.lab.replay.progress import show_progress
from autogrocery.lab.replay.quiet import asker, count_receipts, wait_quiet
from autogrocery.lab.replay.replay import look_again, replay
from autogrocery.lab.replay.report import print_report, write_json
from autogrocery.lab.replay.supplied import count_supplied, judge_restocks
from autogrocery.lab.replay.trucks import TruckLogin, driving
from autogrocery.lab.replay.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from autogrocery.client import Patience
    from autogrocery.lab.replay.quiet import Audit

QUIET_WITHIN_S: Final = 30.0


class Stage(Struct, frozen=True):
    """A running network, as a replay sees it. Without `internal_url` there is no audit, without `metrics_path` no metrics.

    `audit` asks for more than the gateway's own audit. `home` keeps the prepared baskets, the devices' secret and the journals; None keeps nothing.
    Without `trucks` nothing is brought. `receipts` returns the orders that have one, `robots_log` tells who died, and
    `count_stock` what lies on the shelves; what is not named is not looked for.
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


async def demo(
    stage_factory: Callable[[], AbstractAsyncContextManager[Stage]],
    load_stock: Callable[[Stage, list[StockItem]], Awaitable[None]],
    *,
    orders: int = 500,
    rate: float = 20.0,
    seed: int = 1,
    json_path: Path | None = None,
    patience: Patience | None = None,
    quiet_within_s: float = QUIET_WITHIN_S,
) -> int:
    """Start the network, fill it, replay `orders` baskets at `rate` a second, audit, report, stop the network.

    Returns 0, or 1 if an invariant is broken, an order is not terminal, a told answer proved untrue or a metric is missing.
    """
    async with stage_factory() as stage:
        demand = await asyncio.to_thread(load_demand, orders, seed, stage.home)
        await load_stock(stage, opening_stock(demand, seed) if stage.trucks else stock_for(demand))
        figures = await perform(stage, demand, rate=rate, seed=seed, patience=patience, quiet_within_s=quiet_within_s)
        return finish(figures, json_path)


async def perform(
    stage: Stage,
    demand: Demand,
    *,
    rate: float,
    seed: int = 1,
    patience: Patience | None = None,
    quiet_within_s: float = QUIET_WITHIN_S,
) -> Figures:
    """Replay the demand against a running network and count the figures; what `demo` and `replay` have in common."""
    run_name = uuid.uuid4().hex
    ask = stage.audit or (asker(stage.internal_url) if stage.internal_url is not None else None)
    journal_path = stage.home / "journals" / f"{run_name}.jsonl" if stage.home is not None else None
    households = [basket.household for basket in demand.baskets]
    log_start = length(stage.robots_log)
    opening_units = await stage.count_stock(demand) if stage.count_stock is not None else None
    with open_journal(journal_path) as journal:
        async with open_fleet(stage.public_url, households, journal, home=stage.home, patience=patience) as fleet:
            async with driving(stage.public_url, stage.trucks, demand, run_name, patience=patience) as trucks:
                with show_progress(len(demand.baskets)) as show:
                    run = await replay(
                        fleet,
                        demand,
                        rate,
                        seed=seed,
                        run_name=run_name,
                        show=show,
                        trucks=trucks if stage.trucks else None,
                    )
            supplied = count_supplied(trucks.deliveries, run.trips) if stage.trucks else None
            expected = metrics_expected(await look_again(fleet, run)) + (supplied.ended if supplied else 0)
            rest = await wait_quiet(ask, stage.metrics_path, expected, quiet_within_s)
            witnesses = await look_again(fleet, run)  # what was told before the audit must still be so after it
            broken = judge(journal.entries, run.trips, witnesses) + judge_restocks(trucks.told)
            return count_figures(
                demand,
                run,
                witnesses,
                rest,
                broken,
                devices=len(fleet),
                told=len(journal.entries) + len(trucks.told),
                durations_ms=fleet.timings.by_step_ms,
                must_audit=ask is not None,
                must_measure=stage.metrics_path is not None,
                beside=Beside(
                    supplied,
                    deaths_since(stage.robots_log, log_start),
                    await count_receipts(stage.receipts, witnesses, quiet_within_s),
                    opening_units,
                    await stage.count_stock(demand) if stage.count_stock is not None else None,
                ),
            )


def finish(figures: Figures, json_path: Path | None) -> int:
    """Print the figures, write them where they are wanted, and return the exit code."""
    print_report(figures)
    if json_path is not None:
        write_json(figures, json_path)
    return 0 if figures.ok else 1
