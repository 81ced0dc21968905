"""Check a run: from everything recorded to violations and figures, with no further call to the network."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.lab.prove import checks
from autogrocery.lab.prove.figures import Figures, Metrics, Orders, count_gets
from autogrocery.lab.prove.measurements import by_second, recoveries
from autogrocery.lab.replay.restock_figures import check_restocks

if TYPE_CHECKING:
    from autogrocery.client import RestockResponse
    from autogrocery.lab.prove.network import DatabaseTotals
    from autogrocery.lab.prove.options import ProveOptions
    from autogrocery.lab.prove.record import Record
    from autogrocery.lab.replay.fact_check import FactCheck
    from autogrocery.lab.replay.idle import IdleState
    from autogrocery.lab.replay.journal import Entry
    from autogrocery.lab.replay.replay import FinalOrder, Run
    from autogrocery.lab.replay.restock_figures import RestockFigures
    from autogrocery.lab.scenarios import ScenarioResult


class RunOutcome(Struct, frozen=True):
    """Everything known at the end of a run.

    `entries` are the journalled responses, `down` the processes that did not come up, `idle_state`, `database_totals`,
    `receipts` and `facts` the network's final state, `restocks` and `restock_responses` what the trucks did and were
    answered.
    """

    run: Run
    entries: list[Entry]
    down: list[str]
    restarts: dict[str, int]
    idle_state: IdleState
    database_totals: DatabaseTotals | None
    receipts: set[str]
    final_orders: list[FinalOrder]
    restocks: RestockFigures | None = None
    restock_responses: list[RestockResponse] = []
    facts: FactCheck | None = None


def check_run(
    options: ProveOptions,
    source: str,
    scenarios: list[ScenarioResult],
    record: Record,
    outcome: RunOutcome,
    began_at: datetime,
    home: str,
) -> Figures:
    """Check the outcome and count; `source` names the baskets, `home` is where the network left its files."""
    _record_steps(record, outcome.entries)
    duration_s, metrics = outcome.run.took_s, count_metrics(outcome.idle_state, outcome.database_totals)
    recovered = recoveries(record.faults, record.successes)
    contradicted = checks.contradicted_responses(outcome.entries, outcome.run.trips, outcome.final_orders)
    violations = [
        *checks.failed_scenarios(scenarios),
        *contradicted,
        *checks.unfinished_orders(outcome.final_orders),
        *checks.unfinished_deliveries(outcome.restocks),
        *check_restocks(outcome.restock_responses),
        *checks.violated_invariants(outcome.idle_state.audit),
        *checks.metric_mismatches(metrics),
        *checks.fact_mismatches(outcome.facts),
        *checks.duplicate_orders(outcome.database_totals, outcome.run.trips),
        *checks.receipt_mismatches(outcome.database_totals, outcome.receipts),
        *checks.unrecovered_processes(record.faults, recovered, outcome.down),
    ]
    return Figures(
        ok=not violations,
        seed=options.seed,
        minutes=options.minutes,
        began_at=began_at.isoformat(timespec="seconds"),
        took_s=round((datetime.now(UTC) - began_at).total_seconds(), 1),
        duration_s=round(duration_s, 1),
        source=source,
        faults=record.faults,
        restarts=outcome.restarts,
        recovered=recovered,
        orders=_count_orders(outcome, record, duration_s),
        gets=count_gets(record, duration_s),
        failed_probes_s=[round(probe.at_s, 2) for probe in record.balancer_probes if not probe.ok],
        scenarios=scenarios,
        invariants=outcome.idle_state.audit.invariants if outcome.idle_state.audit is not None else [],
        metrics=metrics,
        facts=outcome.facts,
        receipts=len(outcome.receipts),
        restocks=outcome.restocks,
        lost_acknowledgements=len(contradicted),
        violations=violations,
        home=home,
    )


def _record_steps(record: Record, entries: list[Entry]) -> None:
    """Record the devices' successes: preview and confirm when answered definitely, completion when the order ended."""
    completed = {entry.order_id: entry.finished_at for entry in entries if entry.status == "COMPLETED"}
    for entry in entries:
        if entry.step == "preview" or (entry.step == "confirm" and entry.status in ("PROCESSING", "COMPLETED")):
            record.succeed(entry.step, entry.at.timestamp() - record.started_wall_s)
    for finished_at in completed.values():
        if finished_at is not None:
            record.succeed("complete", finished_at.timestamp() - record.started_wall_s)


def _count_orders(outcome: RunOutcome, record: Record, duration_s: float) -> Orders:
    outcomes = Counter(trip.outcome for trip in outcome.run.trips)
    answered_s = [entry.at.timestamp() - record.started_wall_s for entry in outcome.entries]
    return Orders(
        outcomes=dict(sorted(outcomes.items())),
        responses=len(answered_s),
        unanswered=sum(trip.unanswered is not None for trip in outcome.run.trips),
        per_s=round(len(outcome.run.trips) / max(duration_s, 0.001), 2),
        ended_by_second=by_second(record.successes.get("complete", ()), duration_s),
        responses_by_second=by_second(answered_s, duration_s),
    )


def count_metrics(idle_state: IdleState, totals: DatabaseTotals | None) -> Metrics | None:
    """Return the status changes counted by the database and by analytics; None if either did not answer."""
    if idle_state.metrics is None or totals is None:
        return None
    return Metrics(totals.changes, idle_state.metrics.changes, idle_state.metrics.gaps_open, idle_state.metrics.invalid)
