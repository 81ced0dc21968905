"""Scenarios of orders for fault injection at every point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from autogrocery.gateway.actions.cancel import cancel
from autogrocery.gateway.actions.complete import complete
from autogrocery.gateway.actions.confirm import confirm
from autogrocery.gateway.actions.preview import enforce_preview_quota, preview, preview_request
from autogrocery.gateway.core.order import Fact, Status, WebhookDelivery
from autogrocery.gateway.core.quote import RequestedItem
from autogrocery.gateway.store import transitions
from tests.harness.fake_peers import State
from tests.proofs.enumeration.scenario import Scenario, Subject, no_preparation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.proofs.enumeration.gateway_environment import GatewayEnvironment

PREVIEWED, PROCESSING, COMPLETED = Status.PREVIEWED, Status.PROCESSING, Status.COMPLETED
CANCELLED, EXPIRED, FAILED = Status.CANCELLED, Status.EXPIRED, Status.FAILED
PICKED = {"milk": 2, "bread": 1}


async def do_preview(env: GatewayEnvironment, subject: Subject) -> object:
    return await quote(env, subject, milk=2, bread=3)


async def quote(env: GatewayEnvironment, subject: Subject, **items: int) -> object:
    deps = env.deps
    asked = preview_request(
        subject.user_id, [RequestedItem(sku, n) for sku, n in items.items()], allow_partial=False, key=subject.key
    )
    done = await preview(deps.orders, deps.inventory, deps.pricing, deps.metrics, asked, ttl_s=120)
    if not done.replayed:  # as the route does after its response
        await enforce_preview_quota(
            deps.orders, deps.inventory, deps.metrics, subject.user_id, max_live=deps.settings.max_live_previews
        )
    return done.order


async def do_confirm(env: GatewayEnvironment, subject: Subject) -> object:
    deps = env.deps
    return await confirm(deps.orders, deps.inventory, deps.metrics, subject.user_id, subject.order_id)


async def do_confirm_in_doubt(env: GatewayEnvironment, subject: Subject) -> object:
    """Confirm while inventory is unavailable, so that the dispatch is promised."""
    env.fake_inventory.abort_with = {"AssignRobots": grpc.StatusCode.UNAVAILABLE}
    try:
        return await do_confirm(env, subject)
    finally:
        env.fake_inventory.abort_with = {}


async def do_cancel(env: GatewayEnvironment, subject: Subject) -> object:
    deps = env.deps
    return await cancel(deps.orders, deps.inventory, deps.metrics, subject.user_id, subject.order_id)


async def do_webhook(env: GatewayEnvironment, subject: Subject) -> object:
    deps = env.deps
    delivery = WebhookDelivery(f"msg-{subject.key}", b"\1" * 32)
    return await complete(
        deps.orders, deps.inventory, deps.metrics, subject.order_id, Fact.PICKED, picked=PICKED, delivery=delivery
    )


def run_loop_named(name: str) -> Callable[[GatewayEnvironment, Subject], Awaitable[object]]:
    async def act(env: GatewayEnvironment, _subject: Subject) -> object:
        return await env.run_loop(name)

    return act


async def confirmed(env: GatewayEnvironment, subject: Subject) -> None:
    await do_preview(env, subject)
    await do_confirm(env, subject)


async def refusing_robots(env: GatewayEnvironment, subject: Subject) -> None:
    env.fake_inventory.refuse_robots = True
    await do_preview(env, subject)


async def started(env: GatewayEnvironment, subject: Subject) -> None:
    await confirmed(env, subject)
    env.fake_inventory.started.add(str(subject.order_id))


def finish_picking(env: GatewayEnvironment, subject: Subject) -> None:
    env.fake_inventory.state[str(subject.order_id)] = State.COMPLETED
    env.fake_inventory.picked[str(subject.order_id)] = PICKED


async def picked(env: GatewayEnvironment, subject: Subject) -> None:
    await confirmed(env, subject)
    finish_picking(env, subject)


async def picked_without_commit(env: GatewayEnvironment, subject: Subject) -> None:
    await assigned_without_commit(env, subject)
    finish_picking(env, subject)


async def assigned_without_commit(env: GatewayEnvironment, subject: Subject) -> None:
    """Dispatch an order whose confirm ended before its commit."""
    await do_preview(env, subject)
    order = await env.order(subject.order_id)
    assert order is not None
    await env.deps.inventory.assign_robots(order.order_id, order.lines)


async def overdue_and_assigned(env: GatewayEnvironment, subject: Subject) -> None:
    await assigned_without_commit(env, subject)
    await env.expire_quote(subject)


async def promised(env: GatewayEnvironment, subject: Subject) -> None:
    await do_preview(env, subject)
    assert await transitions.promise_dispatch(env.deps.orders, subject.order_id)


async def overdue(env: GatewayEnvironment, subject: Subject) -> None:
    await do_preview(env, subject)
    await env.expire_quote(subject)


async def picked_without_webhook(env: GatewayEnvironment, subject: Subject) -> None:
    """End the picking without a webhook."""
    await picked(env, subject)
    await env.db.run("UPDATE grocery_orders SET due_at = now() WHERE order_id = $1", subject.order_id)


async def completed(env: GatewayEnvironment, subject: Subject) -> None:
    await picked(env, subject)
    await do_webhook(env, subject)


async def promised_without_robots(env: GatewayEnvironment, subject: Subject) -> None:
    """Promise a dispatch that inventory then refuses."""
    await promised(env, subject)
    env.fake_inventory.refuse_robots = True
    await env.run_loop("sweeper")
    env.fake_inventory.refuse_robots = False


async def an_older_quote(env: GatewayEnvironment, subject: Subject) -> None:
    """Use up the device's quota of live quotes."""
    await do_preview(env, Subject(subject.user_id, f"{subject.key}-older"))


