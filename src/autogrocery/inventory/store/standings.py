"""How every order stands here, for comparing with what the gateway says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.kit.pg import Db


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
