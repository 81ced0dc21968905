"""The whole proof: disasters under load, then rest, and the verdict."""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from autogrocery.lab.demand.demand import Demand
from autogrocery.lab.prove import judgement
from autogrocery.lab.prove.conclude import Outcome, conclude, count_metrics
from autogrocery.lab.prove.disasters import heal, wreak
from autogrocery.lab.prove.load import PATIENCE, probing, restless, shared_out, thinking
from autogrocery.lab.prove.record import Record
from autogrocery.lab.prove.schedule import DATABASE, PROCESSES, schedule
from autogrocery.lab.prove.words import said
from autogrocery.lab.replay.fleet import open_fleet
from autogrocery.lab.replay.journal import open_journal
from autogrocery.lab.replay.quiet import wait_quiet
from autogrocery.lab.replay.replay import Run, look_again, replay
from autogrocery.lab.replay.supplied import count_supplied
from autogrocery.lab.replay.trucks import driving

if TYPE_CHECKING:
    from autogrocery.lab.prove.figures import Figures
    from autogrocery.lab.prove.live import Live
    from autogrocery.lab.prove.network import Network, Written
    from autogrocery.lab.prove.wish import Wish
    from autogrocery.lab.replay.fleet import Fleet
    from autogrocery.lab.replay.journal import Entry
    from autogrocery.lab.replay.quiet import Rest
    from autogrocery.lab.replay.trucks import Trucks
    from autogrocery.lab.scenarios import Result

HEAL_WITHIN_S: Final = 60.0
QUIET_WITHIN_S: Final = 120.0  # a webhook that was refused often is sent again after a minute
SETTLE_EVERY_S: Final = 0.5
LAST_ORDERS: Final = 5
LAST_ORDERS_PER_S: Final = 10.0
TICK_S: Final = 0.25


async def prove(network: Network, demand: Demand, wish: Wish, scenarios: list[Result], live: Live) -> Figures:
    """Break the network for as long as wished, let it come to rest, and tell what was found.

    Never raises for what the network does: that it does not come back is a finding, too.
    """
    began_at, run_name, demand = datetime.now(UTC), uuid.uuid4().hex, shared_out(demand)
    with open_journal(network.home / "journals" / f"{run_name}.jsonl") as journal:
        households = [basket.household for basket in demand.baskets]
        async with open_fleet(network.public_url, households, journal, home=network.home, patience=PATIENCE) as fleet:
            await fleet.enrol()  # else nobody shops while the machine is busy with hashes
            live.say(f"{len(fleet)} devices are registered and logged in; now everything breaks")
            async with probing(network, (record := Record()), run_name):
                ticking = asyncio.create_task(_tick(live, wish, record, journal.entries))
                try:
                    run, down, trucks = await _under_fire(network, fleet, demand, wish, run_name, record, live)
                finally:
                    ticking.cancel()
            live.say("the last order has ended; waiting until all is quiet")
            rest, written, receipts = await _come_to_rest(network, fleet, run, live)
            witnesses = await look_again(fleet, run)
    live.say("quiet: judged, and stopped")
    restarts = {name: network.times_restarted(name) for name in (*PROCESSES, DATABASE)}
    supplied = count_supplied(trucks.deliveries, run.trips)
    outcome = Outcome(run, journal.entries, down, restarts, rest, written, receipts, witnesses, supplied, trucks.told)
    return conclude(wish, demand.source, scenarios, record, outcome, began_at, str(network.home))


async def _under_fire(
    network: Network, fleet: Fleet, demand: Demand, wish: Wish, run_name: str, record: Record, live: Live
) -> tuple[Run, list[str], Trucks]:
    """Shop and restock while everything breaks, heal, and shop a little more: it has to work again."""
    events = schedule(wish.seed, wish.disasters_s)
    async with (
        driving(network.public_url, network.trucks, demand, run_name, patience=PATIENCE) as trucks,
        asyncio.TaskGroup() as group,
    ):
        shopping = group.create_task(
            replay(
                fleet,
                demand,
                wish.rate,
                seed=wish.seed,
                run_name=run_name,
                show=live.shopped,
                plans=restless,
                thinks_s=thinking,
                trucks=trucks,
            )
        )
        await wreak(network, record, events, live.struck)
        down = await heal(network, HEAL_WITHIN_S)
        live.say("the weather is calm, every process is up; the orders go on to their end")
        last = Demand(demand.source, demand.products, demand.baskets[:LAST_ORDERS])
        more = await replay(
            fleet,
            last,
            LAST_ORDERS_PER_S,
            run_name=f"{run_name}-last",
            plans=lambda _seed, _number: "buy",
            trucks=trucks,
        )
    return Run([*shopping.result().trips, *more.trips], record.now_s()), down, trucks


async def _come_to_rest(network: Network, fleet: Fleet, run: Run, live: Live) -> tuple[Rest, Written | None, set[str]]:
    """Wait until the audit is clean, and every metric and receipt is where it belongs; else tell the last look."""
    ends_at = time.monotonic() + QUIET_WITHIN_S
    while True:
        witnesses = await look_again(fleet, run)
        expected = sum(len(witness.events) for witness in witnesses)
        rest = await wait_quiet(network.audit, network.metrics_path, expected, ends_at - time.monotonic())
        written = await network.written()
        receipts = await asyncio.to_thread(network.receipts)
        unquiet = (
            judgement.unclean(rest.audit)
            or judgement.unmeasured(count_metrics(rest, written))
            or judgement.unmailed(written, receipts)
            or judgement.unended(witnesses)
        )
        if not unquiet or time.monotonic() >= ends_at:
            return rest, written, receipts
        live.waiting(f"not quiet yet: {len(unquiet)}, first {said(unquiet[0])}")
        await asyncio.sleep(SETTLE_EVERY_S)


async def _tick(live: Live, wish: Wish, record: Record, entries: list[Entry]) -> None:
    while True:
        live.tick(wish.disasters_s - record.now_s(), record, len(entries))
        await asyncio.sleep(TICK_S)
