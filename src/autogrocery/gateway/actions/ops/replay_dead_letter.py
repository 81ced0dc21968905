"""Replay a dead letter: make a receipt or an alert that was given up due again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.contracts.ops.actions import ActionOut, LetterKind
from autogrocery.gateway.actions.ops.record_write import Recorded, Write, Written, record_write
from autogrocery.gateway.store import receipts
from autogrocery.gateway.store.ops import due_now
from autogrocery.kit.errors import Conflict, NotFound

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.store.ops.due_now import LetterState
    from autogrocery.kit.pg.db import Db


async def replay_dead_letter(db: Db, kind: LetterKind, order_id: UUID, write: Write) -> Recorded[ActionOut]:
    """Make the dead letter due again; the notifier sends it, a receipt with the same Message-ID.

    Repeated, it changes nothing. Raises NotFound(letter_not_found), Conflict(receipt_sent, too_old), what
    `record_write` raises, and Unavailable.
    """
    before = await _read(db, kind, order_id)

    async def run() -> Written[ActionOut]:
        if before.state == "done":
            raise Conflict("receipt_sent", f"nothing is to be sent: {before.note or 'it was sent'}")
        if kind == "receipts":
            applied = await receipts.replay(db, [order_id]) == 1
        else:
            applied = await due_now.replay_alert(db, order_id)
        after = await _read(db, kind, order_id)
        if after.state == "dead":
            raise Conflict("too_old", "an alert is not sent more than a day late")
        words = "It is due again." if applied else "It was due already."
        return Written(ActionOut(applied, before.state, after.state, words), {"state": after.state})

    return await record_write(db, write, ActionOut, {"state": before.state}, run)


async def _read(db: Db, kind: LetterKind, order_id: UUID) -> LetterState:
    found = await (due_now.read_receipt if kind == "receipts" else due_now.read_alert)(db, order_id)
    if found is None:
        raise NotFound("letter_not_found", "this order has no such letter")
    return found
