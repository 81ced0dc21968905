"""Take from the shelf what is to be sold no longer."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from autogrocery.inventory.core.lots import shown
from autogrocery.inventory.core.stock import StaleError
from autogrocery.inventory.store import lots
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from autogrocery.inventory.store.lots import Left
    from autogrocery.kit.pg.db import Db

T = TypeVar("T")


async def settle_lots(db: Db, skus: Sequence[str]) -> None:
    """Settle the lots of these SKUs: units that expired leave the shelf, as far as they are not promised."""
    async with db.transaction() as tx:
        await lots.lock(tx, skus)
        left = await lots.settle(tx, skus)
    tell_left(left)


async def settle_due_lots(db: Db) -> bool:
    """Settle one batch of SKUs with expired units on hand; True if there may be more."""
    skus = await lots.due(db)
    if skus:
        await settle_lots(db, skus)
    return len(skus) == lots.DUE_BATCH


async def once_settled(db: Db, take: Callable[[], Awaitable[T]]) -> T:
    """Take stock; if some of it has expired, settle the lots and take it once more. Raises Unavailable if more expired meanwhile."""
    try:
        return await take()
    except StaleError as error:
        await settle_lots(db, error.skus)
    try:
        return await take()
    except StaleError:
        raise Unavailable("stock_unsettled", "more of the stock has expired just now", retry_after_s=1.0) from None


def tell_left(left: Iterable[Left]) -> None:
    """Log each lot of which units left the shelf."""
    for one in left:
        event = "lot_recalled" if one.recalled else "lot_expired"
        log.info(event, sku=one.sku, lot=shown(one.lot), units=one.units)
