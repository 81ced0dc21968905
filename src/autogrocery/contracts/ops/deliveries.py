"""GET /internal/ops/deliveries and /trucks: goods on their way to the shelves, and who brings them."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Annotated, Literal
from uuid import UUID  # noqa: TC003

from msgspec import Meta, Struct


class DeliveriesQuery(Struct, frozen=True):
    """Filters of the list; `state` as inventory has it."""

    state: Literal["", "RECEIVING", "RECEIVED", "REJECTED"] = ""
    supplier: Annotated[str, Meta(max_length=100)] = ""
    cursor: Annotated[str, Meta(max_length=200)] = ""
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class DeliveryRow(Struct, frozen=True):
    """A delivery at inventory: units announced, received, of these damaged; and the putaways of its aisles."""

    order_id: UUID
    supplier_id: str
    state: Literal["RECEIVING", "RECEIVED", "REJECTED"]
    entered_at: datetime
    reported_at: datetime | None
    lines: int
    units: int
    received: int
    damaged: int
    putaways: int
    putaways_done: int


class DeliveryPage(Struct, frozen=True):
    """A page, newest first."""

    data: list[DeliveryRow]
    next_cursor: str | None


class TruckQuery(Struct, frozen=True):
    """A page of trucks."""

    cursor: Annotated[str, Meta(max_length=200)] = ""
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class TruckRow(Struct, frozen=True):
    """A truck's account, from the gateway's registry, and its supplier's restocks at the gateway."""

    truck_id: str
    supplier_id: str
    supplier_name: str | None
    disabled: bool
    restocks_open: int
    restocks_ended: int
    last_restock_at: datetime | None


class TruckPage(Struct, frozen=True):
    """A page, by id."""

    data: list[TruckRow]
    next_cursor: str | None