async def an_older_quote_of_the_last_apples(env: GatewayEnvironment, subject: Subject) -> None:
    env.fake_inventory.stock["apple"] = 5
    await quote(env, Subject(subject.user_id, f"{subject.key}-older"), apple=3)


async def do_preview_apples(env: GatewayEnvironment, subject: Subject) -> object:
    return await quote(env, subject, apple=4)


def _ends(
    retries: set[Status], gives_up: set[Status] | None = None
) -> Callable[[GatewayEnvironment, Subject, bool], Awaitable[list[str]]]:
    """Require one of these statuses, with the dispatches, receipts and alerts that belong to it."""

    async def check(env: GatewayEnvironment, subject: Subject, retried: bool) -> list[str]:
        order = await env.order(subject.order_id)
        if order is None:
            return ["there is no order"] if retried or EXPIRED not in (gives_up or retries) else []
        failures = []
        if order.status not in (retries if retried else gives_up or retries):
            failures.append(f"ended {order.status}")
        dispatches = env.fake_inventory.dispatches[str(subject.order_id)]
        if dispatches != (order.status in {PROCESSING, COMPLETED}):
            failures.append(f"{order.status} with {dispatches} dispatches")
        receipts = env.mailbox.message_ids_with(str(subject.order_id))
        if len(receipts) != (order.status is COMPLETED):
            failures.append(f"{order.status} with receipts {receipts}")
        seen = {key for key in env.provider.keys if key.startswith(str(subject.order_id))}
        promised = order.status is FAILED and order.confirmed_at is not None
        due = (
            {f"{subject.order_id}-partial"} if order.outcome else {f"{subject.order_id}-failed"} if promised else set()
        )
        if seen != due:
            failures.append(f"{order.status} with alerts {seen}")
        return failures

    return check


ORDERS = (
    # a preview that is not retried leaves no row (its hold lapses), or a quote that expires
    Scenario("preview", do_preview, no_preparation, _ends({PREVIEWED}, {EXPIRED})),
    Scenario("preview beyond the quota", do_preview, an_older_quote, _ends({PREVIEWED}, {EXPIRED})),
    Scenario(
        "preview of what an older quote holds",
        do_preview_apples,
        an_older_quote_of_the_last_apples,
        _ends({PREVIEWED}, {EXPIRED}),
    ),
    # a confirm that ended before its promise has promised nothing: the quote expires unless it is dispatched
    Scenario("confirm", do_confirm, do_preview, _ends({PROCESSING}, {PROCESSING, EXPIRED})),
    Scenario("confirm in doubt", do_confirm_in_doubt, do_preview, _ends({PROCESSING}, {PROCESSING, EXPIRED})),
    Scenario(
        "confirm without robots",
        do_confirm,
        refusing_robots,
        _ends({FAILED}, {FAILED, EXPIRED}),
        frozenset({"no_robots"}),
    ),
    Scenario("cancel", do_cancel, do_preview, _ends({CANCELLED}, {CANCELLED, EXPIRED})),
    Scenario("cancel while processing", do_cancel, confirmed, _ends({CANCELLED}, {CANCELLED, PROCESSING})),
    Scenario("cancel too late", do_cancel, started, _ends({PROCESSING}), frozenset({"too_late_to_cancel"})),
    Scenario("sweep a promise", run_loop_named("sweeper"), promised, _ends({PROCESSING})),
    Scenario("expire", run_loop_named("expirer"), overdue, _ends({EXPIRED})),
    Scenario("expire what robots have", run_loop_named("expirer"), overdue_and_assigned, _ends({PROCESSING})),
    Scenario("webhook", do_webhook, picked, _ends({COMPLETED})),
    Scenario("webhook of an unconfirmed order", do_webhook, picked_without_commit, _ends({COMPLETED})),
    Scenario("reconcile", run_loop_named("reconciler"), picked_without_webhook, _ends({COMPLETED})),
    Scenario("receipt", run_loop_named("receipts"), completed, _ends({COMPLETED})),
    Scenario("alert", run_loop_named("alerts"), completed, _ends({COMPLETED})),
    Scenario(
        "alert of a promise that was not kept", run_loop_named("alerts"), promised_without_robots, _ends({FAILED})
    ),
)
