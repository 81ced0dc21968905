from __future__ import annotations

from typing import TYPE_CHECKING, Final

from autogrocery.kit.errors import Invalid
from autogrocery.pricing.store import products

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autogrocery.kit.pg.db import Db
    from autogrocery.pricing.core.price import Offer

MAX_UPDATES: Final = 1_000


async def update_stock_metrics(db: Db, offers: Sequence[Offer], currency: str) -> int:
    """Create or change the products of `offers`, all or none, and return how many; the last offer of a SKU counts.

    Raises Invalid for more than 1,000 offers, or a new product without an aisle or a price.
    """
    if len(offers) > MAX_UPDATES:
        raise Invalid("invalid_request", f"at most {MAX_UPDATES} updates in one call")
    by_sku = {offer.sku: offer for offer in offers}
    if not by_sku:
        return 0
    return await products.write(db, list(by_sku.values()), currency)
