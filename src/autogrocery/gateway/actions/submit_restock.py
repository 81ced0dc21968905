"""Submit a restock: make the calls that it owes. The request and the sweeper call the same function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.core.restock import RestockFact, RestockIntent
from autogrocery.gateway.store import restocks
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.core.restock import Restock
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.gateway.peers.pricing import Pricing
    from autogrocery.kit.pg.db import Db


async def submit_restock(
    db: Db, inventory: Inventory, pricing: Pricing, metrics: Metrics, order_id: UUID
) -> Restock | None:
    """Submit the delivery to inventory, then its costs to pricing, each once even if a process dies.

    Inventory comes first, because only inventory may refuse; pricing then is not called. Returns the restock as it is
    then, None if its row is gone. Raises InDoubt if a peer gives no clear answer: the row owes that call, and the
    sweeper repeats it. Raises Unavailable: ask again.
    """
    restock = await restocks.get(db, order_id)
    if restock is not None and restock.intent is RestockIntent.RESTOCK:
        refusal = await inventory.restock_items(restock)
        await _commit_answer(db, metrics, restock, refusal)
        restock = await restocks.get(db, order_id)
    if restock is not None and restock.intent is RestockIntent.PRICE:
        await pricing.update_stock_metrics([line.goods for line in restock.lines])
        await restocks.mark_priced(db, order_id)
        restock = await restocks.get(db, order_id)
    return restock


async def _commit_answer(db: Db, metrics: Metrics, restock: Restock, refusal: str | None) -> None:
    """Commit inventory's answer, unless a webhook was first: it reports as much and more."""
    fact = RestockFact.ACCEPTED if refusal is None else RestockFact.REFUSED
    applied = await restocks.apply_fact(db, restock, fact, number=metrics.reserve_numbers(), refusal=refusal)
    if applied is not None:
        await metrics.publish(applied.changes)
        log.info(f"restock_{fact}", order_id=str(restock.order_id), lines=len(restock.lines))
