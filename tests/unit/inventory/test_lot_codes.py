"""How lots are called, and what counts beside units that are off sale."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autogrocery.inventory.core.delivery import Delivered, gathered
from autogrocery.inventory.core.lots import Shelf, beside_off_sale, lot_of, shown, typed
from autogrocery.inventory.core.picking import Outcome, Pick, Report

RESTOCK = UUID("01890000-0000-7000-8000-000000000001")


def test_a_lot_is_always_called_the_same() -> None:
    assert shown(lot_of(RESTOCK, "milk")) == "130F-E590-4D53"
    assert lot_of(RESTOCK, "milk") != lot_of(RESTOCK, "rice")


@given(st.uuids(), st.text(min_size=1, max_size=64))
def test_a_code_is_read_as_it_is_shown_and_typed(restock_id: UUID, sku: str) -> None:
    lot = lot_of(restock_id, sku)
    assert typed(shown(lot)) == typed(f" {shown(lot).lower()} ") == typed(lot) == lot


@pytest.mark.parametrize("text", ["", "milk", "130F-E590-151", "130F-E590-15190", "130F-E590-151O", "1" * 13])
def test_what_is_no_code_is_none(text: str) -> None:
    assert typed(text) is None


@given(
    st.integers(1, 9),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 9),
    st.none() | st.integers(0, 9),
    st.sampled_from(Outcome),
)
def test_nothing_off_sale_counts_and_nothing_is_lost(
    quantity: int, good: int, off_sale: int, more: int, said: int | None, outcome: Outcome
) -> None:
    shelf = Shelf("milk", quantity, good + max(0, quantity - good - off_sale), off_sale + more)
    picks = () if said is None else (Pick("milk", min(said, quantity)),)
    counted, left = beside_off_sale(Report(uuid4(), "dairy-1", 1, 1, outcome, picks), [shelf])
    ((_, picked),) = [(pick.sku, pick.picked) for pick in counted.picks]
    asked = min(said, quantity) if said is not None else quantity if outcome is Outcome.PICKED else 0
    missing = quantity - picked - left["milk"]
    assert picked == min(asked, shelf.good)
    assert 0 <= left["milk"] <= shelf.off_sale
    assert missing == 0 or left["milk"] == shelf.off_sale
    assert picked + missing <= shelf.good


SOON, LATE = datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize("expiries", [(SOON, LATE), (LATE, SOON), (None, SOON), (SOON, None), (SOON, SOON, LATE)])
def test_what_a_delivery_brings_of_a_product_expires_with_the_first_of_it(
    expiries: tuple[datetime | None, ...],
) -> None:
    (line,) = gathered(Delivered("milk", "Milk", "dairy", 2, 1, None, expiry) for expiry in expiries)
    assert (line.expiry_at, line.quantity) == (SOON, 2 * len(expiries))
