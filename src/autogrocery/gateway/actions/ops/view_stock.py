"""View the shelves: inventory's units, with the prices that pricing tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from autogrocery.contracts.ops.stock import StockDetail, StockPage
from autogrocery.gateway.core.quote import RequestedItem
from autogrocery.kit.errors import InDoubt, NotFound
from autogrocery.kit.ids import uuid7

if TYPE_CHECKING:
    from autogrocery.contracts.ops.stock import StockQuery, StockRow
    from autogrocery.gateway.core.quote import Price
    from autogrocery.gateway.peers.inventory_operations import InventoryOperations
    from autogrocery.gateway.peers.pricing import Pricing

QUOTED_AT_ONCE = 100


async def view_stock(
    inventory: InventoryOperations, pricing: Pricing, query: StockQuery, *, currency: str
) -> StockPage:
    """Return a page of products. Raises NotTold or InDoubt if inventory does not tell."""
    page = await inventory.list_stock(query)
    return StockPage(await _priced(pricing, page.products), currency, page.next_cursor)


async def view_stock_of(inventory: InventoryOperations, pricing: Pricing, sku: str, *, currency: str) -> StockDetail:
    """Return a product with its lots. Raises NotFound, NotTold or InDoubt."""
    found = await inventory.get_stock(sku)
    if found is None:
        raise NotFound("unknown_sku", "Inventory does not know this product.")
    (product,) = await _priced(pricing, [found.product])
    return StockDetail(product, currency, found.lots)


async def _priced(pricing: Pricing, rows: list[StockRow]) -> list[StockRow]:
    """Return the rows with their prices; without them if pricing does not answer: they are not what was asked for."""
    prices: dict[str, Price] = {}
    for start in range(0, len(rows), QUOTED_AT_ONCE):
        items = [RequestedItem(row.sku, 1) for row in rows[start : start + QUOTED_AT_ONCE]]
        try:
            prices.update((await pricing.quote(uuid7(), items)).prices)
        except InDoubt:
            break
    return [
        replace(row, unit_price_cents=prices[row.sku].unit_price_cents) if row.sku in prices else row for row in rows
    ]
