"""What operators see of shelves, robots, deliveries and trucks: inventory tells it, the gateway adds what it knows."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from autogrocery.contracts.ops.deliveries import DeliveriesQuery, DeliveryPage, TruckPage, TruckQuery
from autogrocery.contracts.ops.robots import RobotPage, RobotsQuery
from autogrocery.contracts.ops.stock import StockDetail, StockPage, StockQuery
from autogrocery.gateway.actions.ops.view_stock import view_stock, view_stock_of
from autogrocery.gateway.actions.ops.view_trucks import view_trucks
from autogrocery.kit.http.route import Request, Route

if TYPE_CHECKING:
    from autogrocery.gateway.deps import Deps

READ = "ops:read"


def store_floor_routes(deps: Deps) -> list[Route]:
    """Return the routes; each needs the scope ops:read and answers 501 not_told if inventory lacks the service."""
    reads = partial(Route, "GET", scope=READ)
    bind = partial(partial, deps=deps)
    told = ("501 not_told",)
    ops = "/internal/ops"
    return [
        reads(
            f"{ops}/stock",
            bind(_stock),
            query=StockQuery,
            answer=StockPage,
            summary="Shelves by product",
            errors=told,
        ),
        reads(
            f"{ops}/stock/{{sku}}",
            bind(_stock_of),
            answer=StockDetail,
            summary="One product with its lots",
            errors=("404 unknown_sku", *told),
        ),
        reads(
            f"{ops}/robots",
            bind(_robots),
            query=RobotsQuery,
            answer=RobotPage,
            summary="Robots, what each does and what waits for it",
            errors=told,
        ),
        reads(
            f"{ops}/deliveries",
            bind(_deliveries),
            query=DeliveriesQuery,
            answer=DeliveryPage,
            summary="Deliveries on their way to the shelves, newest first",
            errors=told,
        ),
        reads(f"{ops}/trucks", bind(_trucks), query=TruckQuery, answer=TruckPage, summary="Trucks and their restocks"),
    ]


async def _stock(request: Request, *, deps: Deps) -> StockPage:
    return await view_stock(deps.inventory_operations, deps.pricing, request.query, currency=deps.settings.currency)


async def _stock_of(request: Request, *, deps: Deps) -> StockDetail:
    sku = request.params["sku"]
    return await view_stock_of(deps.inventory_operations, deps.pricing, sku, currency=deps.settings.currency)


async def _robots(request: Request, *, deps: Deps) -> RobotPage:
    return await deps.inventory_operations.list_robots(request.query)


async def _deliveries(request: Request, *, deps: Deps) -> DeliveryPage:
    return await deps.inventory_operations.list_restocks(request.query)


async def _trucks(request: Request, *, deps: Deps) -> TruckPage:
    return await view_trucks(deps.db, request.query)
