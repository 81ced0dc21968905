"""What devices were told, held against what became of it: every 2xx stays true."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.core.order import Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from tests.proofs.simulation.device import Told
    from tests.proofs.simulation.tables import Row
    from tests.proofs.simulation.world import World

DISPATCHED = {Status.PROCESSING, Status.COMPLETED, Status.FAILED}


def words(world: World) -> Iterator[str]:
    """Each order as it was told is a state its row was in, and each promise in it was kept."""
    tables = world.memory.tables
    named: dict[tuple[int, str], UUID] = {}
    for told in world.told:
        order = tables.orders.get(told.order.order_id)
        name = world.journal.name(told.order.order_id)
        if order is None:
            yield f"{name} was told ({told.verb}) and has no row"
            continue
        was = tables.history[order["order_id"]].get(told.order.version)
        if was is None or was["to_status"] != told.order.status:
            yield f"{name} was told as {told.order.status} in version {told.order.version}, which it never was"
        if order["user_id"] != told.user_id:
            yield f"{name} was told to another device"
        if told.key and named.setdefault((told.user_id, told.key), told.order.order_id) != told.order.order_id:
            yield f"{name} has a key that named another order before"
        promise = _PROMISES.get(told.verb)
        for wrong in promise(world, told, order) if promise else ():
            yield f"{name} {wrong}"


def _preview(world: World, told: Told, order: Row) -> Iterator[str]:
    lines = [
        (line["sku"], line["quantity"], line["unit_price_cents"])
        for line in world.memory.tables.lines[order["order_id"]]
    ]
    quoted = [(line.sku, line.quantity, line.unit_price_cents) for line in told.order.lines]
    if lines != quoted or order["quoted_total_cents"] != told.order.quoted_total_cents:
        yield f"was quoted as {quoted}, and is {lines}"
    wanted = {want.sku: want.quantity for want in told.wants}
    if any(quantity > wanted.get(sku, 0) for sku, quantity, _ in quoted):
        yield f"was asked for as {wanted}, and quoted as {quoted}"


def _confirm(world: World, told: Told, order: Row) -> Iterator[str]:
    withdrawn = order["status"] == "CANCELLED" and order["release_cause"] == "cancelled"
    served = order["status"] in {"PROCESSING", "COMPLETED"} or (order["status"] == "FAILED" and order["dispatched_at"])
    if told.settled:
        entry = world.shelf.register.get(order["order_id"])
        if told.order.status not in DISPATCHED or entry is None or not entry.dispatches:
            yield f"was told confirmed (200) as {told.order.status}, and no robots ever had it"
        if not served and not withdrawn:
            yield f"was told confirmed (200), and is {order['status']}"
    elif order["status"] in {"EXPIRED", "PREVIEWED"}:
        yield f"was promised (202), and is {order['status']}"


def _cancel(_world: World, told: Told, order: Row) -> Iterator[str]:
    if told.settled and order["status"] != "CANCELLED":
        yield f"was told cancelled (200), and is {order['status']}"
    if told.order.release_as is Status.CANCELLED and order["status"] != "CANCELLED" and not order["dispatched_at"]:
        yield f"was told that its cancel is under way (202), and is {order['status']}, though no robots had it"


_PROMISES = {"preview": _preview, "confirm": _confirm, "cancel": _cancel}
