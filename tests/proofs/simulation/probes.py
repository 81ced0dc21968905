"""Situations that a few hundred runs must meet to prove anything, recognised in the trace and the rows."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from tests.proofs.simulation.network import CallOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.proofs.simulation.network import Event
    from tests.proofs.simulation.world import World

Seen = list[tuple[str, str]]  # events of one order and their results, in order
LOST_AFTER = f", {CallOutcome.UNANSWERED}"


def probes_hit(world: World) -> set[str]:
    """Return the names of the probes that this run has met."""
    by_order: dict[str, list[Event]] = {}
    for event in world.trace.events:
        if event.order:
            by_order.setdefault(event.order, []).append(event)
    found = {name for events in by_order.values() for name, probe in PROBES.items() if probe(events)}
    return found | {name for name, probe in OF_ROWS.items() if any(True for _ in probe(world))}


def _happened(events: Sequence[Event], what: str, result: str = "") -> bool:
    return any(event.what == what and event.result.startswith(result) for event in events)


def _index(events: Sequence[Event], what: str, result: str = "") -> int | None:
    return next((i for i, event in enumerate(events) if event.what == what and event.result.startswith(result)), None)


def _in_order(events: Sequence[Event], *steps: tuple[str, str]) -> bool:
    """Whether these events occurred in this order, with any others between."""
    rest = iter(events)
    return all(any(event.what == what and event.result.startswith(result) for event in rest) for what, result in steps)


def _two_at_once(events: Sequence[Event]) -> bool:
    asked = [event.at for event in events if event.what == "confirm"]
    return any(first == second for first, second in pairwise(asked))


def _unanswered(events: Sequence[Event], what: str) -> bool:
    return any(event.what == what and event.result.endswith(LOST_AFTER) for event in events)


def _ends_with(events: Sequence[Event], what: str, end: str) -> bool:
    return any(event.what == what and event.result.endswith(end) for event in events)


def _replayed_after_a_crash(events: Sequence[Event]) -> bool:
    makers = [event.who for event in events if event.what == "orders.add" and event.result.startswith("1 rows")]
    replay = _index(events, "answered preview", "replayed")
    if not makers or replay is None:
        return False
    return any(event.what == "unanswered preview" and event.result == "SimulatedDeath" for event in events[:replay])


def _late_assign(events: Sequence[Event]) -> bool:
    assigned = _index(events, "inventory.assign", "late: ")
    refused = _index(events, "inventory.release")
    return assigned is not None and refused is not None


def _repeated_webhook(events: Sequence[Event]) -> bool:
    taken = [event for event in events if event.what.startswith("webhook") and event.result.startswith("applied False")]
    return len(taken) > 0


def _finished_from_previewed(events: Sequence[Event]) -> bool:
    """Whether a finish moved the order past PROCESSING: no statement before it had dispatched it."""
    finished = _index(events, "orders.finish", "1 rows")
    moves = {"orders.mark_dispatched", "orders.mark_unreleasable"}
    return finished is not None and not any(e.what in moves and e.result.startswith("1") for e in events[:finished])


def _outlived(events: Sequence[Event]) -> bool:
    promised = _index(events, "orders.promise_dispatch", "1")
    if promised is None:
        return False
    return any(e.what == "log.order_dispatched" and e.at > events[promised].at + 35.0 for e in events[promised:])


PROBES: dict[str, Callable[[Sequence[Event]], bool]] = {
    "confirm answered 202": lambda e: _happened(e, "answered confirm", "202"),
    "confirm answered 200 after a 202": lambda e: _in_order(
        e, ("answered confirm", "202"), ("answered confirm", "200")
    ),
    "cancel answered 202": lambda e: _happened(e, "answered cancel", "202"),
    "a release met ALREADY_ASSIGNED": lambda e: _happened(e, "inventory.release", "False"),
    "an expiry met ALREADY_ASSIGNED": lambda e: _in_order(
        e, ("orders.promise_release_idle", "1"), ("inventory.release", "False"), ("log.release_overtaken", "")
    ),
    "sweeper dispatched a promise": lambda e: _in_order(
        e, ("orders.promise_dispatch", "1 rows"), ("log.order_dispatched", "")
    ),
    "a cancel took back a promise": lambda e: _in_order(
        e,
        ("orders.promise_dispatch", "1 rows"),
        ("orders.promise_release", "1 rows"),
        ("orders.mark_released", "1 rows"),
    ),
    "webhook before the confirm's commit": _finished_from_previewed,
    "webhook about an idle order, which inventory confirmed": lambda e: (
        _finished_from_previewed(e)
        and _in_order(e, ("orders.finish", "0 rows"), ("inventory.get", ""), ("orders.finish", "1 rows"))
    ),
    "a false webhook was refused": lambda e: _happened(e, "webhook picked", "not_dispatched"),
    "a webhook came twice": _repeated_webhook,
    "a webhook id came with another body": lambda e: _happened(e, "webhook nothing picked", "webhook_differs"),
    "an order failed with nothing picked": lambda e: _happened(e, "log.order_finished", "status=FAILED"),
    "an order was picked in part": lambda e: _happened(e, "log.order_finished", "status=COMPLETED outcome=PARTIAL"),
    "expiry lost against a dispatch": lambda e: _in_order(
        e, ("orders.mark_dispatched", "1 rows"), ("orders.promise_release_idle", "0")
    ),
    "dispatch lost against an expiry": lambda e: _in_order(
        e, ("orders.promise_release_idle", "1"), ("orders.mark_dispatched", "0")
    ),
    "confirm came too late": lambda e: _happened(e, "refused confirm", "hold_expired"),
    "robots refused": lambda e: _happened(e, "refused confirm", "no_robots"),
    "reconciler completed": lambda e: _happened(e, "log.order_reconciled", "state=completed"),
    "cancel of PROCESSING withdrew the robots": lambda e: _in_order(
        e, ("orders.mark_dispatched", "1"), ("inventory.release", "True"), ("orders.mark_released", "1")
    ),
    "cancel came too late": lambda e: _happened(e, "refused cancel", "too_late_to_cancel"),
    "two confirms at once": _two_at_once,
    "two dispatches raced, one row": lambda e: _in_order(
        e, ("orders.mark_dispatched", "1"), ("orders.mark_dispatched", "0")
    ),
    "insert's answer lost": lambda e: _unanswered(e, "orders.add"),
    "insert came after its caller had given up": lambda e: _happened(e, "orders.add", "late: 1"),
    "dispatch's commit answer lost": lambda e: _unanswered(e, "orders.mark_dispatched"),
    "release's commit answer lost": lambda e: _unanswered(e, "orders.mark_released"),
    "completion's commit answer lost": lambda e: _unanswered(e, "orders.finish"),
    "assign had its effect, its answer was lost": lambda e: _unanswered(e, "inventory.assign"),
    "assign arrived late": _late_assign,
    "a late assign met the tombstone": lambda e: _in_order(
        e, ("inventory.release", "True"), ("inventory.assign", "late: None")
    ),
    "a late release came after the order had ended": lambda e: _in_order(
        e, ("orders.mark_released", "1"), ("inventory.release", "late")
    ),
    "a late reserve met the tombstone": lambda e: _in_order(
        e, ("inventory.release", "True"), ("inventory.reserve", "late: refused: released")
    ),
    "key replayed": lambda e: _happened(e, "answered preview", "replayed"),
    "key replayed after a crash": _replayed_after_a_crash,
    "key came with another basket": lambda e: _happened(e, "inventory.reserve", "refused: items differ"),
    "key of an order that was let go": lambda e: _in_order(
        e, ("inventory.release", "True"), ("inventory.reserve", "refused: released")
    ),
    "a shortage was refused": lambda e: _happened(e, "inventory.reserve", "refused: shortage"),
    "a shortage was mended by letting go of an own quote": lambda e: _in_order(
        e,
        ("preview", ""),
        ("inventory.reserve", "refused: shortage"),
        ("inventory.reserve", "granted"),
        ("answered preview", "new"),
    ),
    "a hold was renewed": lambda e: _in_order(e, ("inventory.reserve", "granted"), ("inventory.reserve", "granted")),
    "a promised dispatch outlived its hold": _outlived,
    "a receipt was sent again": lambda e: _in_order(e, ("mail.send", "None"), ("mail.send", "None")),
    "a receipt waited for its mail": lambda e: _in_order(
        e, ("receipt_outbox.settle", "1"), ("mail.send", "None"), ("receipt_outbox.settle", "1")
    ),
}


def _causes(cause: str) -> Callable[[World], Iterator[object]]:
    return lambda world: (
        row for steps in world.memory.tables.history.values() for row in steps.values() if row["cause"] == cause
    )


OF_ROWS: dict[str, Callable[[World], Iterator[object]]] = {
    "superseded preview": _causes("superseded"),
    "patience over": _causes("patience_over"),
    "no robots": _causes("no_robots"),
    "hold expired": _causes("hold_expired"),
    "an order cancelled after its dispatch": lambda world: (
        order
        for order in world.memory.tables.orders.values()
        if order["status"] == "CANCELLED" and order["dispatched_at"]
    ),
    "a hold whose order was never written lapsed": lambda world: (
        True for order_id in world.inventory.register if order_id not in world.memory.tables.orders
    ),
    "a gateway died at its own call": lambda world: (
        event for event in world.trace.events if event.result.endswith(CallOutcome.KILLED_AFTER)
    ),
    "a gateway crashed": lambda world: (event for event in world.trace.events if event.what == "gateway crashed"),
    "a peer recovered and the sweeper was hastened": lambda world: (
        event for event in world.trace.events if event.what == "log.peer_recovered"
    ),
    "a metric died with its gateway": lambda world: (
        number for number in world.unconfirmed_metrics if not world.processes[number[0]].alive
    ),
    "a partial basket was quoted": lambda world: (
        line for lines in world.memory.tables.lines.values() for line in lines if line["quantity"] < line["requested"]
    ),
}
ALL = PROBES.keys() | OF_ROWS.keys()
