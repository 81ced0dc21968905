"""The invariants of docs/PROTOCOL.md#how-it-is-checked: some at every commit (`CommitWatcher`), the others after a run
(`check_run`)."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from autogrocery.gateway.peers.inventory import OrderState
from tests.proofs.simulation.answer_checks import acknowledgements
from tests.proofs.simulation.tables import ENDS, STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.proofs.simulation.tables import Row
    from tests.proofs.simulation.world import World

RELEASED_STATUSES = {"CANCELLED", "EXPIRED"}


class CommitWatcher:
    """Checks every change of an order's row at its commit; `found` lists the violations."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.found: list[str] = []

    def __call__(self, old: Row | None, new: Row) -> None:
        taken_back = new["status"] == "PROCESSING" and new["intent"] is None
        if old is None or (old["status"] == new["status"] and not taken_back):
            return
        at, order_id = self.world.loop.time(), new["order_id"]
        for wrong in _wrong_transitions(self.world, old, new):
            self.found.append(
                f"{wrong}: {self.world.trace.name(order_id)} {old['status']} → {new['status']} at {at:.6f}"
            )


def _wrong_transitions(world: World, old: Row, new: Row) -> Iterator[str]:
    start, end = old["status"], new["status"]
    state = world.inventory.get(new["order_id"]).state
    if start in ENDS:
        yield "a terminal status was left"
    overtaken = start == "PREVIEWED" and new["version"] == old["version"] + 2
    if start != end and (start, end) not in STEPS and not overtaken:
        yield "no edge of the table"
    if end == "PROCESSING" and state not in {OrderState.ASSIGNED, OrderState.COMPLETED, OrderState.FAILED}:
        yield f"PROCESSING while no robots have it ({state})"
    if end == "COMPLETED" and state is not OrderState.COMPLETED:
        yield f"COMPLETED, which inventory has not said ({state})"
    if end == "FAILED" and new["dispatched_at"] and state is not OrderState.FAILED:
        yield f"FAILED after a dispatch, which inventory has not said ({state})"
    if (
        end in RELEASED_STATUSES or (end == "FAILED" and not new["dispatched_at"])
    ) and state is not OrderState.RELEASED:
        yield f"a terminal status before the release was acknowledged ({state})"


def check_run(world: World) -> list[str]:
    """Return every violation in a run that has ended."""
    found = [*world.bugs, *world.watcher.found, *world.harms]
    if world.settled_at is None:
        found.append("something is still owed: " + ", ".join(_owed(world)))
    for check in (stock, dispatches, totals, endings, history, receipts, metrics, acknowledgements):
        found.extend(f"{check.__name__}: {wrong}" for wrong in check(world))
    return found


def _owed(world: World) -> Iterator[str]:
    for order_id, order in world.memory.tables.orders.items():
        if order["finished_at"] is None:
            yield f"{world.trace.name(order_id)} {order['status']} {order['intent'] or ''} {order['attention'] or ''}"
    for order_id, row in world.memory.tables.receipts.items():
        if row["done_at"] is None:
            yield f"receipt of {world.trace.name(order_id)}"
    for order_id, entry in world.inventory.register.items():
        if entry.state == "HELD":
            yield f"hold of {world.trace.name(order_id)}"


def stock(world: World) -> Iterator[str]:
    """Stock is conserved and never oversold."""
    used: Counter[str] = Counter()
    for entry in world.inventory.register.values():
        if entry.state in {"HELD", "ASSIGNED"}:
            used.update(entry.items)
        used.update(entry.picked or {})
    for sku, total in world.inventory.total.items():
        if world.inventory.on_hand[sku] < 0:
            yield f"{sku} oversold by {-world.inventory.on_hand[sku]}"
        if world.inventory.on_hand[sku] + used[sku] + world.inventory.lost[sku] != total:
            on_hand, lost = world.inventory.on_hand[sku], world.inventory.lost[sku]
            yield f"{sku}: {on_hand} on hand, {used[sku]} in use, {lost} lost of {total}"


def dispatches(world: World) -> Iterator[str]:
    """At most one dispatch an order; exactly one, of the quoted lines, if completed; none in force if released."""
    tables = world.memory.tables
    for order_id, entry in world.inventory.register.items():
        name, order = world.trace.name(order_id), tables.orders.get(order_id)
        if entry.dispatches > 1:
            yield f"{name} was dispatched {entry.dispatches} times"
        if entry.dispatches and order is None:
            yield f"{name} was dispatched and has no row"
        if order is None:
            continue
        lines = {line["sku"]: line["quantity"] for line in tables.lines[order_id]}
        live = entry.state in {"ASSIGNED", "COMPLETED", "FAILED"}
        if live and entry.items != lines:
            yield f"{name}: {lines} was quoted, {entry.items} dispatched"
        if order["status"] in {"PROCESSING", "COMPLETED"} and not live:
            yield f"{name} is {order['status']}, and to inventory {entry.state}"
        if order["status"] in RELEASED_STATUSES and live:
            yield f"{name} is {order['status']}, and robots have it: {entry.state}"
        if order["status"] == "FAILED" and (live and entry.state != "FAILED"):
            yield f"{name} is FAILED, and to inventory {entry.state}"


