"""A supplier's delivery, checked and with each SKU once."""

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


class Delivered(Struct, frozen=True):
    """One product as it comes off the truck; `unit_cost_cents` is what the store pays for one."""

    sku: str
    name: str
    aisle_type: str
    quantity: int
    unit_cost_cents: int
    mfd_at: datetime | None
    expiry_at: datetime | None


def gathered(lines: Iterable[Delivered]) -> tuple[Delivered, ...]:
    """Return the lines with every SKU once, sorted by it; raises Invalid for what can't be put on a shelf.

    What a delivery brings of a SKU is one lot: it expires when the first of it does.
    """
    found: dict[str, Delivered] = {}
    for line in lines:
        _check(line)
        earlier = found.get(line.sku)
        if earlier is not None and earlier.aisle_type != line.aisle_type:
            raise Invalid("invalid_items", "one SKU stands in two aisles")
        if earlier is not None:
            expiries = [one.expiry_at for one in (earlier, line) if one.expiry_at is not None]
            quantity, expiry_at = earlier.quantity + line.quantity, min(expiries, default=None)
            line = msgspec.structs.replace(line, quantity=quantity, expiry_at=expiry_at)  # noqa: PLW2901 - of which it is a part
        found[line.sku] = line
    if not 1 <= len(found) <= MAX_LINES:
        raise Invalid("invalid_items", f"a delivery has 1..{MAX_LINES} products")
    if any(line.quantity > MAX_QUANTITY for line in found.values()):
        raise Invalid("invalid_items", f"a delivery brings at most {MAX_QUANTITY} of a product")
    return tuple(found[sku] for sku in sorted(found))


def digest(supplier_id: str, lines: Sequence[Delivered], *, shelved: bool) -> bytes:
    """Return the SHA-256 that tells this delivery from another under the same id."""
    content = (supplier_id, lines) if shelved else (supplier_id, lines, "to be put away")
    return sha256(msgspec.json.encode(content)).digest()


def _check(line: Delivered) -> None:
    if not is_sku(line.sku):
        raise Invalid("invalid_items", "a SKU is none")
    if not 1 <= line.quantity <= MAX_QUANTITY or line.unit_cost_cents < 0:
        raise Invalid("invalid_items", f"a quantity is not 1..{MAX_QUANTITY}, or a cost is negative")
    if line.aisle_type not in AISLES:
        raise Invalid("invalid_items", f"an aisle is none of {', '.join(AISLES)}")
    if len(line.name) > MAX_NAME_CHARACTERS or not line.name.isprintable():
        raise Invalid("invalid_items", "a name is too long or not printable")
