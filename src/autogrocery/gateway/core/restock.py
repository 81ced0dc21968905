"""One restock: its statuses, the facts that move it between them, and which manifests are refused. Pure."""

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
from autogrocery.gateway.core.quote import LineError
from autogrocery.kit.errors import Conflict, Denied, FieldError, Invalid, NotFound

MAX_LINES: Final = 500  # of short names; a body of 64 KiB ends the longer ones before
MAX_QUANTITY: Final = 1_000_000
MAX_UNIT_COST_CENTS: Final = (
    10**9
)  # times MAX_QUANTITY of each of MAX_LINES is below 2^63, and any margin keeps it a price
SHELF_LIFE: Final = timedelta(days=30 * 365)  # no product is older, or keeps for longer
TIME_ZONES: Final = timedelta(days=1)  # today's goods carry tomorrow's date in a time zone to the east
MANIFESTS: Final = UUID(
    "3f0f4a0e-52a7-5d0c-8a52-2b6a5e8f6c31"
)  # the namespace in which (supplier, manifest) names a restock
KEYS: Final = UUID("b2f3c6d8-7a41-5e7b-9c55-0d1d6f1a4c92")  # the one in which (truck, key) does


class RestockStatus(StrEnum):
    """Announced by a truck, accepted by inventory, and the two ways to end."""

    ANNOUNCED = "ANNOUNCED"
    RECEIVING = "RECEIVING"
    RECEIVED = "RECEIVED"
    REJECTED = "REJECTED"


class RestockFact(StrEnum):
    """What moves a restock: an answer or a webhook of inventory, never a conclusion from an error.

    It is also the cause in the history.
    """

    ACCEPTED = "accepted"
    SHELVED = "shelved"
    REFUSED = "refused"


class RestockIntent(StrEnum):
    """The one call that is still owed: RESTOCK to inventory, and once that has accepted, PRICE to pricing."""

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
    """One status change, and the fact that made it."""

    start: RestockStatus
    end: RestockStatus
    fact: RestockFact


def steps_of(status: RestockStatus, fact: RestockFact) -> tuple[Step, ...]:
    """Return the changes that a fact makes; none if the status has it already.

    Inventory's webhook may overtake its answer: then an ANNOUNCED restock makes two changes, through RECEIVING.
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
    """What a truck delivers, as it announces it; `manifest_no` None: the supplier does not number manifests."""

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
        """Return how much of what was announced has not come (yet)."""
        return max(self.goods.quantity - self.received, 0)

    @property
    def over(self) -> int:
        """Return how much more came than was announced."""
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
    intent: RestockIntent | None = None
    refusal: str | None = None
    accepted_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def dispatch(self) -> Dispatch | None:
        """Return what the truck sees of inventory's answer: in doubt until there is one."""
        if self.intent is RestockIntent.RESTOCK:
            return Dispatch.IN_DOUBT
        return Dispatch.DISPATCHED if self.accepted_at else None


def is_answered(restock: Restock) -> bool:
    """Return whether inventory has answered (200, 201) or not yet (202); raises Conflict(restock_refused)."""
    if restock.status is RestockStatus.REJECTED and restock.accepted_at is None:
        raise Conflict("restock_refused", f"inventory refuses this delivery: {restock.refusal or 'no reason given'}")
    return restock.intent is not RestockIntent.RESTOCK


def not_found() -> NotFound:
    """Return the error for a missing restock, and for one of another supplier: both get the same answer."""
    return NotFound("order_not_found", "this supplier has no such restock order")


def restock_id_of(user_id: int, manifest: Manifest, key: str | None) -> UUID:
    """Return the restock's id, from the supplier's manifest, else from the truck's key.

    Raises Invalid(idempotency_key_required) if there is neither.
    """
    if manifest.manifest_no is not None:
        return uuid5(MANIFESTS, f"{manifest.supplier_id}\0{manifest.manifest_no}")
    if key is not None:
        return uuid5(KEYS, f"{user_id}\0{key}")
    flaw = FieldError(pointer="/manifest_no", detail="send one, or an Idempotency-Key")
    raise Invalid("idempotency_key_required", "without a manifest_no a repeat could not be recognised", errors=(flaw,))


def fingerprint(manifest: Manifest) -> bytes:
    """Return the SHA-256 of a manifest: equal for the same one however its JSON and its lines are ordered."""
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(manifest, goods=sorted_goods(manifest)))).digest()


def sorted_goods(manifest: Manifest) -> tuple[Goods, ...]:
    """Return the goods sorted by SKU: the order in which rows and stock are locked."""
    return tuple(sorted(manifest.goods, key=lambda goods: goods.sku))


def require_supplier(supplier_id: str | None, manifest: Manifest) -> None:
    """Raise Denied(foreign_supplier) unless the truck's `supplier_id` (None: it has none) is the manifest's."""
    if supplier_id != manifest.supplier_id:
        raise Denied("foreign_supplier", "this truck does not restock for that supplier")


def require_manifest(manifest: Manifest, today: date) -> None:
    """Raise Invalid for a manifest that can't be shelved, with a pointer to every line at fault.

    invalid_request: a text that can't be printed. duplicate_sku: a SKU in two lines; they could be two lots, and
    counts are reported by SKU, so the second lot goes on a manifest of its own. invalid_dates: made after it expires,
    in the future, or absurdly long ago or ahead. expired_goods: `expiry_date` is not after `today`, the present date
    in UTC.
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
    """Raise Invalid if `counts` has a SKU that is not on the manifest, or more units damaged than received."""
    if foreign := counts.keys() - {line.goods.sku for line in restock.lines}:
        flaws = tuple(LineError(pointer="/items", sku=sku, detail="is not on the manifest") for sku in sorted(foreign))
        raise Invalid("invalid_request", "the counts do not fit the restock", errors=flaws)
    if wrong := [sku for sku, (received, damaged) in counts.items() if damaged > received]:
        flaws = tuple(
            LineError(pointer="/items", sku=sku, detail="more damaged than received") for sku in sorted(wrong)
        )
        raise Invalid("invalid_request", "the damaged units are part of the received ones", errors=flaws)


def _is_printable(text: str) -> bool:
    return text.isprintable() and bool(text.strip())


def _refuse_lines(code: str, detail: str, field: str, lines: Sequence[int]) -> None:
    _refuse(code, detail, [f"/items/{number}/{field}" for number in lines])


def _refuse(code: str, detail: str, pointers: Sequence[str]) -> None:
    if pointers:
        raise Invalid(code, detail, errors=tuple(FieldError(pointer=pointer) for pointer in pointers))
