"""What operators read; every route needs the scope ops:read (docs/CONTRACT.md#operators-api)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from autogrocery.contracts.ops.attention import AttentionOut
from autogrocery.contracts.ops.orders import OrderBundle, OrderRows
from autogrocery.contracts.ops.overview import InvariantsOut, Overview, PeersOut
from autogrocery.gateway.actions.ops.find_orders import find_orders
from autogrocery.gateway.actions.ops.follow_changes import (
    MAX_STREAMS,
    follow_changes,
    parse_event_id,
    start_positions,
)
from autogrocery.gateway.actions.ops.view_attention import view_attention
from autogrocery.gateway.actions.ops.view_bundle import view_bundle
from autogrocery.gateway.actions.ops.view_invariants import view_invariants
from autogrocery.gateway.actions.ops.view_overview import view_overview
from autogrocery.gateway.actions.ops.view_peers import view_peers
from autogrocery.gateway.wire.ops import AttentionQuery, OrdersSearch
from autogrocery.kit.errors import NotFound, Unavailable
from autogrocery.kit.http.exchange import EVENT_STREAM
from autogrocery.kit.http.route import Answer, Request, Route

if TYPE_CHECKING:
    from autogrocery.gateway.deps import Deps

READ = "ops:read"


def operator_read_routes(deps: Deps) -> list[Route]:
    """Return the reads; none of them changes anything or runs a query for each operator who looks at the overview."""
    reads = partial(Route, "GET", scope=READ)
    bind = partial(partial, deps=deps)
    ops = "/internal/ops"
    return [
        reads(
            f"{ops}/overview", bind(_overview), answer=Overview, summary="The mart at a glance, at most a second old"
        ),
        reads(
            f"{ops}/orders",
            bind(_orders),
            query=OrdersSearch,
            answer=OrderRows,
            summary="Orders of every device, newest first; a short page with a cursor goes on",
        ),
        reads(
            f"{ops}/orders/{{order_id}}",
            bind(_bundle),
            answer=OrderBundle,
            summary="One order whole: the bundle for support",
            errors=("404 order_not_found",),
        ),
        reads(
            f"{ops}/attention",
            bind(_attention),
            query=AttentionQuery,
            answer=AttentionOut,
            summary="What needs a person, why, and what is safe to do",
        ),
        reads(f"{ops}/invariants", bind(_invariants), answer=InvariantsOut, summary="The last audit; starts the next"),
        reads(f"{ops}/peers", bind(_peers), answer=PeersOut, summary="The peers as this gateway sees them"),
        reads(
            f"{ops}/changes",
            bind(_changes),
            media=EVENT_STREAM,
            answer=str,
            summary="Status changes of every gateway as they happen; Last-Event-ID resumes",
            errors=("422 invalid_request", "503 too_many_streams"),
        ),
    ]


async def overview_of(deps: Deps) -> Overview:
    """Return the mart at a glance."""
    return await view_overview(
        deps.db,
        deps.inventory,
        deps.pricing,
        deps.inventory_operations,
        deps.ops,
        deps.background,
        store_id=deps.settings.store_id,
        currency=deps.settings.currency,
    )


async def _overview(_request: Request, *, deps: Deps) -> Overview:
    return await overview_of(deps)


def require_stream(deps: Deps) -> None:
    """Raise Unavailable(too_many_streams) if no operator's stream may begin."""
    if deps.ops.streams >= MAX_STREAMS:
        raise Unavailable("too_many_streams", "this gateway streams to as many operators as it may")


async def _orders(request: Request, *, deps: Deps) -> OrderRows:
    return await find_orders(deps.db, request.query)


async def _bundle(request: Request, *, deps: Deps) -> OrderBundle:
    text = request.params["order_id"]
    try:
        order_id = UUID(text)
    except ValueError:
        raise NotFound("order_not_found", "there is no such order") from None
    return await view_bundle(deps.db, deps.inventory, deps.inventory_operations, deps.calls, order_id)


async def _attention(request: Request, *, deps: Deps) -> AttentionOut:
    query: AttentionQuery = request.query
    return await view_attention(
        deps.db,
        deps.inventory,
        deps.pricing,
        deps.inventory_operations,
        deps.ops,
        deps.background,
        limit=query.limit,
    )


async def _invariants(_request: Request, *, deps: Deps) -> InvariantsOut:
    return view_invariants(deps.db, deps.inventory_operations, deps.ops.audits, deps.background)


async def _peers(_request: Request, *, deps: Deps) -> PeersOut:
    return PeersOut(view_peers(deps.inventory, deps.pricing))


async def _changes(request: Request, *, deps: Deps) -> Answer:
    resume = parse_event_id(request.header("last-event-id"))
    require_stream(deps)
    positions = await start_positions(deps.db, resume)
    return Answer(media=EVENT_STREAM, stream=follow_changes(deps.db, deps.ops, deps.switches, positions))
