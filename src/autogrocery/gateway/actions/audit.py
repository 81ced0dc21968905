"""Audit: check in the database that every invariant of docs/PROTOCOL.md#rules holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.store import receipts
from autogrocery.kit.pg.audit import InvariantResult, violations

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db

PACKAGE = "autogrocery.gateway.store"


class AuditOut(Struct, frozen=True):
    """Every invariant with the number of rows that violate it, and a few of those rows.

    `dead_letters` counts receipts and alerts that were given up: not a violation, but an operator should look.
    """

    clean: bool
    invariants: list[InvariantResult]
    dead_letters: dict[str, int]


async def audit(db: Db) -> AuditOut:
    """Run every query of audit.sql; `clean` if none returns a row. Raises Unavailable."""
    found = await violations(db, PACKAGE)
    return AuditOut(not any(invariant.violations for invariant in found), found, await receipts.count_dead(db))
