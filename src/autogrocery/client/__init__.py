"""A small typed client of the ordering gateway's public REST API.

>>> async with Kiosk("http://127.0.0.1:5050", "fridge-1", password, state_file=Path("fridge-1.json")) as kiosk:
...     await kiosk.resume()
...     order = await kiosk.preview([Item("1044971", 2)])
...     order = await kiosk.confirm(order.order_id)
...     order = await kiosk.finished(order.order_id, within_s=600)
>>> async with Truck("http://127.0.0.1:5050", "truck-1", password, state_file=Path("truck-1.json")) as truck:
...     restock = await truck.restock(Manifest("farm", "The Farm", goods, manifest_no="2026-117"))
...     restock = await truck.finished(restock.order_id, within_s=3600)
"""

from __future__ import annotations

from autogrocery.client.backoff import RetryLimits
from autogrocery.client.kiosk import Kiosk, OrderResponse
from autogrocery.client.models import (
    TERMINAL,
    AisleType,
    Event,
    Goods,
    Item,
    Manifest,
    Me,
    Order,
    OrderLine,
    OrderPage,
    Product,
    ProductPage,
    Registration,
    Restock,
    RestockLine,
    RestockStatus,
    Robot,
    Status,
)
from autogrocery.client.problems import Problem, Unanswered
from autogrocery.client.truck import RestockResponse, Truck

__all__ = [
    "TERMINAL",
    "AisleType",
    "Event",
    "Goods",
    "Item",
    "Kiosk",
    "Manifest",
    "Me",
    "Order",
    "OrderLine",
    "OrderPage",
    "OrderResponse",
    "Problem",
    "Product",
    "ProductPage",
    "Registration",
    "Restock",
    "RestockLine",
    "RestockResponse",
    "RestockStatus",
    "RetryLimits",
    "Robot",
    "Status",
    "Truck",
    "Unanswered",
]
