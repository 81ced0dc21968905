"""Say what can be bought."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.inventory.core.stock import is_sku
from autogrocery.inventory.store import holds
from autogrocery.kit.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autogrocery.inventory.core.stock import Line
    from autogrocery.kit.pg.db import Db

MAX_SKUS = 1_000


async def check_availability(db: Db, skus: Sequence[str]) -> list[Line]:
    """Return what is free of each known SKU, sorted; unknown ones are left out. Raises Invalid beyond 1,000 SKUs."""
    if len(skus) > MAX_SKUS or not all(map(is_sku, skus)):
        raise Invalid("invalid_skus", f"asks for more than {MAX_SKUS} SKUs, or for what is none")
    return await holds.available(db, sorted(set(skus)))
