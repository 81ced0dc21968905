"""The verdict: everything that has to hold once all is quiet, and in which order it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from autogrocery.client import TERMINAL
from autogrocery.lab.replay.verdict import Violation, judge

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from autogrocery.lab.prove.arithmetic import Recovery
    from autogrocery.lab.prove.figures import Metrics
    from autogrocery.lab.prove.network import Written
    from autogrocery.lab.prove.record import Fault
    from autogrocery.lab.replay.journal import Entry
    from autogrocery.lab.replay.quiet import Audit
    from autogrocery.lab.replay.replay import Trip, Witness
    from autogrocery.lab.replay.supplied import Supplied
    from autogrocery.lab.scenarios import Result

MOST_NAMED: Final = 20


def unkept_promises(entries: Sequence[Entry], trips: Sequence[Trip], witnesses: Sequence[Witness]) -> list[Violation]:
    """Return what clients were told and is not true."""
    return judge(entries, trips, witnesses)


def unended(witnesses: Iterable[Witness]) -> list[Violation]:
    """Return the orders that did not end."""
    return [
        Violation("every order ends", one.order_id, f"still {one.order.status}, dispatch {one.order.dispatch}")
        for one in witnesses
        if one.order is not None and one.order.status not in TERMINAL
    ]


def undelivered(supplied: Supplied | None) -> list[Violation]:
    """Return the deliveries that did not end."""
    if supplied is None or supplied.not_terminal == 0:
        return []
    told = ", ".join(f"{outcome} {count}" for outcome, count in supplied.outcomes.items())
    return [Violation("every delivery is put away or rejected", "", f"{supplied.not_terminal} are not: {told}")]


def unclean(audit: Audit | None) -> list[Violation]:
    """Return what the audit of both databases found, a violation for each order it names."""
    if audit is None:
        return [Violation("the databases can be audited", "", "no answer")]
    broken = []
    for one in audit.invariants:
        named = [str(example) for example in one.examples] or [""]
        if one.violations:
            broken += [Violation(f"audit: {one.name}", name, f"{one.violations} in all") for name in named]
    return broken


def unmeasured(metrics: Metrics | None) -> list[Violation]:
    """Return what is wrong with the metrics: every status change is received once, and nothing else."""
    if metrics is None:
        return [Violation("analytics has every metric", "", "analytics tells nothing")]
    if metrics.gaps_open or metrics.invalid or metrics.received != metrics.written:
        told = f"{metrics.received} of {metrics.written}, {metrics.gaps_open} gaps open, {metrics.invalid} invalid"
        return [Violation("analytics has every metric", "", told)]
    return []


def unmailed(written: Written | None, receipts: set[str]) -> list[Violation]:
    """Return the completed orders without their receipt, and receipts for what was not completed."""
    if written is None:
        return [Violation("the databases can be read", "", "no answer")]
    missing, strange = sorted(written.receipts_owed - receipts), sorted(receipts - written.receipts_owed)
    return [
        *(Violation("a completed order has its receipt", order_id, "no mail") for order_id in missing[:MOST_NAMED]),
        *(Violation("only completed orders have one", order_id, "a mail") for order_id in strange[:MOST_NAMED]),
    ]


def doubled(written: Written | None, trips: Sequence[Trip]) -> list[Violation]:
    """Return the orders that no shopper was told of, where there are more than baskets without an answer: one key, one order."""
    known = {trip.order_id for trip in trips}
    unknown = sorted(written.orders - known) if written is not None else []
    if len(unknown) <= sum(trip.order_id is None for trip in trips):
        return []
    return [Violation("a basket is one order", order_id, "nobody was told of it") for order_id in unknown[:MOST_NAMED]]


def unrecovered(faults: Iterable[Fault], recovered: Iterable[Recovery], down: Iterable[str]) -> list[Violation]:
    """Return what never came back, or came back and did not work."""
    told = [
        *(f"{name} is not up" for name in down),
        *(
            f"{one.target}, struck at {one.began_s:.1f} s, was never itself again"
            for one in faults
            if one.ended_s is None
        ),
        *(
            f"{one.target}: no {one.step} after {one.ended_s:.1f} s"
            for one in recovered
            if one.took_s is None and not one.overtaken
        ),
    ]
    return [Violation("every process comes back to work", "", line) for line in told]


def failed_scenarios(scenarios: Iterable[Result]) -> list[Violation]:
    """Return what scenarios found broken; one that was not played to its end has proven nothing."""
    return [
        Violation(f"scenario {one.name}: {one.promise}", "", told)
        for one in scenarios
        if not one.ok
        for told in one.violations or [one.told]
    ]
