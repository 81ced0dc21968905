"""Order lines, the states of an order in inventory's register, and what each call does in each state. Pure.

K1 to K5 are the promises in docs/PROTOCOL.md#what-a-peer-promises.
"""

from __future__ import annotations

import re
from enum import Enum, StrEnum
from typing import TYPE_CHECKING
from uuid import uuid5

from msgspec import Struct

from autogrocery.kit.errors import FieldError, Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

MAX_LINES = 100
MAX_QUANTITY = 999
MAX_SKU_CHARACTERS = 64
MIN_HOLD_S = 1
MAX_HOLD_S = 86_400
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
AISLES = ("bread", "dairy", "meat", "produce", "party")


class Line(Struct, frozen=True):
    """A SKU and its quantity."""

    sku: str
    quantity: int


class State(StrEnum):
    """An order's state in the register. COMPLETED, FAILED and RELEASED are final."""

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


class LineAvailability(Struct, frozen=True):
    """What is available for one requested line.

    `available` is None for an unknown SKU; `quantity` is what would be granted.
    """

    sku: str
    requested: int
    available: int | None
    quantity: int


class ReserveResult(Struct, frozen=True):
    """The lines granted to a reservation until `expires_at`, or its refusal with the lines that caused it."""

    lines: tuple[Line, ...] = ()
    expires_at: datetime | None = None
    refusal: Refusal | None = None
    shortages: tuple[LineAvailability, ...] = ()


class RegisterEntry(Struct, frozen=True):
    """An order's locked register row, compared with the lines of a call.

    `live` is False for a hold past its expiry. `same_request` and `same_grant` say that the call's lines are those
    first requested, and those granted.
    """

    state: State
    live: bool
    same_request: bool
    same_grant: bool

    @property
    def is_held(self) -> bool:
        """Whether stock is held for the order, even past the expiry."""
        return self.state is State.HELD


class ShortageError(Exception):
    """Stock for some lines is short; carries what is available. Rolls back the transaction it is raised in."""

    def __init__(self, lines: tuple[LineAvailability, ...]) -> None:
        super().__init__("short")
        self.lines = lines


class StaleStockError(Exception):
    """Expired or recalled units of these SKUs still count as on hand: their lots must be written off first."""

    def __init__(self, skus: tuple[str, ...]) -> None:
        super().__init__("stale")
        self.skus = skus


def merge_lines(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Return the lines with every SKU once, sorted by SKU, which is the order in which stock is locked.

    Raises Invalid for no lines, more than 100, a quantity outside 1..999 before or after merging, or a malformed SKU.
    """
    quantities: dict[str, int] = {}
    errors = []
    for i, line in enumerate(lines):
        if not is_sku(line.sku):
            errors.append(FieldError(pointer=f"/items/{i}/sku", detail="is not a SKU"))
        if not 1 <= line.quantity <= MAX_QUANTITY:
            errors.append(FieldError(pointer=f"/items/{i}/quantity", detail=f"is not 1..{MAX_QUANTITY}"))
        quantities[line.sku] = quantities.get(line.sku, 0) + line.quantity
    if not 1 <= len(quantities) <= MAX_LINES:
        errors.append(FieldError(pointer="/items", detail=f"does not have 1..{MAX_LINES} lines"))
    if any(quantity > MAX_QUANTITY for quantity in quantities.values()):
        errors.append(FieldError(pointer="/items", detail=f"asks for more than {MAX_QUANTITY} of one SKU"))
    if errors:
        raise Invalid(
            "invalid_items", "; ".join(f"{error.pointer} {error.detail}" for error in errors), errors=tuple(errors)
        )
    return tuple(Line(sku, quantities[sku]) for sku in sorted(quantities))


def is_sku(text: str) -> bool:
    """Return whether `text` can be a SKU: 1..64 characters, none a control character (docs/CONTRACT.md#grpc)."""
    return 1 <= len(text) <= MAX_SKU_CHARACTERS and CONTROL.search(text) is None


def refuse(lines: Iterable[LineAvailability]) -> ReserveResult:
    """Return the refusal for lines that can't be granted; an unknown SKU takes precedence over a shortage."""
    lines = tuple(lines)
    unknown = tuple(line for line in lines if line.available is None)
    if unknown:
        return ReserveResult(refusal=Refusal.UNKNOWN_SKU, shortages=unknown)
    short = tuple(line for line in lines if (line.available or 0) < line.requested)
    return ReserveResult(refusal=Refusal.SHORTAGE, shortages=short)


class ReserveDecision(Enum):
    """What a reservation does to an order that is already in the register."""

    REFUSE_RELEASED = 1
    REFUSE_DIFFERENT = 2
    RENEW = 3
    HOLD_AGAIN = 4
    REPLACE_HOLD = 5
    REPEAT = 6


def decide_reserve(order: RegisterEntry, *, allow_partial: bool) -> ReserveDecision:
    """Decide by K1: the same lines renew a hold or repeat the result; other lines are refused on a live order."""
    same = order.same_request and (allow_partial or order.same_grant)
    match order.state:
        case State.RELEASED:
            return ReserveDecision.REFUSE_RELEASED
        case State.HELD if same:
            return ReserveDecision.RENEW
        case State.HELD if order.live:
            return ReserveDecision.REFUSE_DIFFERENT
        case State.HELD:
            return ReserveDecision.REPLACE_HOLD
        case State.LAPSED:
            return ReserveDecision.HOLD_AGAIN if same else ReserveDecision.REPLACE_HOLD
        case _:
            return ReserveDecision.REPEAT if same else ReserveDecision.REFUSE_DIFFERENT


class AssignDecision(Enum):
    """What a dispatch does to an order that is already in the register."""

    REFUSE_RELEASED = 1
    REFUSE_DIFFERENT = 2
    ALLOCATE = 3
    REPLACE_HOLD = 4
    REPEAT = 5


def decide_assign(order: RegisterEntry) -> AssignDecision:
    """Decide by K4: the call's lines are authoritative; they replace a hold for other lines, but not a dispatch."""
    match order.state:
        case State.RELEASED:
            return AssignDecision.REFUSE_RELEASED
        case State.HELD:
            return AssignDecision.ALLOCATE if order.same_grant else AssignDecision.REPLACE_HOLD
        case State.LAPSED:
            return AssignDecision.REPLACE_HOLD
        case _:
            return AssignDecision.REPEAT if order.same_grant else AssignDecision.REFUSE_DIFFERENT


class ReleaseDecision(Enum):
    """What a release does to an order that is already in the register."""

    ALREADY_RELEASED = 1
    ALREADY_ASSIGNED = 2
    RETURN_HELD = 3
    RETURN_ALLOCATED = 4
    MARK_RELEASED = 5


def decide_release(state: State, *, cancel: bool, started: bool) -> ReleaseDecision:
    """Decide by K3: only a cancel withdraws a dispatch, and only before a robot has started on it."""
    match state:
        case State.RELEASED:
            return ReleaseDecision.ALREADY_RELEASED
        case State.HELD:
            return ReleaseDecision.RETURN_HELD
        case State.LAPSED:
            return ReleaseDecision.MARK_RELEASED
        case State.ASSIGNED if cancel and not started:
            return ReleaseDecision.RETURN_ALLOCATED
        case _:
            return ReleaseDecision.ALREADY_ASSIGNED


def assignment_id(order_id: UUID, aisle: str) -> UUID:
    """Return the id of an order's assignment in one aisle, the same on every call (UUID version 5, RFC 9562 §5.5)."""
    return uuid5(order_id, aisle)
