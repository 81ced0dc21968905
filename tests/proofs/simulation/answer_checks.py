"""Checks of acknowledgements against the final state: every 2xx response must stay true."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.core.order import Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from tests.proofs.simulation.device import Acknowledgement
    from tests.proofs.simulation.tables import Row
    from tests.proofs.simulation.world import World

DISPATCHED = {Status.PROCESSING, Status.COMPLETED, Status.FAILED}


def acknowledgements(world: World) -> Iterator[str]:
    """Each order in a 2xx response was a version of its row, and each promise in it was kept."""
    tables = world.memory.tables
    named: dict[tuple[int, str], UUID] = {}
    for acknowledged in world.acknowledged:
        order = tables.orders.get(acknowledged.order.order_id)
        name = world.trace.name(acknowledged.order.order_id)
        if order is None:
            yield f"{name} was acknowledged ({acknowledged.verb}) and has no row"
            continue
        was = tables.history[order["order_id"]].get(acknowledged.order.version)
        if was is None or was["to_status"] != acknowledged.order.status:
            seen = acknowledged.order
            yield f"{name} was returned as {seen.status} in version {seen.version}, which it never was"
        if order["user_id"] != acknowledged.user_id:
            yield f"{name} was returned to another device"
        if (
            acknowledged.key
            and named.setdefault((acknowledged.user_id, acknowledged.key), acknowledged.order.order_id)
            != acknowledged.order.order_id
        ):
            yield f"{name} has a key that named another order before"
        promise = _PROMISES.get(acknowledged.verb)
        for wrong in promise(world, acknowledged, order) if promise else ():
            yield f"{name} {wrong}"


def _preview(world: World, acknowledged: Acknowledgement, order: Row) -> Iterator[str]:
    lines = [
        (line["sku"], line["quantity"], line["unit_price_cents"])
        for line in world.memory.tables.lines[order["order_id"]]
    ]
    quoted = [(line.sku, line.quantity, line.unit_price_cents) for line in acknowledged.order.lines]
    if lines != quoted or order["quoted_total_cents"] != acknowledged.order.quoted_total_cents:
        yield f"was quoted as {quoted}, and is {lines}"
    wanted = {want.sku: want.quantity for want in acknowledged.wants}
    if any(quantity > wanted.get(sku, 0) for sku, quantity, _ in quoted):
        yield f"was requested as {wanted}, and quoted as {quoted}"


def _confirm(world: World, acknowledged: Acknowledgement, order: Row) -> Iterator[str]:
    withdrawn = order["status"] == "CANCELLED" and order["release_cause"] == "cancelled"
    served = order["status"] in {"PROCESSING", "COMPLETED"} or (order["status"] == "FAILED" and order["dispatched_at"])
    if acknowledged.settled:
        entry = world.inventory.register.get(order["order_id"])
        if acknowledged.order.status not in DISPATCHED or entry is None or not entry.dispatches:
            yield f"was confirmed (200) as {acknowledged.order.status}, and no robots ever had it"
        if not served and not withdrawn:
            yield f"was confirmed (200), and is {order['status']}"
    elif order["status"] in {"EXPIRED", "PREVIEWED"}:
        yield f"was promised (202), and is {order['status']}"


def _cancel(_world: World, acknowledged: Acknowledgement, order: Row) -> Iterator[str]:
    if acknowledged.settled and order["status"] != "CANCELLED":
        yield f"was cancelled (200), and is {order['status']}"
    if (
        acknowledged.order.release_as is Status.CANCELLED
        and order["status"] != "CANCELLED"
        and not order["dispatched_at"]
    ):
        yield f"was answered that its cancel is under way (202), and is {order['status']}, though no robots had it"


_PROMISES = {"preview": _preview, "confirm": _confirm, "cancel": _cancel}
