"""Webhooks that arrive twice, too early, too late, in the wrong order, or forged."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final
from uuid import UUID

from msgspec import Struct

from autogrocery.kit.ids import uuid7
from autogrocery.lab.scenarios.device import CREATED, OK, Device, DeviceCall, OrderEnd
from autogrocery.lab.scenarios.environment import ScenarioResult, checked
from autogrocery.lab.scenarios.fresh_products import FreshProducts, InventoryOrder, stock_fresh_products
from autogrocery.lab.scenarios.rules import contradictions, stock_mismatches, unexpected_answers, unfinished_orders
from autogrocery.lab.scenarios.webhook_sender import WebhookReply, WebhookSender, update

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from autogrocery.lab.scenarios.context import ScenarioContext

NAME: Final = "webhooks"
PROMISE: Final = (
    "A webhook is applied once, and only if inventory signed it:"
    " duplicates, early, late and forged ones change nothing."
)
ORDERS: Final = 40
PICK_TIMEOUT_S: Final = 45.0
POLL_S: Final = 0.002  # short, to be as early as inventory's own webhook
FINISHED: Final = frozenset({"COMPLETED", "FAILED"})
DUPLICATE: Final = frozenset({"200 known"})
ONCE: Final = frozenset({"200 known", "200 applied"})
NOT_DISPATCHED: Final = frozenset({"409 not_dispatched"})
DIFFERS: Final = frozenset({"409 webhook_differs"})
FORGED: Final = frozenset({"401 invalid_signature"})


class Case(Struct, frozen=True):
    """Webhooks of one kind, the expected outcomes, and the answers."""

    kind: str
    expected: frozenset[str]
    replies: tuple[WebhookReply, ...]


class WebhookTrial(Struct, frozen=True):
    """One order: its device's calls, the webhooks about it, its end, and its state after the last webhook."""

    calls: tuple[DeviceCall, ...]
    cases: tuple[Case, ...] = ()
    end: OrderEnd | None = None
    after: OrderEnd | None = None


class WebhookTrials(Struct, frozen=True):
    """All orders of the scenario, and the units by SKU that were stocked and are available."""

    stocked: Mapping[str, int]
    available: Mapping[str, int]
    trials: list[WebhookTrial]


def check(observed: WebhookTrials) -> list[str]:
    """Return every violation of the promise."""
    found = []
    for trial in observed.trials:
        found += unexpected_answers(trial.calls, {"201", "200"})
        for case in trial.cases:
            found += [
                f"{case.kind}: {reply.outcome} from gateway {reply.gateway + 1},"
                f" expected {' or '.join(sorted(case.expected))}"
                for reply in case.replies
                if reply.outcome not in case.expected
            ]
        applied = sum(reply.applied for case in trial.cases for reply in case.replies)
        if trial.end is None or trial.after is None:
            continue
        found += [finding for call in trial.calls for finding in contradictions(call, trial.end)]
        if applied > 1:
            found.append(f"order {trial.end.order_id}: applied {applied} times")
        statuses = {reply.status for case in trial.cases for reply in case.replies if reply.http_status == OK}
        if statuses - {trial.end.status}:
            found.append(
                f"order {trial.end.order_id}: webhooks were answered {sorted(statuses)}, it ended {trial.end.status}"
            )
        if trial.after != trial.end:
            found.append(f"order {trial.end.order_id}: {trial.end.status}, then changed to {trial.after.status}")
    ends = [trial.end for trial in observed.trials if trial.end is not None]
    return found + unfinished_orders(ends) + stock_mismatches(observed.stocked, observed.available, ends)


async def play(context: ScenarioContext) -> ScenarioResult:
    """Run the four trials, each for every fourth order."""
    orders = max(context.of(ORDERS), len(TRIALS))
    products = await stock_fresh_products(context.environment, NAME, orders, ("party",))
    sender = WebhookSender(context.session, context.environment.internal_urls, context.environment.webhook_secret)
    slots = asyncio.Semaphore(len(TRIALS))

    async def trial(number: int) -> WebhookTrial:
        async with slots:
            device = context.devices[number]
            preview = await device.preview(number % 2, dict.fromkeys(products.skus, 1), uuid7().hex)
            if preview.last.http_status != CREATED:
                return WebhookTrial((preview,))
            return await TRIALS[number % len(TRIALS)](device, products, sender, preview)

    trials = list(await asyncio.gather(*map(trial, range(orders))))
    observed = WebhookTrials(products.stocked, await products.available(), trials)
    replies = [reply for one in trials for case in one.cases for reply in case.replies]
    by_outcome = {
        outcome: sum(reply.outcome == outcome for reply in replies)
        for outcome in sorted({one.outcome for one in replies})
    }
    counts = ", ".join(f"{count} times {outcome}" for outcome, count in by_outcome.items())
    summary = f"{len(replies)} webhooks about {orders} orders over two gateways: {counts}"
    return checked(NAME, PROMISE, summary, check(observed))


