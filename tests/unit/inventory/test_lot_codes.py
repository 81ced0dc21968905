"""Lot codes, and picks while expired or recalled units are on the shelf."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autogrocery.inventory.core.lots import LineStock, exclude_off_sale, format_lot, lot_code, parse_lot
from autogrocery.inventory.core.picking import Outcome, Pick, Report
from autogrocery.inventory.core.restock import RestockLine, merge_restock_lines

RESTOCK = UUID("01890000-0000-7000-8000-000000000001")


def test_lot_code_is_stable_and_differs_by_sku() -> None:
    assert format_lot(lot_code(RESTOCK, "milk")) == "130F-E590-4D53"
    assert lot_code(RESTOCK, "milk") != lot_code(RESTOCK, "rice")


@given(st.uuids(), st.text(min_size=1, max_size=64))
def test_formatted_lot_code_parses_to_itself(restock_id: UUID, sku: str) -> None:
    lot = lot_code(restock_id, sku)
    assert parse_lot(format_lot(lot)) == parse_lot(f" {format_lot(lot).lower()} ") == parse_lot(lot) == lot
    for dash in ("\u2010", "\u2011", "\u2013", "\u00a0", "\uff0d"):
        assert parse_lot(format_lot(lot).replace("-", dash)) == lot


@pytest.mark.parametrize("text", ["", "milk", "130F-E590-151", "130F-E590-15190", "130F-E590-151O", "1" * 13])
def test_malformed_lot_code_parses_to_none(text: str) -> None:
    assert parse_lot(text) is None


@given(
    st.integers(1, 9),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 9),
    st.none() | st.integers(0, 9),
    st.sampled_from(Outcome),
)
def test_off_sale_units_are_not_picked_and_every_unit_is_accounted_for(
    quantity: int, good: int, off_sale: int, more: int, reported: int | None, outcome: Outcome
) -> None:
    shelf = LineStock("milk", quantity, good + max(0, quantity - good - off_sale), off_sale + more)
    picks = () if reported is None else (Pick("milk", min(reported, quantity)),)
    sellable = exclude_off_sale(Report(uuid4(), "dairy-1", 1, 1, outcome, picks), [shelf])
    ((_, picked),) = [(pick.sku, pick.picked) for pick in sellable.report.picks]
    claimed = min(reported, quantity) if reported is not None else quantity if outcome is Outcome.PICKED else 0
    missing = quantity - picked - sellable.off_sale["milk"]
    assert picked == min(claimed, shelf.good)
    assert 0 <= sellable.off_sale["milk"] <= shelf.off_sale
    assert missing == 0 or sellable.off_sale["milk"] == shelf.off_sale
    assert picked + missing <= shelf.good


SOON, LATE = datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize("expiries", [(SOON, LATE), (LATE, SOON), (None, SOON), (SOON, None), (SOON, SOON, LATE)])
def test_merged_restock_line_has_the_earliest_expiry(
    expiries: tuple[datetime | None, ...],
) -> None:
    (line,) = merge_restock_lines(RestockLine("milk", "Milk", "dairy", 2, 1, None, expiry) for expiry in expiries)
    assert (line.expiry_at, line.quantity) == (SOON, 2 * len(expiries))
