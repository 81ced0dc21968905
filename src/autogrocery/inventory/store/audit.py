"""The inventory's invariants, as audit.sql beside this file states them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.kit.pg import audit

if TYPE_CHECKING:
    from autogrocery.kit.pg.audit import Invariant
    from autogrocery.kit.pg.db import Db

PACKAGE = "autogrocery.inventory.store"


async def violations(db: Db) -> list[Invariant]:
    """Run every query of audit.sql."""
    return await audit.violations(db, PACKAGE)
