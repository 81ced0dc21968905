"""One delivery of a truck: what it is, what may happen to it, what is refused. Pure, as order.py is for orders."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence  # noqa: TC003 - msgspec reads the annotations
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID, uuid5

import msgspec
from msgspec import Struct

from autogrocery.gateway.core.order import Dispatch
from autogrocery.kit.errors import Conflict, Denied, Flaw, Invalid, NotFound

MAX_LINES: Final = 500  # of short names; a body of 64 KiB ends the longer ones before
MAX_QUANTITY: Final = 1_000_000
MAX_UNIT_COST_CENTS: Final = (
    10**9
)  # times MAX_QUANTITY of each of MAX_LINES is below 2^63, and any margin keeps it a price
SHELF_LIFE: Final = timedelta(days=30 * 365)  # nothing on a shelf is older, or keeps for longer
TIME_ZONES: Final = timedelta(days=1)  # what was made today is made tomorrow somewhere east of us
MANIFESTS: Final = UUID(
    "3f0f4a0e-52a7-5d0c-8a52-2b6a5e8f6c31"
)  # the namespace in which (supplier, manifest) names a restock
KEYS: Final = UUID("b2f3c6d8-7a41-5e7b-9c55-0d1d6f1a4c92")  # the one in which (truck, key) does


class RestockStatus(StrEnum):
    """Announced by a truck, on its way to the shelf, and the two ways to end."""

    ANNOUNCED = "ANNOUNCED"
    RECEIVING = "RECEIVING"
    RECEIVED = "RECEIVED"
    REJECTED = "REJECTED"


class RestockFact(StrEnum):
    """What became known: an answer or a webhook of inventory, never a guess from an error. Also the cause in the history."""

    ACCEPTED = "accepted"
    SHELVED = "shelved"
    REFUSED = "refused"


class Owed(StrEnum):
    """The one call that is owed: to inventory, and once that has accepted, to pricing."""

    RESTOCK = "RESTOCK"
    PRICE = "PRICE"


RESTOCK_EDGES: Final = {
    (RestockStatus.ANNOUNCED, RestockFact.ACCEPTED): RestockStatus.RECEIVING,
    (RestockStatus.ANNOUNCED, RestockFact.REFUSED): RestockStatus.REJECTED,
    (RestockStatus.RECEIVING, RestockFact.SHELVED): RestockStatus.RECEIVED,
    (RestockStatus.RECEIVING, RestockFact.REFUSED): RestockStatus.REJECTED,
}
RESTOCK_TERMINAL: Final = frozenset(RestockStatus) - {start for start, _ in RESTOCK_EDGES}


class Step(Struct, frozen=True):
    """One status change, and what brought it about."""

    start: RestockStatus
    end: RestockStatus
    fact: RestockFact


def steps_of(status: RestockStatus, fact: RestockFact) -> tuple[Step, ...]:
    """Return the changes that a fact makes: none if it is no news.

    Inventory's last word may overtake its answer: then an ANNOUNCED delivery was accepted and put away in one breath.
    """
    if (status, fact) in RESTOCK_EDGES:
        return (Step(status, RESTOCK_EDGES[status, fact], fact),)
    if status is RestockStatus.ANNOUNCED:
        accepted = steps_of(status, RestockFact.ACCEPTED)
        return accepted + steps_of(accepted[-1].end, fact)
    return ()


class Goods(Struct, frozen=True):
    """One line of a manifest: one lot of one SKU. `unit_cost_cents` is what the store pays for one."""

    sku: str
    name: str
    aisle_type: str
    quantity: int
    mfd_date: date
    expiry_date: date
    unit_cost_cents: int


class Manifest(Struct, frozen=True):
    """What a truck says it brings; `manifest_no` None: the supplier does not number them."""

    supplier_id: str
    supplier_name: str
    manifest_no: str | None
    goods: tuple[Goods, ...]


class RestockLine(Struct, frozen=True):
    """A line with its totals so far: `received` is all that came, `damaged` how much of that can't be sold."""

    goods: Goods
    received: int = 0
    damaged: int = 0

    @property
    def short(self) -> int:
        """How much of what was announced has not come (yet)."""
        return max(self.goods.quantity - self.received, 0)

    @property
    def over(self) -> int:
        """How much more came than was announced."""
        return max(self.received - self.goods.quantity, 0)


class Restock(Struct, frozen=True):
    """A row of restock_orders with its lines, sorted by SKU."""

    order_id: UUID
    user_id: int
    supplier_id: str
    supplier_name: str
    manifest_no: str | None
    status: RestockStatus
    version: int
    lines: tuple[RestockLine, ...]
    created_at: datetime
    request_sha256: bytes
    intent: Owed | None = None
    refusal: str | None = None
    accepted_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def dispatch(self) -> Dispatch | None:
        """What the truck is told of inventory: in doubt until it has answered."""
        if self.intent is Owed.RESTOCK:
            return Dispatch.IN_DOUBT
        return Dispatch.DISPATCHED if self.accepted_at else None


