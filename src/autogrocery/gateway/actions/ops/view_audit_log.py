"""Read the log of operators' writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.contracts.ops.audit_log import AuditLogOut
from autogrocery.gateway.store.ops import audit_log
from autogrocery.kit.errors import FieldError, Invalid

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db

MAX_DIGITS = 18  # of an entry's id: more than a bigint may hold is no cursor of ours


async def view_audit_log(db: Db, *, target: str | None, cursor: str | None, limit: int) -> AuditLogOut:
    """Return a page, newest first; raises Invalid(invalid_request) on a foreign cursor, and Unavailable."""
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) <= MAX_DIGITS):
        flaw = FieldError(pointer="/cursor", detail="take the next_cursor of the page before")
        raise Invalid("invalid_request", "the cursor is not one of ours", errors=(flaw,))
    before_id = int(cursor) if cursor is not None else None
    found = await audit_log.list_entries(db, before_id=before_id, target=target, limit=limit + 1)
    page = found[:limit]
    return AuditLogOut(page, str(page[-1].entry_id) if len(found) > limit else None)
