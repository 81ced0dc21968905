"""Prices and quotes, in integer cents. The bounds keep every sum within an int64."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.kit.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

AISLE_TYPES: Final = frozenset({"bread", "dairy", "meat", "produce", "party"})
MAX_PRICE_CENTS: Final = 10**12  # a quote of 100 lines of 999 units is below 2^63 cents
MAX_QUANTITY: Final = 999
MAX_LINES: Final = 100
MAX_SKU_CHARS: Final = 64
MAX_NAME_CHARS: Final = 200
CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # what no receipt can show on a line


class Line(Struct, frozen=True):
    """A SKU and its quantity."""

    sku: str
    quantity: int


class Product(Struct, frozen=True):
    """A row of the price list."""

    sku: str
    name: str
    aisle_type: str
    unit_price_cents: int
    currency: str


class QuotedLine(Struct, frozen=True):
    """A line with its price."""

    sku: str
    name: str
    quantity: int
    unit_price_cents: int
    line_total_cents: int


class Quote(Struct, frozen=True):
    """The priced lines of a basket and their total; unknown SKUs are listed and cost nothing."""

    lines: tuple[QuotedLine, ...]
    total_cents: int
    unknown_skus: tuple[str, ...]


class ProductPage(Struct, frozen=True):
    """One page of products by SKU; `next_cursor` is empty on the last page."""

    products: tuple[Product, ...]
    next_cursor: str


class Offer(Struct, frozen=True):
    """A change of the price list. A `unit_price_cents` of None, an empty `name` or `aisle_type` leave the old value."""

    sku: str
    name: str
    aisle_type: str
    unit_price_cents: int | None
    unit_cost_cents: int
    quantity: int


def is_sku(text: str) -> bool:
    """Return whether `text` can be a SKU: 1..64 characters without NUL."""
    return 0 < len(text) <= MAX_SKU_CHARS and "\0" not in text


def check_lines(lines: Sequence[Line]) -> None:
    """Raise Invalid unless there are 1..100 lines of 1..999 units, each of another SKU."""
    if not 1 <= len(lines) <= MAX_LINES:
        raise Invalid("invalid_request", f"a quote has 1..{MAX_LINES} lines")
    if any(not 1 <= line.quantity <= MAX_QUANTITY for line in lines):
        raise Invalid("invalid_request", f"quantities are 1..{MAX_QUANTITY}")
    if len({line.sku for line in lines}) != len(lines):
        raise Invalid("invalid_request", "a SKU is in two lines: merge them first")


def quote(lines: Sequence[Line], products: Mapping[str, Product]) -> Quote:
    """Return the quote for `lines`, in their order; `products` is keyed by SKU."""
    priced = tuple(
        QuotedLine(line.sku, known.name, line.quantity, known.unit_price_cents, known.unit_price_cents * line.quantity)
        for line in lines
        if (known := products.get(line.sku))
    )
    unknown = tuple(line.sku for line in lines if line.sku not in products)
    return Quote(priced, sum(line.line_total_cents for line in priced), unknown)


def price_cents(unit_cost_cents: int, margin_percent: int) -> int:
    """Return the cost plus the margin on it, rounded up to the cent."""
    return -(-unit_cost_cents * (100 + margin_percent) // 100)


def make_offer(
    *,
    sku: str,
    name: str,
    aisle_type: str,
    unit_price_cents: int,
    unit_cost_cents: int,
    quantity: int,
    margin_percent: int,
) -> Offer:
    """Return the offer of a stock metric: the given price, else cost plus margin, else no price.

    Raises Invalid for a malformed SKU, name or aisle, and for numbers out of range.
    """
    if not is_sku(sku) or len(name) > MAX_NAME_CHARS or CONTROL.search(sku + name):
        raise Invalid(
            "invalid_request",
            f"a SKU has 1..{MAX_SKU_CHARS} characters, a name up to {MAX_NAME_CHARS}, and neither a control character",
        )
    if aisle_type and aisle_type not in AISLE_TYPES:
        raise Invalid("invalid_request", f"aisle_type is one of {', '.join(sorted(AISLE_TYPES))}")
    if unit_price_cents < 0 or unit_cost_cents < 0 or quantity < 0:
        raise Invalid("invalid_request", "prices, costs and quantities are not negative")
    price = unit_price_cents or price_cents(unit_cost_cents, margin_percent)
    if max(price, unit_cost_cents) > MAX_PRICE_CENTS:
        raise Invalid("invalid_request", f"prices and costs are at most {MAX_PRICE_CENTS} cents")
    return Offer(sku, name, aisle_type, price or None, unit_cost_cents, quantity)
