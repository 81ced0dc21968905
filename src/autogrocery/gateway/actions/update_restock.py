"""Update a restock to inventory's report of its progress, by webhook, or by the reconciler if that was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.core.restock import RESTOCK_TERMINAL, RestockStatus, require_counts, steps_of
from autogrocery.gateway.store import inbox, restocks
from autogrocery.kit.errors import Conflict, NotFound, Unavailable
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from autogrocery.gateway.core.order import WebhookDelivery
    from autogrocery.gateway.core.restock import RestockFact
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.kit.pg.db import Db

MAX_ATTEMPTS = 4  # each one means that another caller has changed the restock meanwhile


class UpdateRestockResult(Struct, frozen=True):
    """`applied`: this call changed a status or a count; `status` is the restock's now."""

    applied: bool
    status: RestockStatus


async def update_restock(
    db: Db,
    metrics: Metrics,
    order_id: UUID,
    fact: RestockFact,
    counts: Mapping[str, tuple[int, int]],
    *,
    delivery: WebhookDelivery | None = None,
) -> UpdateRestockResult:
    """Commit a fact and the totals (received, damaged) by SKU.

    Totals lower than the known ones came late and change nothing. Raises NotFound(order_not_found),
    Conflict(webhook_differs), Invalid(invalid_request) and Unavailable; after none of them is anything stored.
    """
    for _ in range(MAX_ATTEMPTS):
        restock = await restocks.get(db, order_id)
        if restock is None:
            raise NotFound("order_not_found", "no such restock order")
        require_counts(restock, counts)
        if restock.status in RESTOCK_TERMINAL:
            if delivery and not await inbox.remember_of_restock(db, order_id, delivery):
                raise _other_body()
            return UpdateRestockResult(applied=False, status=restock.status)
        number = metrics.reserve_numbers(len(steps_of(restock.status, fact)))
        applied = await restocks.apply_fact(db, restock, fact, number=number, counts=counts, delivery=delivery)
        if applied is not None:
            await metrics.publish(applied.changes)
            status = RestockStatus(applied.changes[-1].to_status) if applied.changes else restock.status
            log.info("restock_updated", order_id=str(order_id), status=status, counted=applied.counted)
            return UpdateRestockResult(applied=bool(applied.changes) or applied.counted, status=status)
        if delivery and (before := await inbox.get_of_restock(db, order_id, delivery.webhook_id)) is not None:
            if before != delivery.body_sha256:
                raise _other_body()
            fresh = await restocks.get(db, order_id)
            return UpdateRestockResult(applied=False, status=fresh.status if fresh else restock.status)
    raise Unavailable("order_busy", "the restock changed again and again")


def _other_body() -> Conflict:
    return Conflict("webhook_differs", "this webhook id was delivered before with another body")
