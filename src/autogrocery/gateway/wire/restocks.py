"""The JSON of trucks' requests and responses, field for field (docs/CONTRACT.md#public-rest)."""

from __future__ import annotations

from datetime import date, datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Annotated, Literal
from uuid import UUID  # noqa: TC003

from msgspec import Meta, Struct

from autogrocery.gateway.core.order import Dispatch  # noqa: TC001 - msgspec reads it
from autogrocery.gateway.core.restock import (
    MAX_LINES,
    MAX_QUANTITY,
    MAX_UNIT_COST_CENTS,
    Goods,
    Manifest,
    Restock,
    RestockStatus,
)

Id = Annotated[str, Meta(min_length=1, max_length=100)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]


class GoodsIn(Struct, frozen=True, forbid_unknown_fields=True):
    """One lot of one product. It may be sold until the day before `expiry_date`."""

    sku: Annotated[str, Meta(min_length=1, max_length=64)]
    name: Name
    aisle_type: Literal["bread", "dairy", "meat", "produce", "party"]
    quantity: Annotated[int, Meta(ge=1, le=MAX_QUANTITY)]
    mfd_date: date
    expiry_date: date
    unit_cost_cents: Annotated[int, Meta(ge=1, le=MAX_UNIT_COST_CENTS)]  # at no cost a new product would have no price


class RestockIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A manifest; without `manifest_no` an Idempotency-Key names it."""

    supplier_id: Id
    supplier_name: Name
    items: Annotated[tuple[GoodsIn, ...], Meta(min_length=1, max_length=MAX_LINES)]
    manifest_no: Id | None = None


class RestockLineOut(Struct, frozen=True):
    """One line with its totals so far.

    `received` came, `damaged` of it can't be sold, `short` has not come (yet), `over` came beyond `quantity`.
    """

    sku: str
    name: str
    aisle_type: str
    quantity: int
    received: int
    short: int
    over: int
    damaged: int


class RestockOut(Struct, frozen=True):
    """A restock order, as its supplier's trucks see it. `dispatch` is in_doubt until inventory has answered."""

    order_id: UUID
    supplier_id: str
    supplier_name: str
    manifest_no: str | None
    status: RestockStatus
    items: tuple[RestockLineOut, ...]
    created_at: datetime
    finished_at: datetime | None
    dispatch: Dispatch | None


class RestockQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which restock order."""

    order_id: UUID


class RestockAppliedOut(Struct, frozen=True):
    """The answer to a webhook: whether this delivery changed anything, and the restock's status now."""

    applied: bool
    status: RestockStatus


def manifest_of(body: RestockIn) -> Manifest:
    """Return the manifest in a truck's request."""
    goods = tuple(
        Goods(
            item.sku, item.name, item.aisle_type, item.quantity, item.mfd_date, item.expiry_date, item.unit_cost_cents
        )
        for item in body.items
    )
    return Manifest(body.supplier_id, body.supplier_name, body.manifest_no, goods)


def restock_out(restock: Restock) -> RestockOut:
    """Return the JSON of a restock."""
    items = tuple(
        RestockLineOut(
            line.goods.sku,
            line.goods.name,
            line.goods.aisle_type,
            line.goods.quantity,
            line.received,
            line.short,
            line.over,
            line.damaged,
        )
        for line in restock.lines
    )
    return RestockOut(
        restock.order_id,
        restock.supplier_id,
        restock.supplier_name,
        restock.manifest_no,
        restock.status,
        items,
        restock.created_at,
        restock.finished_at,
        restock.dispatch,
    )
