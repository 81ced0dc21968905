"""Summaries of all orders and restock orders, for comparing with the gateway's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.kit.pg.db import Db


class OrderSummary(Struct, frozen=True):
    """An order's state in the register, and the units picked."""

    state: str
    picked_units: int


# Every order in the register.
LIST = """-- summaries.list
SELECT order_id, state, picked_units FROM inventory.orders
"""


async def list_order_summaries(db: Db) -> dict[UUID, OrderSummary]:
    """Return a summary of every order in the register, by order id."""
    return {row["order_id"]: OrderSummary(row["state"], row["picked_units"]) for row in await db.rows(LIST)}


class RestockSummary(Struct, frozen=True):
    """A restock order's state, and the units received and damaged."""

    state: str
    received: int
    damaged: int


# Every restock order with its totals; a line without a count was on its shelf already and is received in full.
LIST_RESTOCKS = """-- summaries.list_restocks
SELECT r.order_id, r.state, sum(coalesce(l.received, l.quantity))::bigint AS received, sum(l.damaged)::bigint AS damaged
  FROM inventory.restocks r JOIN inventory.restock_lines l USING (order_id) GROUP BY r.order_id
"""


async def list_restock_summaries(db: Db) -> dict[UUID, RestockSummary]:
    """Return a summary of every restock order, by its id."""
    rows = await db.rows(LIST_RESTOCKS)
    return {row["order_id"]: RestockSummary(row["state"], row["received"], row["damaged"]) for row in rows}
