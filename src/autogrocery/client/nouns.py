"""What the gateway's public API speaks of, as a client reads it. Fields a newer gateway adds are ignored."""

from __future__ import annotations

from datetime import date, datetime  # noqa: TC003 - msgspec reads the annotations at run time
from typing import Final, Literal

from msgspec import Struct

Status = Literal["PREVIEWED", "PROCESSING", "COMPLETED", "CANCELLED", "EXPIRED", "FAILED"]
TERMINAL: Final[frozenset[Status]] = frozenset({"COMPLETED", "CANCELLED", "EXPIRED", "FAILED"})
AisleType = Literal["bread", "dairy", "meat", "produce", "party"]
RestockStatus = Literal["ANNOUNCED", "RECEIVING", "RECEIVED", "REJECTED"]


class Item(Struct, frozen=True):
    """What a customer asks for: an article and how many, 1..999."""

    sku: str
    quantity: int


class OrderLine(Struct, frozen=True):
    """One priced line; `picked` is None until the robots have reported; `requested` stands only where less was granted."""

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
    """An order as the gateway tells it; `total_cents` is what is charged, `quoted_total_cents` what was promised at the preview."""

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
        """True once nothing about this order can change any more."""
        return self.status in TERMINAL


class OrderPage(Struct, frozen=True):
    """Orders, newest first; `next_cursor` None on the last page."""

    data: list[Order]
    next_cursor: str | None = None


class Event(Struct, frozen=True, rename={"from_status": "from", "to_status": "to"}):
    """One row of an order's history; the first one comes from nothing."""

    version: int
    to_status: Status
    cause: str
    at: datetime
    from_status: Status | None = None


class EventPage(Struct, frozen=True):
    """An order's whole history, oldest first."""

    data: list[Event]


class Product(Struct, frozen=True):
    """One article of the catalog, with what is left to promise (None where inventory could not be asked)."""

    sku: str
    name: str
    aisle_type: str
    unit_price_cents: int
    available: int | None = None


class ProductPage(Struct, frozen=True):
    """Products by name or SKU; `next_cursor` None on the last page."""

    data: list[Product]
    next_cursor: str | None = None


class Registration(Struct, frozen=True):
    """A device that has been entered into the registry."""

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
    """One line of a manifest: so many of one article, one lot, which keeps until `expiry_date`."""

    sku: str
    name: str
    aisle_type: AisleType
    quantity: int
    mfd_date: date
    expiry_date: date
    unit_cost_cents: int


class Manifest(Struct, frozen=True):
    """What a truck brings. The supplier's own number names the delivery; without one the truck's notebook does."""

    supplier_id: str
    supplier_name: str
    items: list[Goods]
    manifest_no: str | None = None


class RestockLine(Struct, frozen=True):
    """One line of a delivery as it stands: `received` can be sold but for what is `damaged`."""

    sku: str
    name: str
    aisle_type: str
    quantity: int
    received: int
    short: int
    over: int
    damaged: int


class Restock(Struct, frozen=True):
    """A delivery as the gateway tells it; `dispatch` is "in_doubt" until inventory has answered."""

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
        """True once nothing about this delivery can change any more."""
        return self.status in ("RECEIVED", "REJECTED")


class Tokens(Struct, frozen=True):
    """A pair of tokens; `expires_in` seconds is the life of the access token. Its repr shows neither token."""

    access_token: str
    refresh_token: str
    expires_in: float
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name, no secret

    def __repr__(self) -> str:
        return f"Tokens(expires_in={self.expires_in})"
