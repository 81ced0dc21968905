"""List disabled accounts, for peers that verify tokens themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.contracts import registry
from autogrocery.gateway.store import devices

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db


async def list_disabled(db: Db) -> registry.Disabled:
    """Return the user ids of all disabled accounts. Raises Unavailable."""
    return registry.Disabled(tuple(sorted(await devices.list_disabled(db))))
