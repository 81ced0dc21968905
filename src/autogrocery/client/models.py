"""The bodies of the gateway's public API, as a client reads them. Fields that a newer gateway adds are ignored."""

from __future__ import annotations

from datetime import date, datetime  # noqa: TC003 - msgspec reads the annotations at run time
from typing import Final, Literal

from msgspec import Struct

Status = Literal["PREVIEWED", "PROCESSING", "COMPLETED", "CANCELLED", "EXPIRED", "FAILED"]
TERMINAL: Final[frozenset[Status]] = frozenset({"COMPLETED", "CANCELLED", "EXPIRED", "FAILED"})
AisleType = Literal["bread", "dairy", "meat", "produce", "party"]
RestockStatus = Literal["ANNOUNCED", "RECEIVING", "RECEIVED", "REJECTED"]


class Item(Struct, frozen=True):
    """One line of a basket: a product and its quantity, 1..999."""

    sku: str
    quantity: int


class OrderLine(Struct, frozen=True):
    """One priced line; `picked` is None until the robots have reported, `requested` is set only if less was granted."""

    sku: str
    name: str
    quantity: int
    unit_price_cents: int
    line_total_cents: int
    picked: int | None = None
    requested: int | None = None


class Robot(Struct, frozen=True):
    """One robot's share of a dispatched order."""

    robot_id: str
    robot_class: str
    assignment_id: str


class Order(Struct, frozen=True):
    """An order; `total_cents` is what is charged, `quoted_total_cents` what was quoted at the preview."""

    order_id: str
    status: Status
    currency: str
    total_cents: int
    quoted_total_cents: int
    items: list[OrderLine]
    created_at: datetime
    expires_at: datetime | None = None
    confirmed_at: datetime | None = None
    finished_at: datetime | None = None
    outcome: Literal["FULL", "PARTIAL"] | None = None
    dispatch: Literal["in_doubt", "releasing", "dispatched"] | None = None
    robots: list[Robot] | None = None

    @property
    def terminal(self) -> bool:
        """True if the order can't change any more."""
        return self.status in TERMINAL


class OrderPage(Struct, frozen=True):
    """Orders, newest first; `next_cursor` is None on the last page."""

    data: list[Order]
    next_cursor: str | None = None


class Event(Struct, frozen=True, rename={"from_status": "from", "to_status": "to"}):
    """One status change of an order; the first one has no `from_status`."""

    version: int
    to_status: Status
    cause: str
    at: datetime
    from_status: Status | None = None


class EventPage(Struct, frozen=True):
    """An order's whole history, oldest first."""

    data: list[Event]


class Product(Struct, frozen=True):
    """One product of the catalog; `available` units can be promised (None if inventory did not reply)."""

    sku: str
    name: str
    aisle_type: str
    unit_price_cents: int
    available: int | None = None


class ProductPage(Struct, frozen=True):
    """Products that match a query; `next_cursor` is None on the last page."""

    data: list[Product]
    next_cursor: str | None = None


class Registration(Struct, frozen=True):
    """A device that was registered."""

    device_id: str
    user_id: int


class Me(Struct, frozen=True):
    """The device's own registry entry."""

    device_id: str
    user_id: int
    email: str | None = None
    phone: str | None = None
    scopes: list[str] = []


class Goods(Struct, frozen=True):
    """One line of a manifest: a quantity of one product, all of one lot, which expires on `expiry_date`."""

    sku: str
    name: str
    aisle_type: AisleType
    quantity: int
    mfd_date: date
    expiry_date: date
    unit_cost_cents: int


class Manifest(Struct, frozen=True):
    """What a truck brings. The supplier's own number names the delivery; without it the truck's state file does."""

    supplier_id: str
    supplier_name: str
    items: list[Goods]
    manifest_no: str | None = None


class RestockLine(Struct, frozen=True):
    """One line of a delivery; of the `received` units, all but the `damaged` ones can be sold."""

    sku: str
    name: str
    aisle_type: str
    quantity: int
    received: int
    short: int
    over: int
    damaged: int


class Restock(Struct, frozen=True):
    """A delivery; `dispatch` is "in_doubt" until inventory has replied."""

    order_id: str
    supplier_id: str
    supplier_name: str
    manifest_no: str | None
    status: RestockStatus
    items: list[RestockLine]
    created_at: datetime
    finished_at: datetime | None = None
    dispatch: Literal["in_doubt", "dispatched"] | None = None

    @property
    def terminal(self) -> bool:
        """True if the delivery can't change any more."""
        return self.status in ("RECEIVED", "REJECTED")


class Tokens(Struct, frozen=True):
    """A pair of tokens; the access token lives `expires_in` seconds. The repr shows neither token."""

    access_token: str
    refresh_token: str
    expires_in: float
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name, not a secret

    def __repr__(self) -> str:
        return f"Tokens(expires_in={self.expires_in})"
