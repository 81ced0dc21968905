"""The checks of a `prove` run: each returns a violation for every promise that does not hold, naming the order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from autogrocery.client import TERMINAL
from autogrocery.lab.replay.checks import Violation, check_orders

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from autogrocery.lab.prove.figures import Metrics
    from autogrocery.lab.prove.measurements import Recovery
    from autogrocery.lab.prove.network import DatabaseTotals
    from autogrocery.lab.prove.record import Fault
    from autogrocery.lab.replay.fact_check import FactCheck
    from autogrocery.lab.replay.idle import Audit
    from autogrocery.lab.replay.journal import Entry
    from autogrocery.lab.replay.replay import FinalOrder, Trip
    from autogrocery.lab.replay.restock_figures import RestockFigures
    from autogrocery.lab.scenarios import ScenarioResult

MAX_NAMED: Final = 20


def contradicted_responses(
    entries: Sequence[Entry], trips: Sequence[Trip], final_orders: Sequence[FinalOrder]
) -> list[Violation]:
    """Return the 2xx responses that the final state of their orders contradicts."""
    return check_orders(entries, trips, final_orders)


def unfinished_orders(final_orders: Iterable[FinalOrder]) -> list[Violation]:
    """Return the orders that are not terminal."""
    return [
        Violation("every order ends", one.order_id, f"still {one.order.status}, dispatch {one.order.dispatch}")
        for one in final_orders
        if one.order is not None and one.order.status not in TERMINAL
    ]


def unfinished_deliveries(restocks: RestockFigures | None) -> list[Violation]:
    """Return the deliveries that are neither put away nor rejected."""
    if restocks is None or restocks.not_terminal == 0:
        return []
    detail = ", ".join(f"{outcome} {count}" for outcome, count in restocks.outcomes.items())
    return [Violation("every delivery is put away or rejected", "", f"{restocks.not_terminal} are not: {detail}")]


def violated_invariants(audit: Audit | None) -> list[Violation]:
    """Return the violated invariants of both databases, one violation for each order named by the audit."""
    if audit is None:
        return [Violation("the databases can be audited", "", "no answer")]
    violations = []
    for one in audit.invariants:
        named = [str(example) for example in one.examples] or [""]
        if one.violations:
            violations += [Violation(f"audit: {one.name}", name, f"{one.violations} in all") for name in named]
    return violations


def metric_mismatches(metrics: Metrics | None) -> list[Violation]:
    """Return a violation unless analytics has received every status change exactly once, and nothing else."""
    if metrics is None:
        return [Violation("analytics has every metric", "", "no answer from analytics")]
    if metrics.gaps_open or metrics.invalid or metrics.received != metrics.written:
        detail = f"{metrics.received} of {metrics.written}, {metrics.gaps_open} gaps open, {metrics.invalid} invalid"
        return [Violation("analytics has every metric", "", detail)]
    return []


def fact_mismatches(facts: FactCheck | None) -> list[Violation]:
    """Return a violation unless the stored facts are exactly the status changes in the database.

    Facts that are only counted, without the extra `analytics`, are judged by `metric_mismatches`.
    """
    if facts is None:
        return [Violation("facts are the history of the database", "", "no answer from analytics or the database")]
    if facts.facts is None or facts.exact:
        return []
    which = "the same" if facts.same_changes else "not the same"
    detail = f"{facts.facts} stored, {facts.counted} in figures, {facts.history} in the history, {which} changes"
    return [Violation("facts are the history of the database", "", detail)]


def receipt_mismatches(totals: DatabaseTotals | None, receipts: set[str]) -> list[Violation]:
    """Return completed orders without a receipt, and receipts of orders that are not completed."""
    if totals is None:
        return [Violation("the databases can be read", "", "no answer")]
    missing, unexpected = sorted(totals.receipts_owed - receipts), sorted(receipts - totals.receipts_owed)
    return [
        *(Violation("a completed order has its receipt", order_id, "no mail") for order_id in missing[:MAX_NAMED]),
        *(Violation("only completed orders have one", order_id, "a mail") for order_id in unexpected[:MAX_NAMED]),
    ]


def duplicate_orders(totals: DatabaseTotals | None, trips: Sequence[Trip]) -> list[Violation]:
    """Return the orders that no device received, if they are more than the baskets without an answer.

    One idempotency key makes one order at most.
    """
    known = {trip.order_id for trip in trips}
    unknown = sorted(totals.orders - known) if totals is not None else []
    if len(unknown) <= sum(trip.order_id is None for trip in trips):
        return []
    return [Violation("a basket is one order", order_id, "no device received it") for order_id in unknown[:MAX_NAMED]]


def unrecovered_processes(
    faults: Iterable[Fault], recovered: Iterable[Recovery], down: Iterable[str]
) -> list[Violation]:
    """Return the processes and links that did not recover, or recovered and did not work."""
    lines = [
        *(f"{name} is not running" for name in down),
        *(f"{one.target}, broken at {one.began_s:.1f} s, did not recover" for one in faults if one.ended_s is None),
        *(
            f"{one.target}: no {one.step} after {one.ended_s:.1f} s"
            for one in recovered
            if one.took_s is None and not one.overtaken
        ),
    ]
    return [Violation("every process comes back to work", "", line) for line in lines]


def failed_scenarios(scenarios: Iterable[ScenarioResult]) -> list[Violation]:
    """Return the violations of the scenarios; one that was not played to its end is a violation itself."""
    return [
        Violation(f"scenario {one.name}: {one.promise}", "", detail)
        for one in scenarios
        if not one.ok
        for detail in one.violations or [one.summary]
    ]
