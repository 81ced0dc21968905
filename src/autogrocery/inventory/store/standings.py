"""How every order and every delivery stands here, for comparing with what the gateway says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.kit.pg.db import Db


class Standing(Struct, frozen=True):
    """An order's state in the register, and how many units were picked."""

    state: str
    picked_units: int


LIST = """
-- standings.list
SELECT order_id, state, picked_units FROM inventory.orders
"""


async def list_standings(db: Db) -> dict[UUID, Standing]:
    """Return how every order in the register stands."""
    return {row["order_id"]: Standing(row["state"], row["picked_units"]) for row in await db.rows(LIST)}


class RestockStanding(Struct, frozen=True):
    """A delivery's state, and how many units came and are damaged."""

    state: str
    received: int
    damaged: int


LIST_RESTOCKS = """
-- standings.list_restocks
SELECT r.order_id, r.state, sum(coalesce(l.received, l.quantity))::bigint AS received, sum(l.damaged)::bigint AS damaged
  FROM inventory.restocks r JOIN inventory.restock_lines l USING (order_id) GROUP BY r.order_id
"""


async def list_restocks(db: Db) -> dict[UUID, RestockStanding]:
    """Return how every delivery stands."""
    rows = await db.rows(LIST_RESTOCKS)
    return {row["order_id"]: RestockStanding(row["state"], row["received"], row["damaged"]) for row in rows}
