"""The whole network shown in one go: stock the shelves, replay the baskets, come to rest, audit, report."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.sim.demand import Demand, StockItem, load_demand, stock_for
from autogrocery.sim.figures import Figures, count_figures, metrics_expected
from autogrocery.sim.fleet import open_fleet
from autogrocery.sim.journal import open_journal
from autogrocery.sim.progress import show_progress
from autogrocery.sim.quiet import asker, wait_quiet
from autogrocery.sim.replay import look_again, replay
from autogrocery.sim.report import print_report, write_json
from autogrocery.sim.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from autogrocery.client import Patience
    from autogrocery.sim.quiet import Audit

QUIET_WITHIN_S: Final = 30.0


class Stage(Struct, frozen=True):
    """A running network, as a replay sees it. Without `internal_url` there is no audit, without `metrics_path` no metrics.

    `audit` asks for more than the gateway's own audit. `home` keeps the prepared baskets, the devices' secret and the journals; None keeps nothing.
    """

    public_url: str
    internal_url: str | None = None
    metrics_path: Path | None = None
    home: Path | None = None
    audit: Callable[[], Awaitable[Audit | None]] | None = None


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
        await load_stock(stage, stock_for(demand))
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
    with open_journal(journal_path) as journal:
        async with open_fleet(stage.public_url, households, journal, home=stage.home, patience=patience) as fleet:
            with show_progress(len(demand.baskets)) as show:
                run = await replay(fleet, demand, rate, seed=seed, run_name=run_name, show=show)
            expected = metrics_expected(await look_again(fleet, run))
            rest = await wait_quiet(ask, stage.metrics_path, expected, quiet_within_s)
            witnesses = await look_again(fleet, run)  # what was told before the audit must still be so after it
            broken = judge(journal.entries, run.trips, witnesses)
            return count_figures(
                demand,
                run,
                witnesses,
                rest,
                broken,
                devices=len(fleet),
                told=len(journal.entries),
                durations_ms=fleet.timings.by_step_ms,
                must_audit=ask is not None,
                must_measure=stage.metrics_path is not None,
            )


def finish(figures: Figures, json_path: Path | None) -> int:
    """Print the figures, write them where they are wanted, and return the exit code."""
    print_report(figures)
    if json_path is not None:
        write_json(figures, json_path)
    return 0 if figures.ok else 1
