"""GET /internal/ops/audit-log: every write of an operator, newest first."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations

from msgspec import Struct

Facts = dict[str, str | int | bool | None]


class AuditEntry(Struct, frozen=True):
    """One write. It is written down before it runs.

    `outcome`: done, refused:<code>, in_doubt, or started (it runs, or its gateway died meanwhile). `before` and `after`
    are the facts about the target that it may change; addresses and numbers are masked.
    """

    entry_id: int
    at: datetime
    operator: str
    action: str
    target: str
    reason: str
    outcome: str
    before: Facts | None
    after: Facts | None


class AuditLogOut(Struct, frozen=True):
    """A page; `next_cursor` None: the last page."""

    data: list[AuditEntry]
    next_cursor: str | None
