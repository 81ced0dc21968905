"""Lots: how they are called, and what a robot may have picked beside units that are to be sold no longer."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid5

from msgspec import Struct
from msgspec.structs import replace

from autogrocery.inventory.core.picking import Outcome, Pick

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from autogrocery.inventory.core.picking import Report

DIGITS = 12  # 48 bits: among a million lots a mistyped code is another lot's once in 280 million times
GROUP = 4


def lot_of(restock_id: UUID, sku: str) -> str:
    """Return the code of what a delivery brought of a SKU: always the same, and nothing one can mistype into another lot."""
    return uuid5(restock_id, sku).hex[:DIGITS].upper()


def shown(lot: str) -> str:
    """Return a lot's code as people read it, `3F9A-01BC-77DE`."""
    return "-".join(lot[at : at + GROUP] for at in range(0, len(lot), GROUP))


def typed(text: str) -> str | None:
    """Read a lot's code as people type it, with or without dashes and capitals; None if it can't be one."""
    lot = text.strip().replace("-", "").upper()
    return lot if len(lot) == DIGITS and all(digit in "0123456789ABCDEF" for digit in lot) else None


class Shelf(Struct, frozen=True):
    """A line of an assignment. Of the units of its SKU on the shelf, promised or free, `good` may be sold, `off_sale` not."""

    sku: str
    quantity: int
    good: int
    off_sale: int


def beside_off_sale(report: Report, shelf: Iterable[Shelf]) -> tuple[Report, dict[str, int]]:
    """Return the report as it counts, and how many units of each line are left lying because they are off sale.

    No more than the good units can have been picked, whatever the robot says: what it has beyond them must not be sold. What
    it did not find is what was off sale, first. A count that the line does not have stays, for the statement to refuse.
    """
    said = {pick.sku: pick.picked for pick in report.picks}
    left_lying = {}
    for line in shelf:
        picked = said.get(line.sku, line.quantity if report.outcome is Outcome.PICKED else 0)
        if picked <= line.quantity:
            said[line.sku] = min(picked, line.good)
            left_lying[line.sku] = min(line.quantity - said[line.sku], line.off_sale)
    picks = tuple(Pick(sku, picked) for sku, picked in sorted(said.items()))
    return replace(report, picks=picks), left_lying