async def _early(device: Device, _products: FreshProducts, sender: WebhookSender, preview: DeviceCall) -> WebhookTrial:
    """Send COMPLETED before the confirm: refused and not remembered, so the same id may carry another body later."""
    order_id, name = preview.order_id, f"msg_{uuid7().hex}"
    body, other = update(UUID(order_id), "COMPLETED"), update(UUID(order_id), "FAILED")
    early = await sender.deliver_everywhere(name, body)
    confirm = await device.confirm(0, order_id)
    end = await device.end(0, order_id)
    cases = (
        Case("before the dispatch", NOT_DISPATCHED, tuple(early)),
        Case("an id that was refused, with another body", DUPLICATE, (await sender.deliver(0, name, other),)),
        Case("that id with its first body", DIFFERS, (await sender.deliver(1, name, body),)),
    )
    return WebhookTrial((preview, confirm), cases, end, await device.end(1, order_id))


async def _finish(device: Device, products: FreshProducts, sender: WebhookSender, preview: DeviceCall) -> WebhookTrial:
    """Send the true end twice to both gateways, then again, with another body, and its opposite."""
    order_id, name = preview.order_id, f"msg_{uuid7().hex}"
    confirm = await device.confirm(1, order_id)
    register = await _wait_for_pick(products, order_id)
    state = register.state
    if state not in FINISHED:
        return WebhookTrial((preview, confirm), (), end := await device.end(0, order_id), end)
    body = update(UUID(order_id), state, register.picked if state == "COMPLETED" else None)
    other = update(UUID(order_id), "FAILED" if state == "COMPLETED" else "COMPLETED")
    both = await sender.deliver_everywhere(name, body, times=2)
    end = await device.end(0, order_id)
    cases = (
        Case("twice at both gateways", ONCE, tuple(both)),
        Case("the same once more", DUPLICATE, tuple(await sender.deliver_everywhere(name, body))),
        Case("the same id with another body", DIFFERS, tuple(await sender.deliver_everywhere(name, other))),
        Case("the opposite afterwards", DUPLICATE, tuple(await sender.deliver_everywhere(f"{name}-late", other))),
    )
    return WebhookTrial((preview, confirm), cases, end, await device.end(1, order_id))


async def _late(device: Device, _products: FreshProducts, sender: WebhookSender, preview: DeviceCall) -> WebhookTrial:
    """Send COMPLETED and FAILED after a cancel: the order stays CANCELLED."""
    order_id = preview.order_id
    cancel = await device.cancel(0, order_id)
    end = await device.end(0, order_id)
    cases = tuple(
        [
            Case(
                f"{status} after a cancel",
                DUPLICATE,
                tuple(await sender.deliver_everywhere(f"msg_{uuid7().hex}", update(UUID(order_id), status))),
            )
            for status in ("COMPLETED", "FAILED")
        ]
    )
    return WebhookTrial((preview, cancel), cases, end, await device.end(1, order_id))


async def _forged(device: Device, _products: FreshProducts, sender: WebhookSender, preview: DeviceCall) -> WebhookTrial:
    """Send forged webhooks before the confirm and after it."""
    order_id, token = preview.order_id, await device.token()
    body, other = update(UUID(order_id), "FAILED"), update(UUID(order_id), "COMPLETED")
    before = await sender.forge(0, body, other, token)
    confirm = await device.confirm(1, order_id)
    after = await sender.forge(1, body, other, token)
    end = await device.end(0, order_id)
    cases = tuple(Case(how, FORGED, (reply,)) for replies in (before, after) for how, reply in replies.items())
    return WebhookTrial((preview, confirm), cases, end, await device.end(1, order_id))


async def _wait_for_pick(products: FreshProducts, order_id: str) -> InventoryOrder:
    """Wait until inventory reports the pick as finished: it sends the gateway its own webhook at the same moment."""
    ends_at = time.monotonic() + PICK_TIMEOUT_S
    async with products.open_order_reader() as read_order:
        while True:
            order = await read_order(order_id)
            if order.state in FINISHED or time.monotonic() >= ends_at:
                return order
            await asyncio.sleep(POLL_S)


TRIALS: Final[tuple[Callable[[Device, FreshProducts, WebhookSender, DeviceCall], Awaitable[WebhookTrial]], ...]] = (
    _early,
    _finish,
    _late,
    _forged,
)
