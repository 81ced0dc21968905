from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.pricing.core import price
from autogrocery.pricing.store import products

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autogrocery.kit.pg.db import Db


async def quote(db: Db, lines: Sequence[price.Line]) -> price.Quote:
    """Price a basket at the current prices, in the basket's order. Raises Invalid for a malformed basket."""
    price.check_lines(lines)
    known = await products.get(db, [line.sku for line in lines if price.is_sku(line.sku)])
    return price.quote(lines, known)
