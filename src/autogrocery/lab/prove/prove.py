"""A whole `prove` run: faults under load, recovery, then the checks."""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.lab.demand.demand import Demand
from autogrocery.lab.prove import checks
from autogrocery.lab.prove.check_run import RunOutcome, check_run, count_metrics
from autogrocery.lab.prove.fault_injection import end_faults, inject_faults
from autogrocery.lab.prove.formatting import format_violation
from autogrocery.lab.prove.load import RETRY_LIMITS, choose_plan, limit_devices, probe_network, think_time_s
from autogrocery.lab.prove.record import Record
from autogrocery.lab.prove.schedule import DATABASE, PROCESSES, schedule
from autogrocery.lab.replay.fleet import open_fleet
from autogrocery.lab.replay.idle import wait_until_idle
from autogrocery.lab.replay.journal import open_journal
from autogrocery.lab.replay.replay import Run, read_final_orders, replay
from autogrocery.lab.replay.restock_figures import count_restocks
from autogrocery.lab.replay.trucks import run_trucks

if TYPE_CHECKING:
    from autogrocery.lab.prove.figures import Figures
    from autogrocery.lab.prove.network import DatabaseTotals, Network
    from autogrocery.lab.prove.options import ProveOptions
    from autogrocery.lab.prove.progress import LiveStatus
    from autogrocery.lab.replay.fact_check import FactCheck
    from autogrocery.lab.replay.fleet import Fleet
    from autogrocery.lab.replay.idle import IdleState
    from autogrocery.lab.replay.journal import Entry
    from autogrocery.lab.replay.trucks import Trucks
    from autogrocery.lab.scenarios import ScenarioResult

RECOVERY_TIMEOUT_S: Final = 60.0
IDLE_WITHIN_S: Final = 120.0  # a webhook that was refused several times is sent again after a minute
IDLE_POLL_S: Final = 0.5
LAST_ORDERS: Final = 5
LAST_ORDERS_PER_S: Final = 10.0
UPDATE_S: Final = 0.25


class _Load(Struct, frozen=True):
    """What the load and the faults left: the replay, the processes that are still down, the trucks."""

    run: Run
    down: list[str]
    trucks: Trucks


class _FinalState(Struct, frozen=True):
    """The network after the run: audit and metrics, totals of its database, orders with a receipt, facts."""

    idle_state: IdleState
    database_totals: DatabaseTotals | None
    receipts: set[str]
    facts: FactCheck | None


async def prove(
    network: Network, demand: Demand, options: ProveOptions, scenarios: list[ScenarioResult], live: LiveStatus
) -> Figures:
    """Inject faults under load, end them, wait until the network is idle, and return the checked figures.

    Never raises for what the network does: a network that does not recover is a violation.
    """
    began_at, run_name, demand = datetime.now(UTC), uuid.uuid4().hex, limit_devices(demand)
    with open_journal(network.home / "journals" / f"{run_name}.jsonl") as journal:
        households = [basket.household for basket in demand.baskets]
        async with open_fleet(
            network.public_url, households, journal, home=network.home, retry_limits=RETRY_LIMITS
        ) as fleet:
            await fleet.enrol()  # before the faults: password hashing would keep the machine too busy for orders
            live.print_line(f"{len(fleet)} devices are registered and logged in; faults begin")
            async with probe_network(network, (record := Record()), run_name):
                updating = asyncio.create_task(_update_live(live, options, record, journal.entries))
                try:
                    load = await _run_with_faults(network, fleet, demand, options, run_name, record, live)
                finally:
                    updating.cancel()
            live.print_line("the last order has ended; waiting until the network is idle")
            final = await _wait_for_final_state(network, fleet, load.run, live)
            final_orders = await read_final_orders(fleet, load.run)
    live.print_line("the network is idle; checking the run")
    outcome = RunOutcome(
        run=load.run,
        entries=journal.entries,
        down=load.down,
        restarts={name: network.times_restarted(name) for name in (*PROCESSES, DATABASE)},
        idle_state=final.idle_state,
        database_totals=final.database_totals,
        receipts=final.receipts,
        facts=final.facts,
        final_orders=final_orders,
        restocks=count_restocks(load.trucks.deliveries, load.run.trips),
        restock_responses=load.trucks.responses,
    )
    return check_run(options, demand.source, scenarios, record, outcome, began_at, str(network.home))


async def _run_with_faults(
    network: Network,
    fleet: Fleet,
    demand: Demand,
    options: ProveOptions,
    run_name: str,
    record: Record,
    live: LiveStatus,
) -> _Load:
    """Send orders and restocks while faults are injected, end the faults, then send a few more orders."""
    scheduled_faults = schedule(options.seed, options.fault_phase_s)
    async with (
        run_trucks(network.public_url, network.trucks, demand, run_name, retry_limits=RETRY_LIMITS) as trucks,
        asyncio.TaskGroup() as group,
    ):
        replaying = group.create_task(
            replay(
                fleet,
                demand,
                options.rate,
                seed=options.seed,
                run_name=run_name,
                show=live.set_outcomes,
                plans=choose_plan,
                think_time_s=think_time_s,
                trucks=trucks,
            )
        )
        await inject_faults(network, record, scheduled_faults, live.print_fault)
        down = await end_faults(network, RECOVERY_TIMEOUT_S)
        live.print_line("all faults have ended, every process is up; the remaining orders run to their end")
        last = Demand(demand.source, demand.products, demand.baskets[:LAST_ORDERS])
        more = await replay(
            fleet,
            last,
            LAST_ORDERS_PER_S,
            run_name=f"{run_name}-last",
            plans=lambda _seed, _number: "buy",
            trucks=trucks,
        )
    return _Load(Run([*replaying.result().trips, *more.trips], record.now_s()), down, trucks)


async def _wait_for_final_state(network: Network, fleet: Fleet, run: Run, live: LiveStatus) -> _FinalState:
    """Wait until the audit is clean and every metric and receipt has arrived; return the last state read."""
    ends_at = time.monotonic() + IDLE_WITHIN_S
    while True:
        final_orders = await read_final_orders(fleet, run)
        expected = sum(len(final_order.events) for final_order in final_orders)
        idle_state = await wait_until_idle(network.audit, network.metrics_path, expected, ends_at - time.monotonic())
        totals = await network.database_totals()
        receipts = await asyncio.to_thread(network.receipts)
        facts = await network.check_facts()
        pending = (
            checks.violated_invariants(idle_state.audit)
            or checks.metric_mismatches(count_metrics(idle_state, totals))
            or checks.fact_mismatches(facts)
            or checks.receipt_mismatches(totals, receipts)
            or checks.unfinished_orders(final_orders)
        )
        if not pending or time.monotonic() >= ends_at:
            return _FinalState(idle_state, totals, receipts, facts)
        live.show_status(f"not idle yet: {len(pending)} checks pending, first {format_violation(pending[0])}")
        await asyncio.sleep(IDLE_POLL_S)


async def _update_live(live: LiveStatus, options: ProveOptions, record: Record, entries: list[Entry]) -> None:
    while True:
        live.update(options.fault_phase_s - record.now_s(), record, len(entries))
        await asyncio.sleep(UPDATE_S)
