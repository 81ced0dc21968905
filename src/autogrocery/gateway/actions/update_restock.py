"""Update a restock: inventory tells how far it has come. By webhook, and by the reconciler when the webhook got lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.core.restock import RESTOCK_TERMINAL, RestockStatus, require_counts, steps_of
from autogrocery.gateway.store import inbox, restocks
from autogrocery.kit.errors import Conflict, NotFound, Unavailable
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from autogrocery.gateway.core.restock import RestockFact
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.gateway.store.moves import Delivery
    from autogrocery.kit.pg.db import Db

TURNS = 4  # how often somebody else may be faster


async def update_restock(
    db: Db,
    metrics: Metrics,
    order_id: UUID,
    fact: RestockFact,
    counts: Mapping[str, tuple[int, int]],
    *,
    delivery: Delivery | None = None,
) -> tuple[bool, RestockStatus]:
    """Commit a fact and the totals (received, damaged) by SKU; returns whether this call changed anything, and the status now.

    Totals that are lower than what is known came late and change nothing. Raises NotFound(order_not_found),
    Conflict(webhook_differs), Invalid(invalid_request) and Unavailable; after none of them is anything remembered.
    """
    for _ in range(TURNS):
        restock = await restocks.get(db, order_id)
        if restock is None:
            raise NotFound("order_not_found", "no such restock order")
        require_counts(restock, counts)
        if restock.status in RESTOCK_TERMINAL:
            if delivery and not await inbox.remember_of_restock(db, order_id, delivery):
                raise _differs()
            return False, restock.status
        number = metrics.take(len(steps_of(restock.status, fact)))
        news = await restocks.move(db, restock, fact, number=number, counts=counts, delivery=delivery)
        if news is not None:
            await metrics.tell(news.changes)
            status = RestockStatus(news.changes[-1].to_status) if news.changes else restock.status
            log.info("restock_updated", order_id=str(order_id), status=status, counted=news.counted)
            return bool(news.changes) or news.counted, status
        if delivery and (before := await inbox.get_of_restock(db, order_id, delivery.webhook_id)) is not None:
            if before != delivery.body_sha256:
                raise _differs()
            fresh = await restocks.get(db, order_id)
            return False, fresh.status if fresh else restock.status
    raise Unavailable("order_busy", "the restock changed again and again")


def _differs() -> Conflict:
    return Conflict("webhook_differs", "this webhook id was delivered before with another body")