def is_settled(restock: Restock) -> bool:
    """Say whether inventory has answered (200, 201) or not yet (202); raises Conflict(restock_refused) if it said no."""
    if restock.status is RestockStatus.REJECTED and restock.accepted_at is None:
        raise Conflict("restock_refused", f"inventory refuses this delivery: {restock.refusal or 'no reason given'}")
    return restock.intent is not Owed.RESTOCK


def not_found() -> NotFound:
    """The one answer for a restock that is missing and for one of another supplier."""
    return NotFound("order_not_found", "this supplier has no such restock order")


def restock_id_of(user_id: int, manifest: Manifest, key: str | None) -> UUID:
    """Return the restock that the supplier's manifest names, else the truck's key; raises Invalid(idempotency_key_required)."""
    if manifest.manifest_no is not None:
        return uuid5(MANIFESTS, f"{manifest.supplier_id}\0{manifest.manifest_no}")
    if key is not None:
        return uuid5(KEYS, f"{user_id}\0{key}")
    flaw = Flaw(pointer="/manifest_no", detail="send one, or an Idempotency-Key")
    raise Invalid("idempotency_key_required", "without a manifest_no a repeat could not be told apart", errors=(flaw,))


def fingerprint(manifest: Manifest) -> bytes:
    """Return the SHA-256 of a manifest: equal for the same one however its JSON was written and its lines were ordered."""
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(manifest, goods=in_order(manifest)))).digest()


def in_order(manifest: Manifest) -> tuple[Goods, ...]:
    """Return the goods sorted by SKU, as rows and stock are locked."""
    return tuple(sorted(manifest.goods, key=lambda goods: goods.sku))


def require_supplier(supplier_id: str | None, manifest: Manifest) -> None:
    """Raise Denied(foreign_supplier) unless the truck is bound to the manifest's supplier (`supplier_id`, None: to nobody)."""
    if supplier_id != manifest.supplier_id:
        raise Denied("foreign_supplier", "this truck does not restock for that supplier")


def require_manifest(manifest: Manifest, today: date) -> None:
    """Raise Invalid for a manifest that can't be put on shelves, with a pointer to every line at fault.

    invalid_request: a text that can't be printed. duplicate_sku: a SKU in two lines; they could be two lots, and counts are
    told by SKU, so the second lot goes on a manifest of its own. invalid_dates: made after it expires, in the future, or
    absurdly long ago or ahead. expired_goods: `expiry_date` is not after `today`, the present date in UTC.
    """
    texts = {
        "/supplier_id": manifest.supplier_id,
        "/supplier_name": manifest.supplier_name,
        "/manifest_no": "-" if manifest.manifest_no is None else manifest.manifest_no,
    }
    for number, goods in enumerate(manifest.goods):
        texts |= {f"/items/{number}/sku": goods.sku, f"/items/{number}/name": goods.name}
    _refuse("invalid_request", "a text can't be printed", [at for at, text in texts.items() if not _is_printable(text)])
    first = {goods.sku: number for number, goods in reversed(list(enumerate(manifest.goods)))}
    _refuse_lines(
        "duplicate_sku",
        "a SKU stands in two lines: another lot goes on a manifest of its own",
        "sku",
        [number for number, goods in enumerate(manifest.goods) if first[goods.sku] != number],
    )
    for field, wrong in (
        ("mfd_date", lambda goods: not today - SHELF_LIFE <= goods.mfd_date <= today + TIME_ZONES),
        ("expiry_date", lambda goods: goods.expiry_date < goods.mfd_date or goods.expiry_date > today + SHELF_LIFE),
    ):
        _refuse_lines(
            "invalid_dates",
            "goods are made, keep for some time, and expire",
            field,
            [number for number, goods in enumerate(manifest.goods) if wrong(goods)],
        )
    _refuse_lines(
        "expired_goods",
        "goods must keep beyond today",
        "expiry_date",
        [number for number, goods in enumerate(manifest.goods) if goods.expiry_date <= today],
    )


def require_counts(restock: Restock, counts: Mapping[str, tuple[int, int]]) -> None:
    """Raise Invalid if counts (received, damaged) are told of a SKU that this restock has not."""
    if foreign := counts.keys() - {line.goods.sku for line in restock.lines}:
        flaws = tuple(Flaw(pointer="/items", sku=sku, detail="is not on the manifest") for sku in sorted(foreign))
        raise Invalid("invalid_request", "the counts do not fit the restock", errors=flaws)


def _is_printable(text: str) -> bool:
    return text.isprintable() and bool(text.strip())


def _refuse_lines(code: str, detail: str, field: str, lines: Sequence[int]) -> None:
    _refuse(code, detail, [f"/items/{number}/{field}" for number in lines])


def _refuse(code: str, detail: str, pointers: Sequence[str]) -> None:
    if pointers:
        raise Invalid(code, detail, errors=tuple(Flaw(pointer=pointer) for pointer in pointers))
