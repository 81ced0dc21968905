"""Write off expired and recalled units."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from autogrocery.inventory.core.lots import format_lot
from autogrocery.inventory.core.stock import StaleStockError
from autogrocery.inventory.store import lots
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from autogrocery.inventory.store.lots import LotRemoval
    from autogrocery.kit.pg.db import Db

T = TypeVar("T")


async def write_off_lots(db: Db, skus: Sequence[str]) -> None:
    """Write off the expired and recalled units of these SKUs, as far as they are not promised to orders."""
    log_removals(await lots.lock_and_write_off(db, skus))


async def write_off_due_lots(db: Db) -> bool:
    """Write off the lots of one batch of SKUs with expired units on hand; True if there may be more."""
    skus = await lots.list_due(db)
    if skus:
        await write_off_lots(db, skus)
    return len(skus) == lots.DUE_BATCH


async def with_write_off(db: Db, attempt: Callable[[], Awaitable[T]]) -> T:
    """Run `attempt`; if it meets expired stock, write that off and run it once more.

    Raises Unavailable if more stock expired meanwhile.
    """
    try:
        return await attempt()
    except StaleStockError as error:
        await write_off_lots(db, error.skus)
    try:
        return await attempt()
    except StaleStockError:
        raise Unavailable(
            "stock_write_off_pending", "more of the stock has expired meanwhile", retry_after_s=1.0
        ) from None


def log_removals(removals: Iterable[LotRemoval]) -> None:
    """Log each lot of which units were written off."""
    for one in removals:
        event = "lot_recalled" if one.recalled else "lot_expired"
        log.info(event, sku=one.sku, lot=format_lot(one.lot), units=one.units)
