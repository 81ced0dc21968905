"""The battery's environment: a module's tests share a database and fake peers; each test has a device and no faults."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from autogrocery.gateway.actions.audit import audit
from autogrocery.gateway.actions.expire import expire
from autogrocery.gateway.actions.reconcile import reconcile
from autogrocery.gateway.actions.sweep import sweep
from autogrocery.gateway.core.order import Due
from autogrocery.gateway.peers.inventory import Inventory
from autogrocery.gateway.peers.pricing import Pricing
from autogrocery.gateway.store import due, orders
from autogrocery.kit.errors import InDoubt, Refused, Unavailable
from autogrocery.kit.ids import uuid7
from tests.harness.expected_orders import contradictions, expected_status, unaccounted_stock
from tests.harness.fake_peers import PRICES
from tests.harness.gateway_actions import add_device
from tests.harness.notifier import mail_into, receipts_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

    import grpc

    from autogrocery.gateway.core.order import Order
    from tests.harness.fake_peers import FakeInventory
    from tests.harness.gateway_actions import GatewayActions

FULL_SHELF = 1_000_000
NO_MAIL = mail_into(Path("/nonexistent"))  # the devices have no e-mail address


async def with_new_device(gateway: GatewayActions) -> GatewayActions:
    """Return the same gateway with a new device and new breakers; clears the faults of its peers."""
    clear_faults(gateway)
    user_id = await add_device(gateway.db, f"fridge-{uuid7().hex}")
    return replace(gateway, inventory=Inventory(gateway.channel), pricing=Pricing(gateway.channel), user_id=user_id)


def clear_faults(gateway: GatewayActions) -> None:
    """Remove every injected fault of both fake peers."""
    gateway.fake_inventory.clear_faults()
    gateway.fake_pricing.clear_faults()


@contextmanager
def failing_call(
    fake_inventory: FakeInventory, method: str, status: grpc.StatusCode, *, after_effect: bool = False
) -> Iterator[None]:
    """Abort calls of one method with a status while the context lasts, before or after their effect."""
    fake_inventory.abort_with, fake_inventory.after_effect = {method: status}, after_effect
    yield
    fake_inventory.abort_with, fake_inventory.after_effect = {}, False


async def outcome_of(action: Awaitable[object]) -> object:
    """Return what an action returns, or the Refused, Unavailable or InDoubt that it raises."""
    try:
        return await action
    except (Refused, Unavailable, InDoubt) as error:
        return error


async def sweep_past_patience(gateway: GatewayActions, order_id: UUID) -> Order | None:
    """Sweep an order that has been in doubt for longer than the sweeper's patience."""
    return await sweep(
        gateway.store, gateway.inventory, gateway.metrics, Due(order_id, owed_s=601.0), give_up_after_s=600.0
    )


class Snapshot(Struct, frozen=True):
    """Everything that a step may change; a repeated step must leave it equal."""

    order: Order | None
    events: list[tuple[int, str]]
    dispatches: int
    stock: dict[str, int]
    published: list[tuple[int, str]]
    receipts: int


async def snapshot(gateway: GatewayActions, order_id: UUID) -> Snapshot:
    order = await orders.get(gateway.db, order_id)
    row = await gateway.db.row("SELECT count(*) AS receipts FROM receipt_outbox WHERE order_id = $1", order_id)
    assert row is not None
    return Snapshot(
        replace(order, overdue=False) if order else None,
        [(event.version, event.to_status.value) for event in await orders.list_events(gateway.db, order_id)],
        gateway.fake_inventory.dispatches[str(order_id)],
        dict(gateway.fake_inventory.stock),
        sorted((metric.version, metric.status) for metric in gateway.sent if metric.order_id == str(order_id)),
        row["receipts"],
    )


async def check_final_state(gateway: GatewayActions, order_id: UUID) -> None:
    """Clear the faults, let time pass and run the loops: the order must reach its expected status without a
    contradiction."""
    clear_faults(gateway)
    await gateway.db.run(
        "UPDATE grocery_orders SET expires_at = now() WHERE order_id = $1 AND status = 'PREVIEWED'", order_id
    )
    order = await orders.get(gateway.db, order_id)
    if order is None:
        return
    end = expected_status(order, gateway.fake_inventory)
    for _ in range(4):
        if not await _run_loops_and_compare(gateway, order_id):
            break
    await relay_receipts(gateway)
    order = await gateway.order(order_id)
    assert (order.status, contradictions(order, gateway.fake_inventory)) == (end, [])
    events = [(event.version, event.to_status.value) for event in await orders.list_events(gateway.db, order_id)]
    published = sorted((metric.version, metric.status) for metric in gateway.sent if metric.order_id == str(order_id))
    assert (published, len(events)) == (events, order.version)
    assert unaccounted_stock(gateway.fake_inventory, dict.fromkeys(PRICES, FULL_SHELF)) == {}


async def relay_receipts(gateway: GatewayActions) -> None:
    await receipts_of(gateway.db, NO_MAIL).relay()


async def _run_loops_and_compare(gateway: GatewayActions, order_id: UUID) -> bool:
    """Make the order due and run the loops once; returns whether they changed it."""
    await gateway.db.run(
        "UPDATE grocery_orders SET due_at = now() WHERE order_id = $1 AND finished_at IS NULL", order_id
    )
    before = await gateway.order(order_id)
    await run_loops_once(gateway)
    return await gateway.order(order_id) != before


async def run_loops_once(gateway: GatewayActions) -> None:
    """Run each loop once over everything that is due."""
    ports = gateway.store, gateway.inventory, gateway.metrics
    for item in await due.claim_owed(gateway.db):
        await sweep(*ports, item, give_up_after_s=600.0)
    for item in await due.claim_expired(gateway.db):
        await expire(*ports, item.order_id)
    for item in await due.claim_silent(gateway.db, 60.0):
        await reconcile(*ports, item.order_id)


async def violations(gateway: GatewayActions) -> list[tuple[str, int]]:
    """Return the audit's violations in the whole database, each with the user id of the order's device."""
    found = []
    for one in (await audit(gateway.db)).invariants:
        for example in one.examples:
            order = await orders.get(gateway.db, UUID(json.loads(example)["order_id"]))
            found.append((one.name, order.user_id if order else 0))
    return found
