"""The operator's writes on orders, restocks and dead letters.

POST /internal/ops/orders/{order_id}/{action}, /restocks/{order_id}/{action} and /dead-letters/{kind}/{id}/replay;
GET /dead-letters. A write may carry an Idempotency-Key: the same key answers the same.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Annotated, Literal
from uuid import UUID  # noqa: TC003

from msgspec import Meta, Struct

Reason = Annotated[str, Meta(min_length=1, max_length=500, pattern=r"\S")]
LetterKind = Literal["receipts", "alerts"]


class ActionIn(Struct, frozen=True, forbid_unknown_fields=True):
    """Why the operator does it: it is written into the audit log, so no address or telephone number belongs there."""

    reason: Reason


class ActionOut(Struct, frozen=True):
    """What an action did. `applied`: this call changed the row, or asked a peer about it and got a clear answer.

    `before` and `after` are the state of its target in one word or two, as PROCESSING or PREVIEWED/DISPATCH (a call
    that is owed); `words` says it in a sentence.
    """

    applied: bool
    before: str
    after: str
    words: str


class DeadLetter(Struct, frozen=True):
    """A receipt or an alert that was given up. `id` is its order's; the address is not told."""

    kind: LetterKind
    id: UUID
    device_id: str
    event: str
    attempts: int
    last_error: str | None
    created_at: datetime
    dead_at: datetime


class DeadLettersOut(Struct, frozen=True):
    """A page, the newest first; `next_cursor` None: the last page."""

    data: list[DeadLetter]
    next_cursor: str | None
