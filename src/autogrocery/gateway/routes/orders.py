"""What a request starts: the table of the public doors for orders, and the few lines between each row and its action."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from autogrocery.gateway.actions import view_orders
from autogrocery.gateway.actions.cancel import cancel
from autogrocery.gateway.actions.confirm import confirm
from autogrocery.gateway.actions.follow_order import follow_order
from autogrocery.gateway.actions.preview import basket, keep_quota, may_hoard, preview
from autogrocery.gateway.actions.view_catalog import view_catalog
from autogrocery.gateway.core.order import not_found
from autogrocery.gateway.core.quote import Want
from autogrocery.gateway.wire.orders import (
    CatalogOut,
    CatalogQuery,
    EventsOut,
    OrderIdIn,
    OrderOut,
    OrdersOut,
    OrdersQuery,
    PreviewIn,
    order_out,
)
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.http.route import Answer, Request, Route
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from autogrocery.gateway.core.order import Order
    from autogrocery.gateway.deps import Deps
    from autogrocery.gateway.routes.limits import Limits

RETRY_AFTER_S = 1


def order_routes(deps: Deps, limits: Limits) -> list[Route]:
    """Return the rows of CONTRACT §2 about orders and products."""
    limit = limits.orders
    reads = partial(Route, "GET", scope="orders:read", limit=limit)
    writes = partial(Route, "POST", scope="orders:write", limit=limit)
    orders, one = "/api/client/orders", "/api/client/orders/{order_id}"
    bind = partial(partial, deps=deps)
    return [
        Route(
            "GET",
            "/api/client/catalog",
            bind(_catalog),
            scope="catalog:read",
            limit=limit,
            query=CatalogQuery,
            answer=CatalogOut,
            summary="Products by name or SKU, with price and what is available",
            errors=("503 pricing_unavailable",),
        ),
        writes(
            "/api/client/order/preview",
            bind(_preview),
            body=PreviewIn,
            answer=OrderOut,
            status=201,
            keyed=True,
            begins=True,
            summary="Price a basket and lock its stock until expires_at",
            errors=(
                "409 insufficient_stock",
                "409 key_used",
                "422 unknown_sku",
                "422 idempotency_mismatch",
                "503 inventory_unavailable",
                "503 pricing_unavailable",
            ),
        ),
        writes(
            "/api/client/order/confirm",
            bind(_confirm),
            body=OrderIdIn,
            answer=OrderOut,
            also=(202,),
            summary="Send the robots; idempotent by the state of the order",
            errors=("404 order_not_found", "409 no_robots", "409 order_cancelled", "410 hold_expired"),
        ),
        writes(
            "/api/client/order/cancel",
            bind(_cancel),
            body=OrderIdIn,
            answer=OrderOut,
            also=(202,),
            summary="Let go of an order that is not being picked yet; idempotent by the state of the order",
            errors=("404 order_not_found", "409 too_late_to_cancel", "410 hold_expired"),
        ),
        reads(orders, bind(_orders), query=OrdersQuery, answer=OrdersOut, summary="The device's orders, newest first"),
        reads(
            f"{orders}/last",
            bind(_last),
            answer=OrderOut,
            summary="The device's newest order",
            errors=("404 order_not_found",),
        ),
        reads(one, bind(_order), answer=OrderOut, summary="One order", errors=("404 order_not_found",)),
        reads(
            f"{one}/events",
            bind(_events),
            answer=EventsOut,
            also=(204,),
            errors=("404 order_not_found",),
            summary="Its history; with Accept: text/event-stream as it happens, 204 once it has ended and all is told",
        ),
    ]


async def _catalog(request: Request, *, deps: Deps) -> CatalogOut:
    return await view_catalog(deps.inventory, deps.pricing, request.query)


async def _preview(request: Request, *, deps: Deps) -> Answer:
    user_id = request.caller.user_id
    body: PreviewIn = request.body
    asked = basket(
        user_id,
        [Want(item.sku, item.quantity) for item in body.items],
        allow_partial=body.allow_partial,
        key=request.idempotency_key,
    )
    order, replayed = await preview(
        deps.db, deps.inventory, deps.pricing, deps.metrics, asked, ttl_s=deps.settings.preview_ttl_s
    )
    if not replayed:
        _after_the_answer(deps, order)
    return Answer(order_out(order), headers=(("Idempotency-Replayed", "true"),) if replayed else ())


async def _confirm(request: Request, *, deps: Deps) -> Answer:
    order_id = request.body.order_id
    return _settled(*await confirm(deps.db, deps.inventory, deps.metrics, request.caller.user_id, order_id))


async def _cancel(request: Request, *, deps: Deps) -> Answer:
    order_id = request.body.order_id
    return _settled(*await cancel(deps.db, deps.inventory, deps.metrics, request.caller.user_id, order_id))


async def _orders(request: Request, *, deps: Deps) -> OrdersOut:
    return await view_orders.view_orders(deps.db, request.caller.user_id, request.query)


async def _last(request: Request, *, deps: Deps) -> OrderOut:
    return await view_orders.view_last_order(deps.db, request.caller.user_id)


async def _order(request: Request, *, deps: Deps) -> OrderOut:
    return await view_orders.view_order(deps.db, request.caller.user_id, _order_id(request))


async def _events(request: Request, *, deps: Deps) -> Answer:
    user_id, order_id = request.caller.user_id, _order_id(request)
    seen = request.header("last-event-id") or ""
    after = int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 6 else 0  # noqa: PLR2004 - versions are few
    history, ended = await view_orders.view_events(deps.db, user_id, order_id, after)
    if "text/event-stream" not in request.accept:
        return Answer(history)
    if ended and not history.data:
        return Answer(status=204)  # to an EventSource: don't ask again
    return Answer(media="text/event-stream", stream=follow_order(deps.db, user_id, order_id, after))


def _order_id(request: Request) -> UUID:
    text = request.params["order_id"]
    try:
        found = UUID(text)
    except ValueError:
        raise not_found() from None
    if str(found) != text.lower():  # UUID() also takes braces, urn: and no dashes at all
        raise not_found()
    return found


def _settled(order: Order, settled: bool) -> Answer:  # noqa: FBT001 - unpacked from the action's answer
    """Answer 200, or 202 with where and when to look again."""
    if settled:
        return Answer(order_out(order))
    headers = (("Location", f"/api/client/orders/{order.order_id}"), ("Retry-After", str(RETRY_AFTER_S)))
    return Answer(order_out(order), status=202, headers=headers)


_afterwards: set[asyncio.Task[None]] = set()
MAX_AFTERWARDS = 64


def _after_the_answer(deps: Deps, order: Order) -> None:
    """Keep the device's quota without making it wait; best effort, and skipped while much of it is under way."""
    user_id = order.user_id
    if not may_hoard(deps.db, order) or len(_afterwards) >= MAX_AFTERWARDS:
        return

    async def quota() -> None:
        try:
            await keep_quota(deps.db, deps.inventory, deps.metrics, user_id, max_live=deps.settings.max_live_previews)
        except Unavailable as trouble:
            log.info("quota_skipped", reason=trouble.code)

    task = asyncio.get_running_loop().create_task(quota())
    _afterwards.add(task)
    task.add_done_callback(_afterwards.discard)
