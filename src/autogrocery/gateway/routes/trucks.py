"""The public routes for trucks' restocks. Their login and refresh are among the routes for accounts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from autogrocery.gateway.actions.restock import restock
from autogrocery.gateway.actions.view_restock import view_restock
from autogrocery.gateway.core.restock import is_answered
from autogrocery.gateway.wire.restocks import RestockIn, RestockOut, RestockQuery, manifest_of, restock_out
from autogrocery.kit.http.route import Answer, Request, Route

if TYPE_CHECKING:
    from autogrocery.gateway.deps import Deps
    from autogrocery.gateway.routes.limits import RateLimits

RETRY_AFTER_S = 1
STATUS = "/api/truck/restock/status"


def truck_routes(deps: Deps, limits: RateLimits) -> list[Route]:
    """Return the routes for restocks (docs/CONTRACT.md#public-rest)."""
    limit = limits.restocks
    return [
        Route(
            "POST",
            "/api/truck/restock",
            partial(_restock, deps=deps),
            scope="restock:write",
            limit=limit,
            body=RestockIn,
            answer=RestockOut,
            status=201,
            also=(200, 202),
            keyed=True,
            summary=(
                "Announce a delivery and hand it over; "
                "200 if it was announced before, 202 while inventory's answer is unclear"
            ),
            errors=(
                "403 foreign_supplier",
                "404 order_not_found",
                "409 restock_refused",
                "422 manifest_mismatch",
                "422 idempotency_mismatch",
                "422 idempotency_key_required",
                "422 duplicate_sku",
                "422 invalid_dates",
                "503 maintenance",
                "422 expired_goods",
                "503 order_busy",
            ),
        ),
        Route(
            "GET",
            STATUS,
            partial(_status, deps=deps),
            scope="restock:read",
            limit=limit,
            query=RestockQuery,
            answer=RestockOut,
            summary="One restock order of the truck's supplier",
            errors=("404 order_not_found",),
        ),
    ]


async def _restock(request: Request, *, deps: Deps) -> Answer:
    """Answer 201, 200 to a repeat, or 202 with where and when to ask again."""
    key = request.idempotency_key
    done = await restock(
        deps.db,
        deps.inventory,
        deps.pricing,
        deps.metrics,
        request.caller.user_id,
        manifest_of(request.body),
        key,
        switches=deps.switches.current,
    )
    found = restock_out(done.restock)
    headers: tuple[tuple[str, str], ...] = (("Idempotency-Replayed", "true"),) if done.replayed and key else ()
    if is_answered(done.restock):
        return Answer(found, status=200 if done.replayed else 201, headers=headers)
    where = (("Location", f"{STATUS}?order_id={found.order_id}"), ("Retry-After", str(RETRY_AFTER_S)))
    return Answer(found, status=202, headers=headers + where)


async def _status(request: Request, *, deps: Deps) -> RestockOut:
    return await view_restock(deps.db, request.caller.user_id, request.query.order_id)
