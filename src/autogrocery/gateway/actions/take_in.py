"""Take a delivery in: the calls that a restock owes, by request and by sweeper alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.core.restock import Owed, RestockFact
from autogrocery.gateway.store import restocks
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.core.restock import Restock
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.gateway.peers.pricing import Pricing
    from autogrocery.kit.pg.db import Db


async def take_in(db: Db, inventory: Inventory, pricing: Pricing, metrics: Metrics, order_id: UUID) -> Restock | None:
    """Hand the delivery to inventory, then its costs to pricing, each once, whatever dies on the way; None if it is gone.

    Inventory first, for it alone may refuse: then nothing has happened at pricing. Returns the restock afresh. Raises InDoubt if
    a peer gives no clear answer: the row owes that call, and the sweeper goes on. Raises Unavailable: ask again.
    """
    restock = await restocks.get(db, order_id)
    if restock is not None and restock.intent is Owed.RESTOCK:
        refusal = await inventory.restock_items(restock)
        await _note(db, metrics, restock, refusal)
        restock = await restocks.get(db, order_id)
    if restock is not None and restock.intent is Owed.PRICE:
        await pricing.update_stock_metrics([line.goods for line in restock.lines])
        await restocks.mark_priced(db, order_id)
        restock = await restocks.get(db, order_id)
    return restock


async def _note(db: Db, metrics: Metrics, restock: Restock, refusal: str | None) -> None:
    """Commit what inventory has answered, unless a webhook was faster: that knows as much and more."""
    fact = RestockFact.ACCEPTED if refusal is None else RestockFact.REFUSED
    news = await restocks.move(db, restock, fact, number=metrics.take(), refusal=refusal)
    if news is not None:
        await metrics.tell(news.changes)
        log.info(f"restock_{fact}", order_id=str(restock.order_id), lines=len(restock.lines))
