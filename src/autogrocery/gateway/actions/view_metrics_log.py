"""View the metrics log: the committed metrics, from which a subscriber fills gaps in its sequence numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Struct

from autogrocery.gateway.peers.metrics import metric_of
from autogrocery.gateway.store import metrics_log
from autogrocery.kit.errors import FieldError, Invalid

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db


class MetricsLogQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Without `epoch`: list the epochs. With it: the metrics of that epoch whose sequence number is above `after`.

    `since` (Unix seconds, without `epoch`): the epochs that began or had a change after it; else within seven days.
    """

    epoch: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] | None = None
    after: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] = 0
    since: Annotated[int, Meta(ge=0, le=1 << 40)] | None = None


async def view_metrics_log(db: Db, store_id: str, query: MetricsLogQuery) -> dict[str, Any]:
    """Return the epochs, or a page of one: metrics, void numbers, and the number up to which the page is final.

    Raises Invalid(invalid_request) for `after` without `epoch` and `since` with it, and Unavailable.
    """
    if query.epoch is None:
        if query.after:
            flaw = FieldError(pointer="/epoch", detail="after goes with an epoch")
            raise Invalid("invalid_request", "the query is incomplete or contradicts itself", errors=(flaw,))
        return {"epochs": await metrics_log.list_epochs(db, query.since)}
    if query.since is not None:
        flaw = FieldError(pointer="/since", detail="since goes without an epoch")
        raise Invalid("invalid_request", "the query is incomplete or contradicts itself", errors=(flaw,))
    page = await metrics_log.page(db, query.epoch, query.after)
    return {
        "metrics": [metric_of(change, store_id) for change in page.changes],
        "void": page.void,
        "next_after": page.next_after,
    }
