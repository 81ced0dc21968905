"""GET /internal/ops/stock and /stock/{sku}: what inventory has of each product, with its price where told."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Annotated

from msgspec import Meta, Struct


class StockQuery(Struct, frozen=True):
    """Filters of the list.

    `q` is the beginning of a SKU or a part of a name, `low` keeps products with at most that many units on hand.
    """

    q: Annotated[str, Meta(max_length=100)] = ""
    aisle: Annotated[str, Meta(max_length=20)] = ""
    low: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    cursor: Annotated[str, Meta(max_length=200)] = ""
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class StockRow(Struct, frozen=True):
    """Units of one product.

    `on_hand` is free to sell; `held` and `allocated` stand on the shelf and are promised; `incoming` is announced and
    not yet put away. `next_expiry` is of its sellable lots. `unit_price_cents` None: pricing does not tell.
    """

    sku: str
    name: str
    aisle_type: str
    on_hand: int
    held: int
    allocated: int
    incoming: int
    lots: int
    next_expiry: datetime | None
    unit_price_cents: int | None


class StockPage(Struct, frozen=True):
    """A page, by SKU. `currency` is that of the prices."""

    data: list[StockRow]
    currency: str
    next_cursor: str | None


class ShelfLot(Struct, frozen=True):
    """A lot with units on the shelf. `expiry_at` None: it does not expire."""

    lot: str
    expiry_at: datetime | None
    received_at: datetime
    received: int
    on_shelf: int
    expired: bool
    recalled_at: datetime | None


class StockDetail(Struct, frozen=True):
    """A product and its lots on the shelf, the earliest expiry first."""

    product: StockRow
    currency: str
    lots: list[ShelfLot]
