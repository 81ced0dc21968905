"""The metrics log: what a reader of frames asks for when numbers are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Struct

from autogrocery.gateway.peers.metrics import metric_of
from autogrocery.gateway.store import metrics_log
from autogrocery.kit.errors import Flaw, Invalid

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db


class MetricsLogQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing: list the epochs. `epoch` and `after`: what was written in that epoch after that number."""

    epoch: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] | None = None
    after: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] = 0


async def view_metrics_log(db: Db, store_id: str, query: MetricsLogQuery) -> dict[str, Any]:
    """Return the epochs, or a page of one: metrics, void numbers, and the number up to which all is final."""
    if query.epoch is None:
        if query.after:
            flaw = Flaw(pointer="/epoch", detail="after goes with an epoch")
            raise Invalid("invalid_request", "the query is incomplete", errors=(flaw,))
        return {"epochs": await metrics_log.list_epochs(db)}
    page = await metrics_log.page(db, query.epoch, query.after)
    return {
        "metrics": [metric_of(change, store_id) for change in page.changes],
        "void": page.void,
        "next_after": page.next_after,
    }
