"""Lines, the register's states, and what each call does to an order in each of them. Pure: no clock, no socket."""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import TYPE_CHECKING
from uuid import uuid5

from msgspec import Struct

from autogrocery.kit.errors import Flaw, Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

MAX_LINES = 100
MAX_QUANTITY = 999
MAX_SKU_CHARACTERS = 64
MIN_HOLD_S = 1
MAX_HOLD_S = 86_400
AISLES = ("bread", "dairy", "meat", "produce", "party")


class Line(Struct, frozen=True):
    """One SKU and how many of it."""

    sku: str
    quantity: int


class State(StrEnum):
    """Where an order stands in the register. COMPLETED, FAILED and RELEASED are final."""

    HELD = "HELD"
    LAPSED = "LAPSED"
    ASSIGNED = "ASSIGNED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    RELEASED = "RELEASED"


class Refusal(StrEnum):
    """Why no stock was reserved."""

    SHORTAGE = "SHORTAGE"
    RELEASED = "RELEASED"
    ITEMS_DIFFER = "ITEMS_DIFFER"
    UNKNOWN_SKU = "UNKNOWN_SKU"


class Found(Struct, frozen=True):
    """What the shelf says to one requested line: `available` is None for an unknown SKU, `quantity` what would be granted."""

    sku: str
    requested: int
    available: int | None
    quantity: int


class Reserved(Struct, frozen=True):
    """The answer to a reservation: the granted lines until `expires_at`, or a refusal with the lines that fell short."""

    lines: tuple[Line, ...] = ()
    expires_at: datetime | None = None
    refusal: Refusal | None = None
    short: tuple[Found, ...] = ()


class Standing(Struct, frozen=True):
    """An order as its locked register row says. `live` is False for a hold past its expiry."""

    state: State
    live: bool
    requested_alike: bool
    granted_alike: bool

    @property
    def holds(self) -> bool:
        """Whether stock is held for it, be it past the expiry."""
        return self.state is State.HELD


class ShortError(Exception):
    """The shelf does not have what was asked; carries what it found, so that the transaction around it rolls back."""

    def __init__(self, found: tuple[Found, ...]) -> None:
        super().__init__("short")
        self.found = found


class StaleError(Exception):
    """Units of these SKUs are past the instant until which they may be sold, and still count as on hand: settle their lots."""

    def __init__(self, skus: tuple[str, ...]) -> None:
        super().__init__("stale")
        self.skus = skus


def merged(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Return the lines with every SKU once, sorted by it: the order in which stock is locked.

    Raises Invalid for no lines, more than 100, a quantity outside 1..999 before or after merging, or a SKU that can't be one.
    """
    quantities: dict[str, int] = {}
    flaws = []
    for i, line in enumerate(lines):
        if not is_sku(line.sku):
            flaws.append(Flaw(pointer=f"/items/{i}/sku", detail="is no SKU"))
        if not 1 <= line.quantity <= MAX_QUANTITY:
            flaws.append(Flaw(pointer=f"/items/{i}/quantity", detail=f"is not 1..{MAX_QUANTITY}"))
        quantities[line.sku] = quantities.get(line.sku, 0) + line.quantity
    if not 1 <= len(quantities) <= MAX_LINES:
        flaws.append(Flaw(pointer="/items", detail=f"has not 1..{MAX_LINES} lines"))
    if any(quantity > MAX_QUANTITY for quantity in quantities.values()):
        flaws.append(Flaw(pointer="/items", detail=f"asks for more than {MAX_QUANTITY} of one SKU"))
    if flaws:
        raise Invalid(
            "invalid_items", "; ".join(f"{flaw.pointer} {flaw.detail}" for flaw in flaws), errors=tuple(flaws)
        )
    return tuple(Line(sku, quantities[sku]) for sku in sorted(quantities))


def is_sku(text: str) -> bool:
    """Say whether `text` may name a product: 1..64 printable characters."""
    return 1 <= len(text) <= MAX_SKU_CHARACTERS and text.isprintable()


def short(found: Iterable[Found]) -> tuple[Refusal, tuple[Found, ...]]:
    """Return why these lines can't be had; an unknown SKU takes precedence over a shortage."""
    lines = tuple(found)
    unknown = tuple(line for line in lines if line.available is None)
    if unknown:
        return Refusal.UNKNOWN_SKU, unknown
    return Refusal.SHORTAGE, tuple(line for line in lines if (line.available or 0) < line.requested)


class OnReserve(Enum):
    """What a reservation does to an order that is in the register already."""

    REFUSE_RELEASED = 1
    REFUSE_DIFFERENT = 2
    RENEW = 3
    RETAKE = 4
    TAKE_ANEW = 5
    REPEAT = 6


def on_reserve(order: Standing, *, allow_partial: bool) -> OnReserve:
    """Decide K1: the same items renew a hold or repeat the answer; others are refused while the order lives."""
    alike = order.requested_alike and (allow_partial or order.granted_alike)
    match order.state:
        case State.RELEASED:
            return OnReserve.REFUSE_RELEASED
        case State.HELD if alike:
            return OnReserve.RENEW
        case State.HELD if order.live:
            return OnReserve.REFUSE_DIFFERENT
        case State.HELD:
            return OnReserve.TAKE_ANEW
        case State.LAPSED:
            return OnReserve.RETAKE if alike else OnReserve.TAKE_ANEW
        case _:
            return OnReserve.REPEAT if alike else OnReserve.REFUSE_DIFFERENT


class OnAssign(Enum):
    """What a dispatch does to an order that is in the register already."""

    REFUSE_RELEASED = 1
    REFUSE_DIFFERENT = 2
    ALLOCATE = 3
    TAKE_ANEW = 4
    REPEAT = 5


def on_assign(order: Standing) -> OnAssign:
    """Decide K4: the items given are authoritative. A hold for others is replaced, a dispatch of others is not."""
    match order.state:
        case State.RELEASED:
            return OnAssign.REFUSE_RELEASED
        case State.HELD:
            return OnAssign.ALLOCATE if order.granted_alike else OnAssign.TAKE_ANEW
        case State.LAPSED:
            return OnAssign.TAKE_ANEW
        case _:
            return OnAssign.REPEAT if order.granted_alike else OnAssign.REFUSE_DIFFERENT


class OnRelease(Enum):
    """What a release does to an order that is in the register already."""

    ALREADY_RELEASED = 1
    ALREADY_ASSIGNED = 2
    RETURN_HELD = 3
    RETURN_ALLOCATED = 4
    BURY = 5


def on_release(state: State, *, cancel: bool, started: bool) -> OnRelease:
    """Decide K3: a dispatch is withdrawn only by a cancel, and only before a robot has started on it."""
    match state:
        case State.RELEASED:
            return OnRelease.ALREADY_RELEASED
        case State.HELD:
            return OnRelease.RETURN_HELD
        case State.LAPSED:
            return OnRelease.BURY
        case State.ASSIGNED if cancel and not started:
            return OnRelease.RETURN_ALLOCATED
        case _:
            return OnRelease.ALREADY_ASSIGNED


def assignment_id(order_id: UUID, aisle: str) -> UUID:
    """Return the id of an order's assignment in one aisle: always the same, whoever asks and how often (RFC 9562 §5.5)."""
    return uuid5(order_id, aisle)
