"""Inventory's invariants, from audit.sql beside this file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.kit.pg import audit

if TYPE_CHECKING:
    from autogrocery.kit.pg.audit import InvariantResult
    from autogrocery.kit.pg.db import Db

PACKAGE = "autogrocery.inventory.store"


async def violations(db: Db) -> list[InvariantResult]:
    """Run every query of audit.sql; return each invariant with its violations."""
    return await audit.violations(db, PACKAGE)
