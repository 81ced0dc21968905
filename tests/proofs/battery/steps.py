"""The steps of an order: what a request, a loop or a webhook starts. Each returns its answer as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.gateway.actions.expire import expire
from autogrocery.gateway.actions.preview import enforce_preview_quota
from autogrocery.gateway.actions.reconcile import reconcile
from autogrocery.gateway.actions.sweep import sweep
from autogrocery.gateway.core.order import TERMINAL, Due, Fact, Order, WebhookDelivery
from autogrocery.gateway.store import orders
from autogrocery.kit.errors import InDoubt, Refused, Unavailable
from tests.harness.expected_orders import DISPATCHED_STATES
from tests.proofs.battery.environment import sweep_past_patience
from tests.proofs.battery.states import ITEMS, KEY, PICKED_SHORT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from autogrocery.contracts.inventory.v1 import inventory_pb2 as inv
    from tests.harness.gateway_actions import GatewayActions


async def confirm(gateway: GatewayActions, order_id: UUID) -> str:
    return _settled(*await gateway.confirm(order_id))


async def confirm_refused(gateway: GatewayActions, order_id: UUID) -> str:
    """Confirm while inventory refuses to assign; if it has assigned the order before, it reports so only in reply to a
    release."""
    _refuse(gateway)
    return await confirm(gateway, order_id)


def _refuse(gateway: GatewayActions) -> None:
    rewrite = gateway.fake_inventory.rewrite_reply.get("AssignRobots")

    def no(reply: inv.RobotResponse) -> inv.RobotResponse:
        reply.success = False
        reply.ClearField("assignments")
        return rewrite(reply) if rewrite else reply

    gateway.fake_inventory.refuse_robots, gateway.fake_inventory.rewrite_reply["AssignRobots"] = True, no


async def cancel(gateway: GatewayActions, order_id: UUID) -> str:
    return _settled(*await gateway.cancel(order_id))


def _settled(order: Order, settled: bool) -> str:
    return f"200 {order.status}" if settled else f"202 {order.dispatch}"


async def preview(gateway: GatewayActions, order_id: UUID) -> str:
    """Repeat the preview that created the order, with the same key."""
    made = await gateway.preview(key=KEY, **ITEMS)
    assert made.order_id == order_id
    return f"201 {made.status}"


async def preview_another(gateway: GatewayActions, order_id: UUID) -> str:
    """Preview another basket under the same key."""
    made = await gateway.preview(key=KEY, **ITEMS | {"apple": 1})
    assert made.order_id == order_id
    return f"201 {made.status}"


async def quota(gateway: GatewayActions, _order_id: UUID) -> str:
    await enforce_preview_quota(gateway.store, gateway.inventory, gateway.metrics, gateway.user_id, max_live=0)
    return "kept"


async def expiry(gateway: GatewayActions, order_id: UUID) -> str:
    return _row(await expire(gateway.store, gateway.inventory, gateway.metrics, order_id))


async def sweeping(gateway: GatewayActions, order_id: UUID) -> str:
    found = Due(order_id, owed_s=1.0)
    return _row(await sweep(gateway.store, gateway.inventory, gateway.metrics, found, give_up_after_s=600.0))


async def sweeping_refused(gateway: GatewayActions, order_id: UUID) -> str:
    _refuse(gateway)
    return await sweeping(gateway, order_id)


async def sweeping_impatient(gateway: GatewayActions, order_id: UUID) -> str:
    return _row(await sweep_past_patience(gateway, order_id))


def _row(order: Order | None) -> str:
    return order.status.value if order else "nothing owed"


async def reconciling(gateway: GatewayActions, order_id: UUID) -> str:
    await reconcile(gateway.store, gateway.inventory, gateway.metrics, order_id)
    return "done"


async def webhook_full(gateway: GatewayActions, order_id: UUID) -> str:
    return await _webhook(gateway, order_id, Fact.PICKED, None)


async def webhook_short(gateway: GatewayActions, order_id: UUID) -> str:
    return await _webhook(gateway, order_id, Fact.PICKED, PICKED_SHORT)


async def webhook_failed(gateway: GatewayActions, order_id: UUID) -> str:
    return await _webhook(gateway, order_id, Fact.NOTHING_PICKED, {})


async def _webhook(gateway: GatewayActions, order_id: UUID, fact: Fact, picked: dict[str, int] | None) -> str:
    """Send inventory's webhook: true for a dispatched order that has not ended, false for any other."""
    known = await orders.get(gateway.db, order_id)
    if known and known.status not in TERMINAL and gateway.fake_inventory.state.get(str(order_id)) in DISPATCHED_STATES:
        gateway.fake_inventory.finish(str(order_id), picked)
    delivery = WebhookDelivery("msg-1", bytes(32))
    applied, status = await gateway.complete(order_id, fact, picked or None, delivery)
    return f"{'applied' if applied else 'known'} {status}"


class Step(Struct, frozen=True):
    """A step and the modules of gateway/actions that it runs."""

    run: Callable[[GatewayActions, UUID], Awaitable[str]]
    modules: str


STEPS: Final = {
    "preview": Step(preview, "preview"),
    "preview_another": Step(preview_another, "preview"),
    "quota": Step(quota, "preview expire release"),
    "confirm": Step(confirm, "confirm dispatch"),
    "confirm_refused": Step(confirm_refused, "confirm dispatch release"),
    "cancel": Step(cancel, "cancel release"),
    "expiry": Step(expiry, "expire release"),
    "sweeping": Step(sweeping, "sweep dispatch release"),
    "sweeping_refused": Step(sweeping_refused, "sweep dispatch release"),
    "sweeping_impatient": Step(sweeping_impatient, "sweep dispatch release"),
    "reconciling": Step(reconciling, "reconcile complete release"),
    "webhook_full": Step(webhook_full, "complete"),
    "webhook_short": Step(webhook_short, "complete"),
    "webhook_failed": Step(webhook_failed, "complete"),
}


async def answer_of(step: str, gateway: GatewayActions, order_id: UUID) -> str:
    """Run a step and return its answer: what it returns, a status code with a problem code, or `in doubt`."""
    try:
        return await STEPS[step].run(gateway, order_id)
    except Refused as refusal:
        return f"{refusal.status} {refusal.code}"
    except Unavailable as error:
        return f"503 {error.code}"
    except InDoubt:
        return "in doubt"
