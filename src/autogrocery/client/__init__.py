"""A small typed client of the ordering gateway.

>>> async with Kiosk("http://127.0.0.1:5050", "fridge-1", password, notebook=Path("fridge-1.json")) as kiosk:
...     await kiosk.resume()
...     order = await kiosk.preview([Item("1044971", 2)])
...     order = await kiosk.confirm(order.order_id)
...     order = await kiosk.finished(order.order_id, within_s=600)
"""

from __future__ import annotations

from autogrocery.client.kiosk import Kiosk, Told
from autogrocery.client.nouns import (
    TERMINAL,
    Event,
    Item,
    Me,
    Order,
    OrderLine,
    OrderPage,
    Product,
    ProductPage,
    Registration,
    Robot,
    Status,
)
from autogrocery.client.patience import Patience
from autogrocery.client.problems import Problem, Unanswered

__all__ = [
    "TERMINAL",
    "Event",
    "Item",
    "Kiosk",
    "Me",
    "Order",
    "OrderLine",
    "OrderPage",
    "Patience",
    "Problem",
    "Product",
    "ProductPage",
    "Registration",
    "Robot",
    "Status",
    "Told",
    "Unanswered",
]
