"""Check the invariants of inventory's database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.store.audit import violations

if TYPE_CHECKING:
    from autogrocery.kit.pg.audit import InvariantResult
    from autogrocery.kit.pg.db import Db


async def audit(db: Db) -> list[InvariantResult]:
    """Return every invariant with the number of its violations and up to five examples."""
    return await violations(db)
