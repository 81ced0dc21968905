"""From a basket to priced lines: merge items, derive the order's id, join pricing's and inventory's answers. Pure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
from msgspec import Struct

from autogrocery.gateway.core.order import Line
from autogrocery.kit.errors import FieldError, Invalid
from autogrocery.kit.ids import uuid5

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MAX_QUANTITY = 999
ORDER_NAMES = UUID("8d5f2a5e-6a0e-5c3f-9d56-0f6b1e1d8f11")  # namespace of the UUIDv5 of (device, key)


class RequestedItem(Struct, frozen=True):
    """A quantity of one SKU, not yet priced or granted."""

    sku: str
    quantity: int


class LineError(FieldError, frozen=True, omit_defaults=True):
    """An entry of a problem's `errors[]` about one SKU; for a shortage, the units requested and available."""

    sku: str | None = None
    requested: int | None = None
    available: int | None = None


class Price(Struct, frozen=True):
    """Name and price of one SKU."""

    name: str
    unit_price_cents: int


class Quote(Struct, frozen=True):
    """Pricing's answer, from which the order's lines are made."""

    currency: str
    prices: Mapping[str, Price]
    unknown_skus: tuple[str, ...] = ()


def merge(items: Iterable[RequestedItem]) -> tuple[RequestedItem, ...]:
    """Add up items of the same SKU and sort by SKU; raises Invalid(invalid_request) above MAX_QUANTITY."""
    quantities: dict[str, int] = {}
    for item in items:
        quantities[item.sku] = quantities.get(item.sku, 0) + item.quantity
    for sku, quantity in quantities.items():
        if quantity > MAX_QUANTITY:
            flaw = FieldError(
                pointer="/items", detail=f"the lines of {sku} add up to {quantity}, more than {MAX_QUANTITY}"
            )
            raise Invalid("invalid_request", "a quantity is out of range", errors=(flaw,))
    return tuple(RequestedItem(sku, quantities[sku]) for sku in sorted(quantities))


def order_id_of(user_id: int, key: str) -> UUID:
    """Return the id of the order that this device's Idempotency-Key names: the same at every retry."""
    return uuid5(ORDER_NAMES, f"{user_id}:{key}")


def fingerprint(items: Sequence[RequestedItem], *, allow_partial: bool) -> bytes:
    """Return the SHA-256 of the merged basket: equal for the same request however its JSON is written."""
    return hashlib.sha256(msgspec.json.encode((items, allow_partial))).digest()


def lines_of(items: Sequence[RequestedItem], quote: Quote, granted: Mapping[str, int]) -> tuple[Line, ...]:
    """Return the lines of what was requested, priced and granted; SKUs of which nothing was granted are left out."""
    return tuple(
        Line(
            item.sku,
            quote.prices[item.sku].name,
            granted[item.sku],
            item.quantity,
            quote.prices[item.sku].unit_price_cents,
        )
        for item in items
        if granted.get(item.sku, 0) > 0
    )
