"""The deeds of orders that are broken at every point: what must be there before each, and what must be true after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from autogrocery.gateway.actions.cancel import cancel
from autogrocery.gateway.actions.complete import complete
from autogrocery.gateway.actions.confirm import confirm
from autogrocery.gateway.actions.preview import basket, keep_quota, preview
from autogrocery.gateway.core.order import Fact, Status
from autogrocery.gateway.core.quote import Want
from autogrocery.gateway.store import moves
from autogrocery.gateway.store.moves import Delivery
from tests.harness.fake_peers import State
from tests.proofs.enumeration.deeds import Scenario, Subject, nothing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.proofs.enumeration.stage import Stage

PREVIEWED, PROCESSING, COMPLETED = Status.PREVIEWED, Status.PROCESSING, Status.COMPLETED
CANCELLED, EXPIRED, FAILED = Status.CANCELLED, Status.EXPIRED, Status.FAILED
PICKED = {"milk": 2, "bread": 1}


async def do_preview(stage: Stage, one: Subject) -> object:
    return await quote(stage, one, milk=2, bread=3)


async def quote(stage: Stage, one: Subject, **items: int) -> object:
    deps = stage.deps
    asked = basket(one.user_id, [Want(sku, n) for sku, n in items.items()], allow_partial=False, key=one.key)
    order, replayed = await preview(deps.db, deps.inventory, deps.pricing, deps.metrics, asked, ttl_s=120)
    if not replayed:  # as the route does, after the answer
        await keep_quota(deps.db, deps.inventory, deps.metrics, one.user_id, max_live=deps.settings.max_live_previews)
    return order


async def do_confirm(stage: Stage, one: Subject) -> object:
    deps = stage.deps
    return await confirm(deps.db, deps.inventory, deps.metrics, one.user_id, one.order_id)


async def do_confirm_in_doubt(stage: Stage, one: Subject) -> object:
    """Inventory is away; a promise is written down."""
    stage.shelf.trouble = {"AssignRobots": grpc.StatusCode.UNAVAILABLE}
    try:
        return await do_confirm(stage, one)
    finally:
        stage.shelf.trouble = {}


async def do_cancel(stage: Stage, one: Subject) -> object:
    deps = stage.deps
    return await cancel(deps.db, deps.inventory, deps.metrics, one.user_id, one.order_id)


async def do_webhook(stage: Stage, one: Subject) -> object:
    deps = stage.deps
    delivery = Delivery(f"msg-{one.key}", b"\1" * 32)
    return await complete(
        deps.db, deps.inventory, deps.metrics, one.order_id, Fact.PICKED, picked=PICKED, delivery=delivery
    )


def a_turn_of(name: str) -> Callable[[Stage, Subject], Awaitable[object]]:
    async def act(stage: Stage, _one: Subject) -> object:
        return await stage.turn(name)

    return act


async def confirmed(stage: Stage, one: Subject) -> None:
    await do_preview(stage, one)
    await do_confirm(stage, one)


async def without_robots(stage: Stage, one: Subject) -> None:
    stage.shelf.refuse_robots = True
    await do_preview(stage, one)


async def started(stage: Stage, one: Subject) -> None:
    await confirmed(stage, one)
    stage.shelf.started.add(str(one.order_id))


def robots_are_done(stage: Stage, one: Subject) -> None:
    stage.shelf.state[str(one.order_id)] = State.COMPLETED
    stage.shelf.picked[str(one.order_id)] = PICKED


async def picked(stage: Stage, one: Subject) -> None:
    await confirmed(stage, one)
    robots_are_done(stage, one)


async def picked_after_a_dead_confirm(stage: Stage, one: Subject) -> None:
    await assigned_by_a_dead_confirm(stage, one)
    robots_are_done(stage, one)


async def assigned_by_a_dead_confirm(stage: Stage, one: Subject) -> None:
    """A gateway asked for robots and died before it wrote anything down; they went all the same."""
    await do_preview(stage, one)
    order = await stage.order(one.order_id)
    assert order is not None
    await stage.deps.inventory.assign_robots(order.order_id, order.lines)


async def overdue_but_assigned(stage: Stage, one: Subject) -> None:
    await assigned_by_a_dead_confirm(stage, one)
    await stage.time_passes(one)


async def promised(stage: Stage, one: Subject) -> None:
    await do_preview(stage, one)
    assert await moves.promise_dispatch(stage.db, one.order_id)


async def overdue(stage: Stage, one: Subject) -> None:
    await do_preview(stage, one)
    await stage.time_passes(one)


async def picked_unheard(stage: Stage, one: Subject) -> None:
    """The robots are done, and the webhook got lost."""
    await picked(stage, one)
    await stage.db.run("UPDATE grocery_orders SET due_at = now() WHERE order_id = $1", one.order_id)


async def completed(stage: Stage, one: Subject) -> None:
    await picked(stage, one)
    await do_webhook(stage, one)


async def unserved(stage: Stage, one: Subject) -> None:
    """Robots were promised, and there are none."""
    await promised(stage, one)
    stage.shelf.refuse_robots = True
    await stage.turn("sweeper")
    stage.shelf.refuse_robots = False


async def an_older_quote(stage: Stage, one: Subject) -> None:
    """The device has as many live quotes as it may."""
    await do_preview(stage, Subject(one.user_id, f"{one.key}-older"))


async def an_older_quote_of_the_last_apples(stage: Stage, one: Subject) -> None:
    stage.shelf.stock["apple"] = 5
    await quote(stage, Subject(one.user_id, f"{one.key}-older"), apple=3)


async def do_preview_apples(stage: Stage, one: Subject) -> object:
    return await quote(stage, one, apple=4)


def _ends(
    insists: set[Status], walks_away: set[Status] | None = None
) -> Callable[[Stage, Subject, bool], Awaitable[list[str]]]:
    """The order comes to rest in one of these, with as many dispatches, receipts and alerts as that means."""

    async def rest(stage: Stage, one: Subject, insisted: bool) -> list[str]:
        order = await stage.order(one.order_id)
        if order is None:
            return ["there is no order"] if insisted or EXPIRED not in (walks_away or insists) else []
        wrong = []
        if order.status not in (insists if insisted else walks_away or insists):
            wrong.append(f"ended {order.status}")
        dispatches = stage.shelf.dispatches[str(one.order_id)]
        if dispatches != (order.status in {PROCESSING, COMPLETED}):
            wrong.append(f"{order.status} with {dispatches} dispatches")
        receipts = {message_id for message_id, text in stage.postbox.taken if str(one.order_id) in text}
        if len(receipts) != (order.status is COMPLETED):
            wrong.append(f"{order.status} with receipts {receipts}")
        told = {key for key in stage.provider.keys if key.startswith(str(one.order_id))}
        promised = order.status is FAILED and order.confirmed_at is not None
        due = {f"{one.order_id}-partial"} if order.outcome else {f"{one.order_id}-failed"} if promised else set()
        if told != due:
            wrong.append(f"{order.status} with alerts {told}")
        return wrong

    return rest


ORDERS = (
    # a preview that nobody asks for again leaves no row (its hold lapses), or a quote that expires
    Scenario("preview", do_preview, nothing, _ends({PREVIEWED}, {EXPIRED})),
    Scenario("preview beyond the quota", do_preview, an_older_quote, _ends({PREVIEWED}, {EXPIRED})),
    Scenario(
        "preview of what an older quote holds",
        do_preview_apples,
        an_older_quote_of_the_last_apples,
        _ends({PREVIEWED}, {EXPIRED}),
    ),
    # a confirm that died before its promise has promised nothing: then the quote expires, unless robots have it
    Scenario("confirm", do_confirm, do_preview, _ends({PROCESSING}, {PROCESSING, EXPIRED})),
    Scenario("confirm in doubt", do_confirm_in_doubt, do_preview, _ends({PROCESSING}, {PROCESSING, EXPIRED})),
    Scenario(
        "confirm without robots",
        do_confirm,
        without_robots,
        _ends({FAILED}, {FAILED, EXPIRED}),
        frozenset({"no_robots"}),
    ),
    Scenario("cancel", do_cancel, do_preview, _ends({CANCELLED}, {CANCELLED, EXPIRED})),
    Scenario("cancel while processing", do_cancel, confirmed, _ends({CANCELLED}, {CANCELLED, PROCESSING})),
    Scenario("cancel too late", do_cancel, started, _ends({PROCESSING}), frozenset({"too_late_to_cancel"})),
    Scenario("sweep a promise", a_turn_of("sweeper"), promised, _ends({PROCESSING})),
    Scenario("expire", a_turn_of("expirer"), overdue, _ends({EXPIRED})),
    Scenario("expire what robots have", a_turn_of("expirer"), overdue_but_assigned, _ends({PROCESSING})),
    Scenario("webhook", do_webhook, picked, _ends({COMPLETED})),
    Scenario("webhook of an unconfirmed order", do_webhook, picked_after_a_dead_confirm, _ends({COMPLETED})),
    Scenario("reconcile", a_turn_of("reconciler"), picked_unheard, _ends({COMPLETED})),
    Scenario("receipt", a_turn_of("receipts"), completed, _ends({COMPLETED})),
    Scenario("alert", a_turn_of("alerts"), completed, _ends({COMPLETED})),
    Scenario("alert of a promise that was not kept", a_turn_of("alerts"), unserved, _ends({FAILED})),
)
