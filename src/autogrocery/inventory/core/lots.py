"""Lots: their codes, and which picks count when expired or recalled units are on the shelf."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unicodedata import category, normalize
from uuid import uuid5

from msgspec import Struct
from msgspec.structs import replace

from autogrocery.inventory.core.picking import Outcome, Pick

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from autogrocery.inventory.core.picking import Report

DIGITS = 12  # 48 bits: among a million lots, a mistyped code is another lot's with probability 1 in 280 million
GROUP = 4
SEPARATORS = frozenset({"Pd", "Zs"})  # Unicode's dashes and blanks


def lot_code(restock_id: UUID, sku: str) -> str:
    """Return the code of the lot of a SKU in a restock order: 12 hexadecimal digits, the same on every call."""
    return uuid5(restock_id, sku).hex[:DIGITS].upper()


def format_lot(lot: str) -> str:
    """Return a lot's code in groups of four, `3F9A-01BC-77DE`."""
    return "-".join(lot[at : at + GROUP] for at in range(0, len(lot), GROUP))


def parse_lot(text: str) -> str | None:
    """Read a lot's code as typed, in either case and width, with dashes of any kind or none; None if malformed."""
    lot = "".join(one for one in normalize("NFKC", text.strip()).upper() if category(one) not in SEPARATORS)
    return lot if len(lot) == DIGITS and all(digit in "0123456789ABCDEF" for digit in lot) else None


class LineStock(Struct, frozen=True):
    """A line of an assignment; of its SKU, `good` units on the shelf are on sale and `off_sale` units are not."""

    sku: str
    quantity: int
    good: int
    off_sale: int


class SellableReport(Struct, frozen=True):
    """A report that counts only sellable units as picked; `off_sale` are the units of each SKU left on the shelf."""

    report: Report
    off_sale: dict[str, int]


def exclude_off_sale(report: Report, lines: Iterable[LineStock]) -> SellableReport:
    """Return the report with at most the good units of each line counted as picked.

    A robot may report more than the good units: those beyond them are expired or recalled and must not be sold. Missing
    units are attributed to the units off sale first. A count beyond the line's quantity is kept, for the SQL to refuse.
    """
    picked_by_sku = {pick.sku: pick.picked for pick in report.picks}
    off_sale = {}
    for line in lines:
        picked = picked_by_sku.get(line.sku, line.quantity if report.outcome is Outcome.PICKED else 0)
        if picked <= line.quantity:
            picked_by_sku[line.sku] = min(picked, line.good)
            off_sale[line.sku] = min(line.quantity - picked_by_sku[line.sku], line.off_sale)
    picks = tuple(Pick(sku, picked) for sku, picked in sorted(picked_by_sku.items()))
    return SellableReport(replace(report, picks=picks), off_sale)
