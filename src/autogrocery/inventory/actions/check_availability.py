"""Return the free stock of SKUs."""

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
    """Return the free units of each known SKU, sorted; unknown ones are left out.

    Raises Invalid for more than 1,000 SKUs or a malformed one.
    """
    if len(skus) > MAX_SKUS or not all(map(is_sku, skus)):
        raise Invalid("invalid_skus", f"asks for more than {MAX_SKUS} SKUs, or for a malformed one")
    return await holds.list_available(db, sorted(set(skus)))