def totals(world: World) -> Iterator[str]:
    """Totals are the sums of the lines; outcomes and short picks equal inventory's counts."""
    tables = world.memory.tables
    for order_id, order in tables.orders.items():
        name, lines = world.trace.name(order_id), tables.lines[order_id]
        quoted = sum(line["unit_price_cents"] * line["quantity"] for line in lines)
        charged = 0 if order["status"] == "FAILED" else quoted
        entry = world.inventory.register.get(order_id)
        if order["status"] == "COMPLETED" and entry and entry.picked is not None:
            counts = {line["line_no"]: entry.picked.get(line["sku"], 0) for line in lines}
            charged = sum(line["unit_price_cents"] * counts[line["line_no"]] for line in lines)
            short = {line["line_no"]: n for line in lines if (n := counts[line["line_no"]]) < line["quantity"]}
            noted = {line_no: n for (of, line_no), n in tables.short_picks.items() if of == order_id}
            if short != noted or (order["outcome"] == "PARTIAL") != bool(short):
                yield f"{name} is {order['outcome']} with short picks {noted}, inventory counted {short}"
        if (order["quoted_total_cents"], order["total_cents"]) != (quoted, charged):
            yield f"{name}: totals {order['quoted_total_cents']}, {order['total_cents']}, sums {quoted}, {charged}"
        if (order["line_count"], order["item_count"]) != (len(lines), sum(line["quantity"] for line in lines)):
            yield f"{name}: counts do not fit the lines"


def endings(world: World) -> Iterator[str]:
    """No order expired early or failed without a refusal, and none needs attention."""
    for order_id, order in world.memory.tables.orders.items():
        name, unserved = world.trace.name(order_id), order["release_cause"] == "no_robots"
        if order["status"] == "FAILED" and unserved and order_id not in world.inventory.refused:
            yield f"{name} failed for want of robots, which inventory has not said"
        if order["status"] == "EXPIRED" and order["finished_at"] < order["expires_at"]:
            yield f"{name} expired early"
        if order["attention"] and order["finished_at"] is None:
            yield f"{name} asks for attention: {order['attention']}"


def history(world: World) -> Iterator[str]:
    """The history has no gaps and follows the edges from PREVIEWED to the row's status."""
    tables = world.memory.tables
    for order_id, order in tables.orders.items():
        steps = tables.history[order_id]
        path = [steps[version]["to_status"] for version in sorted(steps)]
        if sorted(steps) != list(range(1, order["version"] + 1)):
            yield f"{world.trace.name(order_id)}: versions {sorted(steps)}, the row has {order['version']}"
        elif path[0] != "PREVIEWED" or path[-1] != order["status"] or not STEPS.issuperset(pairwise(path)):
            yield f"{world.trace.name(order_id)} went {path} and is {order['status']}"
        starts = [steps[version]["from_status"] for version in sorted(steps)]
        if starts[1:] != path[:-1]:
            yield f"{world.trace.name(order_id)}: from {starts}, to {path}"


def receipts(world: World) -> Iterator[str]:
    """One receipt was sent for each COMPLETED order, and no other."""
    tables = world.memory.tables
    completed = {order_id for order_id, order in tables.orders.items() if order["status"] == "COMPLETED"}
    if completed != tables.receipts.keys():
        yield f"{len(completed)} completed orders, {len(tables.receipts)} receipts"
    expected = {f"<{order_id}@autogrocery.invalid>" for order_id in completed}
    if set(world.mail) != expected:
        yield f"{len(expected - set(world.mail))} receipts were never sent, {len(set(world.mail) - expected)} unasked"


def metrics(world: World) -> Iterator[str]:
    """Every change has its own metric number; its metric is sent once, after the commit, unless its process ended."""
    tables = world.memory.tables
    sent = Counter((one.metric.epoch, one.metric.sequence) for one in world.sent)
    numbers = Counter((row["epoch"], row["sequence"]) for steps in tables.history.values() for row in steps.values())
    for number, count in numbers.items():
        epoch, sequence = number
        if count > 1 or epoch not in tables.epochs or sequence < 1:
            known = "known" if epoch in tables.epochs else "unknown"
            yield f"number {number} has {count} changes, its epoch is {known}"
        excused = number in world.unconfirmed_metrics or not world.processes[epoch].alive
        if sent[number] > 1 or (not sent[number] and not excused):
            yield f"the metric {number} was sent {sent[number]} times"
    for one in world.sent:
        if not one.committed:
            yield f"the metric {one.metric.epoch, one.metric.sequence} was sent before its change was committed"
    if sent.keys() - numbers.keys():
        yield f"metrics of nothing: {sorted(sent.keys() - numbers.keys())}"
