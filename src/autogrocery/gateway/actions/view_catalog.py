"""Read the catalog: pricing's products, with inventory's available quantities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.wire.orders import CatalogOut, CatalogQuery, ProductOut
from autogrocery.kit.errors import InDoubt, Unavailable

if TYPE_CHECKING:
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.pricing import Pricing


async def view_catalog(inventory: Inventory, pricing: Pricing, query: CatalogQuery) -> CatalogOut:
    """Return a page of products by name or SKU; `available` is null if inventory does not answer.

    Raises Unavailable if pricing does not answer.
    """
    try:
        page = await pricing.list_products(query.q, query.cursor, query.limit)
    except InDoubt as doubt:
        raise Unavailable("pricing_unavailable", "pricing gave no clear answer: ask again") from doubt
    try:
        levels = await inventory.check_availability([product.sku for product in page.products]) if page.products else {}
    except InDoubt:
        levels = None
    return CatalogOut(
        [
            ProductOut(
                found.sku,
                found.name,
                found.aisle_type,
                found.unit_price_cents,
                None if levels is None else levels.get(found.sku, 0),
            )
            for found in page.products
        ],
        page.next_cursor or None,
    )
