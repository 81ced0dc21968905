"""Read the dead letters: receipts and alerts that were given up."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from autogrocery.contracts.ops.actions import DeadLetter, DeadLettersOut, LetterKind
from autogrocery.gateway.store.ops import due_now
from autogrocery.kit.errors import FieldError, Invalid
from autogrocery.kit.process.clock import rfc3339

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db


async def view_dead_letters(db: Db, *, kind: LetterKind | None, cursor: str | None, limit: int) -> DeadLettersOut:
    """Return a page, the newest first; raises Invalid(invalid_request) on a foreign cursor, and Unavailable."""
    before = _parse_cursor(cursor) if cursor else None
    found = await due_now.list_dead(db, kind=kind, before=before, limit=limit + 1)
    page = found[:limit]
    following = _make_cursor(page[-1].dead_at, page[-1].order_id) if len(found) > limit else None
    return DeadLettersOut(
        [
            DeadLetter(
                "receipts" if one.kind == "receipts" else "alerts",
                one.order_id,
                one.device_id,
                one.event,
                one.attempts,
                one.last_error,
                one.created_at,
                one.dead_at,
            )
            for one in page
        ],
        following,
    )


def _make_cursor(at: datetime, order_id: UUID) -> str:
    return base64.urlsafe_b64encode(f"{rfc3339(at)} {order_id}".encode()).decode()


def _parse_cursor(cursor: str) -> tuple[datetime, UUID]:
    try:
        at, order_id = base64.b64decode(cursor.encode(), b"-_", validate=True).decode().split(" ")
        found = (datetime.fromisoformat(at), UUID(order_id))
        if _make_cursor(*found) == cursor:
            return found
    except (ValueError, OverflowError):
        pass
    flaw = FieldError(pointer="/cursor", detail="take the next_cursor of the page before")
    raise Invalid("invalid_request", "the cursor is not one of ours", errors=(flaw,))
