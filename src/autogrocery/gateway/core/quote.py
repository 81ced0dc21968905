"""From a basket to priced lines: merge, name the order, join what pricing and inventory said. Pure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

import msgspec
from msgspec import Struct

from autogrocery.gateway.core.order import Line
from autogrocery.kit.errors import Flaw, Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MAX_QUANTITY = 999
ORDER_NAMES = UUID("8d5f2a5e-6a0e-5c3f-9d56-0f6b1e1d8f11")  # the namespace in which (device, key) names an order


class Want(Struct, frozen=True):
    """So many of one SKU, not yet priced or granted."""

    sku: str
    quantity: int


class Price(Struct, frozen=True):
    """What pricing says of one SKU."""

    name: str
    unit_price_cents: int


class Quote(Struct, frozen=True):
    """Pricing's answer: the promise that the order's lines are made of."""

    currency: str
    prices: Mapping[str, Price]
    unknown_skus: tuple[str, ...] = ()


def merge(items: Iterable[Want]) -> tuple[Want, ...]:
    """Add up lines of the same SKU and sort by SKU, before anything else; raises Invalid(invalid_request) above MAX_QUANTITY."""
    wanted: dict[str, int] = {}
    for item in items:
        wanted[item.sku] = wanted.get(item.sku, 0) + item.quantity
    for sku, quantity in wanted.items():
        if quantity > MAX_QUANTITY:
            flaw = Flaw(pointer="/items", detail=f"the lines of {sku} add up to {quantity}, more than {MAX_QUANTITY}")
            raise Invalid("invalid_request", "a quantity is out of range", errors=(flaw,))
    return tuple(Want(sku, wanted[sku]) for sku in sorted(wanted))


def order_id_of(user_id: int, key: str) -> UUID:
    """Return the order that this device's Idempotency-Key names, now and at every retry."""
    return uuid5(ORDER_NAMES, f"{user_id}:{key}")


def fingerprint(wants: Sequence[Want], *, allow_partial: bool) -> bytes:
    """Return the SHA-256 of the merged basket: equal for the same request however its JSON was written."""
    return hashlib.sha256(msgspec.json.encode((wants, allow_partial))).digest()


def lines_of(wants: Sequence[Want], quote: Quote, granted: Mapping[str, int]) -> tuple[Line, ...]:
    """Join what was wanted, priced and granted; SKUs of which nothing was granted are dropped."""
    return tuple(
        Line(
            want.sku,
            quote.prices[want.sku].name,
            granted[want.sku],
            want.quantity,
            quote.prices[want.sku].unit_price_cents,
        )
        for want in wants
        if granted.get(want.sku, 0) > 0
    )
