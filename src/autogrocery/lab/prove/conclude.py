"""From everything that was seen to the verdict and the figures. Nothing is asked of the network any more."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.lab.prove import judgement
from autogrocery.lab.prove.arithmetic import by_second, recoveries
from autogrocery.lab.prove.figures import Figures, Metrics, Orders, count_gets
from autogrocery.lab.replay.supplied import judge_restocks

if TYPE_CHECKING:
    from autogrocery.client import ToldRestock
    from autogrocery.lab.prove.network import Written
    from autogrocery.lab.prove.record import Record
    from autogrocery.lab.prove.wish import Wish
    from autogrocery.lab.replay.journal import Entry
    from autogrocery.lab.replay.quiet import Rest
    from autogrocery.lab.replay.replay import Run, Witness
    from autogrocery.lab.replay.supplied import Supplied
    from autogrocery.lab.scenarios import Result


class Outcome(Struct, frozen=True):
    """What is known in the end: the shopping, what was told meanwhile, what did not come up, how all stood at rest, what trucks did."""

    run: Run
    entries: list[Entry]
    down: list[str]
    restarts: dict[str, int]
    rest: Rest
    written: Written | None
    receipts: set[str]
    witnesses: list[Witness]
    supplied: Supplied | None = None
    told_trucks: list[ToldRestock] = []


def conclude(
    wish: Wish, source: str, scenarios: list[Result], record: Record, outcome: Outcome, began_at: datetime, home: str
) -> Figures:
    """Judge the outcome and count; `source` is where the baskets come from, `home` where the network left its files."""
    _note_steps(record, outcome.entries)
    lasts_s, metrics = outcome.run.took_s, count_metrics(outcome.rest, outcome.written)
    recovered = recoveries(record.faults, record.successes)
    unkept = judgement.unkept_promises(outcome.entries, outcome.run.trips, outcome.witnesses)
    violations = [
        *judgement.failed_scenarios(scenarios),
        *unkept,
        *judgement.unended(outcome.witnesses),
        *judgement.undelivered(outcome.supplied),
        *judge_restocks(outcome.told_trucks),
        *judgement.unclean(outcome.rest.audit),
        *judgement.unmeasured(metrics),
        *judgement.doubled(outcome.written, outcome.run.trips),
        *judgement.unmailed(outcome.written, outcome.receipts),
        *judgement.unrecovered(record.faults, recovered, outcome.down),
    ]
    return Figures(
        ok=not violations,
        seed=wish.seed,
        minutes=wish.minutes,
        began_at=began_at.isoformat(timespec="seconds"),
        took_s=round((datetime.now(UTC) - began_at).total_seconds(), 1),
        lasts_s=round(lasts_s, 1),
        source=source,
        faults=record.faults,
        restarts=outcome.restarts,
        recovered=recovered,
        orders=_orders(outcome, record, lasts_s),
        gets=count_gets(record, lasts_s),
        failed_looks_s=[round(look.at_s, 2) for look in record.balanced if not look.ok],
        scenarios=scenarios,
        invariants=outcome.rest.audit.invariants if outcome.rest.audit is not None else [],
        metrics=metrics,
        receipts=len(outcome.receipts),
        supplied=outcome.supplied,
        lost_acknowledgements=len(unkept),
        violations=violations,
        home=home,
    )


def _note_steps(record: Record, entries: list[Entry]) -> None:
    """Enter what the shoppers achieved: a step counts when its clear answer came, a completion when the order ended."""
    completed = {entry.order_id: entry.finished_at for entry in entries if entry.status == "COMPLETED"}
    for entry in entries:
        if entry.step == "preview" or (entry.step == "confirm" and entry.status in ("PROCESSING", "COMPLETED")):
            record.succeed(entry.step, entry.at.timestamp() - record.started_wall_s)
    for finished_at in completed.values():
        if finished_at is not None:
            record.succeed("complete", finished_at.timestamp() - record.started_wall_s)


def _orders(outcome: Outcome, record: Record, lasts_s: float) -> Orders:
    outcomes = Counter(trip.outcome for trip in outcome.run.trips)
    told = [entry.at.timestamp() - record.started_wall_s for entry in outcome.entries]
    return Orders(
        outcomes=dict(sorted(outcomes.items())),
        told=len(told),
        unanswered=sum(trip.unanswered is not None for trip in outcome.run.trips),
        per_s=round(len(outcome.run.trips) / max(lasts_s, 0.001), 2),
        ended_by_second=by_second(record.successes.get("complete", ()), lasts_s),
        told_by_second=by_second(told, lasts_s),
    )


def count_metrics(rest: Rest, written: Written | None) -> Metrics | None:
    """Hold what analytics has against what is written; None if either is silent."""
    if rest.metrics is None or written is None:
        return None
    return Metrics(written.changes, rest.metrics.changes, rest.metrics.gaps_open, rest.metrics.invalid)
