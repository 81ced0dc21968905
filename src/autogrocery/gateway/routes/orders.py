"""The public routes for orders and products, and the few lines between each route and its action."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from autogrocery.gateway.actions import view_orders
from autogrocery.gateway.actions.cancel import cancel
from autogrocery.gateway.actions.confirm import confirm
from autogrocery.gateway.actions.follow_order import follow_order
from autogrocery.gateway.actions.preview import enforce_preview_quota, preview, preview_request
from autogrocery.gateway.actions.view_catalog import view_catalog
from autogrocery.gateway.core.order import not_found
from autogrocery.gateway.core.quote import RequestedItem
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
from autogrocery.kit.http.exchange import EVENT_STREAM
from autogrocery.kit.http.route import Answer, Request, Route
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from autogrocery.gateway.core.order import Order
    from autogrocery.gateway.deps import Deps
    from autogrocery.gateway.routes.limits import RateLimits
    from autogrocery.kit.security.rate_limit import RateLimit

RETRY_AFTER_S = 1
MAX_QUOTA_CHECKS = 64


def order_routes(deps: Deps, limits: RateLimits) -> list[Route]:
    """Return the routes for orders and products (docs/CONTRACT.md#public-rest)."""
    return [*_write_routes(deps, limits.orders), *_read_routes(deps, limits.orders)]


def _write_routes(deps: Deps, limit: RateLimit) -> list[Route]:
    writes = partial(Route, "POST", scope="orders:write", limit=limit)
    bind = partial(partial, deps=deps)
    return [
        writes(
            "/api/client/order/preview",
            bind(_preview),
            body=PreviewIn,
            answer=OrderOut,
            status=201,
            keyed=True,
            sheddable=True,
            summary="Price a basket and lock its stock until expires_at",
            errors=(
                "409 insufficient_stock",
                "409 aisle_drained",
                "409 key_used",
                "422 unknown_sku",
                "422 idempotency_mismatch",
                "503 inventory_unavailable",
                "503 pricing_unavailable",
                "503 previews_paused",
                "503 maintenance",
                "503 aisle_unknown",
            ),
        ),
        writes(
            "/api/client/order/confirm",
            bind(_confirm),
            body=OrderIdIn,
            answer=OrderOut,
            also=(202,),
            summary="Send the robots; idempotent by the state of the order",
            errors=(
                "404 order_not_found",
                "409 no_robots",
                "409 order_cancelled",
                "410 hold_expired",
                "503 dispatch_paused",
            ),
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
    ]


def _read_routes(deps: Deps, limit: RateLimit) -> list[Route]:
    reads = partial(Route, "GET", scope="orders:read", limit=limit)
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
            summary="Its history; with Accept: text/event-stream as it happens, 204 once all of it was sent",
        ),
    ]


async def _catalog(request: Request, *, deps: Deps) -> CatalogOut:
    return await view_catalog(deps.inventory, deps.pricing, request.query)


async def _preview(request: Request, *, deps: Deps) -> Answer:
    user_id = request.caller.user_id
    body: PreviewIn = request.body
    wanted = preview_request(
        user_id,
        [RequestedItem(item.sku, item.quantity) for item in body.items],
        allow_partial=body.allow_partial,
        key=request.idempotency_key,
    )
    done = await preview(
        deps.orders,
        deps.inventory,
        deps.pricing,
        deps.metrics,
        wanted,
        ttl_s=deps.settings.preview_ttl_s,
        switches=deps.switches.current,
    )
    if done.replayed:
        return Answer(order_out(done.order), headers=(("Idempotency-Replayed", "true"),))
    _start_quota_check(deps, user_id, done.order.order_id)
    return Answer(order_out(done.order))


async def _confirm(request: Request, *, deps: Deps) -> Answer:
    order_id = request.body.order_id
    user_id, switches = request.caller.user_id, deps.switches.current
    done = await confirm(deps.orders, deps.inventory, deps.metrics, user_id, order_id, switches=switches)
    return _order_answer(done.order, in_doubt=done.in_doubt)


async def _cancel(request: Request, *, deps: Deps) -> Answer:
    order_id = request.body.order_id
    done = await cancel(deps.orders, deps.inventory, deps.metrics, request.caller.user_id, order_id)
    return _order_answer(done.order, in_doubt=done.in_doubt)


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
    page = await view_orders.view_events(deps.db, user_id, order_id, after)
    if request.preferred("application/json", EVENT_STREAM) != EVENT_STREAM:
        return Answer(page.events)
    if page.ended and not page.events.data:
        return Answer(status=204)  # an EventSource then does not reconnect
    return Answer(media=EVENT_STREAM, stream=follow_order(deps.db, user_id, order_id, after))


def _order_id(request: Request) -> UUID:
    text = request.params["order_id"]
    try:
        found = UUID(text)
    except ValueError:
        raise not_found() from None
    if str(found) != text.lower():  # UUID() also takes braces, urn: and no dashes at all
        raise not_found()
    return found


def _order_answer(order: Order, *, in_doubt: bool) -> Answer:
    """Answer 200, or 202 with where and when to ask again."""
    if not in_doubt:
        return Answer(order_out(order))
    headers = (("Location", f"/api/client/orders/{order.order_id}"), ("Retry-After", str(RETRY_AFTER_S)))
    return Answer(order_out(order), status=202, headers=headers)


def _start_quota_check(deps: Deps, user_id: int, order_id: UUID) -> None:
    """Enforce the device's preview quota in the background, unless MAX_QUOTA_CHECKS tasks are running already."""
    if deps.orders.cache.may_exceed_quota(user_id, order_id) and len(deps.background) < MAX_QUOTA_CHECKS:
        deps.background.start(_check_quota(deps, user_id))


async def _check_quota(deps: Deps, user_id: int) -> None:
    try:
        await enforce_preview_quota(
            deps.orders, deps.inventory, deps.metrics, user_id, max_live=deps.settings.max_live_previews
        )
    except Unavailable as trouble:
        log.info("quota_skipped", reason=trouble.code)
