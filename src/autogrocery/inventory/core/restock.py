"""The lines of a restock order: validated, with each SKU once."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from autogrocery.inventory.core.stock import AISLES, is_sku
from autogrocery.kit.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

MAX_LINES = 1_000
MAX_QUANTITY = 1_000_000
MAX_NAME_CHARACTERS = 200


class RestockLine(Struct, frozen=True):
    """One product of a restock order; `unit_cost_cents` is what the store pays for one unit."""

    sku: str
    name: str
    aisle_type: str
    quantity: int
    unit_cost_cents: int
    mfd_at: datetime | None
    expiry_at: datetime | None


def merge_restock_lines(lines: Iterable[RestockLine]) -> tuple[RestockLine, ...]:
    """Return the lines with every SKU once, sorted by SKU. Raises Invalid for a line that can't be stocked.

    All units of a SKU in one restock order are one lot: the lot expires at the earliest expiry of its lines.
    """
    by_sku: dict[str, RestockLine] = {}
    for line in lines:
        _check(line)
        earlier = by_sku.get(line.sku)
        by_sku[line.sku] = line if earlier is None else _add(earlier, line)
    if not 1 <= len(by_sku) <= MAX_LINES:
        raise Invalid("invalid_items", f"a restock order has 1..{MAX_LINES} products")
    if any(line.quantity > MAX_QUANTITY for line in by_sku.values()):
        raise Invalid("invalid_items", f"a restock order has at most {MAX_QUANTITY} units of a product")
    return tuple(by_sku[sku] for sku in sorted(by_sku))


def content_digest(supplier_id: str, lines: Sequence[RestockLine], *, shelved: bool) -> bytes:
    """Return the SHA-256 by which another restock order under the same id is recognised."""
    content = (supplier_id, lines) if shelved else (supplier_id, lines, "to be put away")
    return sha256(msgspec.json.encode(content)).digest()


def _add(earlier: RestockLine, line: RestockLine) -> RestockLine:
    """Return `line` with the quantity of both lines and the earlier of their expiries."""
    if earlier.aisle_type != line.aisle_type:
        raise Invalid("invalid_items", "one SKU has two aisles")
    expiries = [one.expiry_at for one in (earlier, line) if one.expiry_at is not None]
    quantity, expiry_at = earlier.quantity + line.quantity, min(expiries, default=None)
    return msgspec.structs.replace(line, quantity=quantity, expiry_at=expiry_at)


def _check(line: RestockLine) -> None:
    if not is_sku(line.sku):
        raise Invalid("invalid_items", "a SKU is malformed")
    if not 1 <= line.quantity <= MAX_QUANTITY or line.unit_cost_cents < 0:
        raise Invalid("invalid_items", f"a quantity is not 1..{MAX_QUANTITY}, or a cost is negative")
    if line.aisle_type not in AISLES:
        raise Invalid("invalid_items", f"an aisle is none of {', '.join(AISLES)}")
    if len(line.name) > MAX_NAME_CHARACTERS or not line.name.isprintable():
        raise Invalid("invalid_items", "a name is too long or not printable")
