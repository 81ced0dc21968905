from __future__ import annotations

from datetime import date

import pytest

from autogrocery.lab.demand.demand import load_demand, units_wanted
from autogrocery.lab.demand.supply import CASE_UNITS, SUPPLIERS, in_cases, is_new, manifest_of, opening_stock

DEMAND = load_demand(100, 1, real=False)
PRODUCTS = {product.sku: product for product in DEMAND.products}
TODAY = date(2026, 3, 1)
MILK = {product.sku: 8 for product in DEMAND.products if product.aisle_type == "dairy"}


def test_the_opening_stock_is_a_third_of_the_demand_and_a_little_more() -> None:
    wanted = units_wanted(DEMAND)
    stock = opening_stock(DEMAND, 1)
    assert all(wanted[item.sku] / 3 < item.quantity <= wanted[item.sku] * 0.34 + 2 for item in stock)
    assert any(item.quantity < wanted[item.sku] for item in stock)


def test_new_products_are_chosen_by_seed_and_not_in_the_opening_stock() -> None:
    there = {item.sku for item in opening_stock(DEMAND, 1)}
    new = PRODUCTS.keys() - there
    assert 0 < len(new) < len(PRODUCTS) / 10
    assert new == {sku for sku, product in PRODUCTS.items() if is_new(product, 1)}
    assert there == {item.sku for item in opening_stock(DEMAND, 1)} != {item.sku for item in opening_stock(DEMAND, 2)}


def test_manifest_has_one_unexpired_lot_for_each_line() -> None:
    manifest = manifest_of(SUPPLIERS["dairy"], "m-1", MILK, PRODUCTS, TODAY)
    assert (manifest.supplier_id, manifest.manifest_no) == ("green-hill-dairy", "m-1")
    assert [goods.sku for goods in manifest.items] == sorted(MILK)
    for goods in manifest.items:
        assert goods.mfd_date <= TODAY < goods.expiry_date
        assert 0 < goods.unit_cost_cents <= PRODUCTS[goods.sku].unit_price_cents
    assert len({goods.expiry_date for goods in manifest.items}) > 1


def test_same_manifest_number_gives_the_same_lots() -> None:
    first, again, other = (manifest_of(SUPPLIERS["dairy"], name, MILK, PRODUCTS, TODAY) for name in ("a", "a", "b"))
    assert first == again
    assert [goods.expiry_date for goods in first.items] != [goods.expiry_date for goods in other.items]


@pytest.mark.parametrize(
    ("units", "brought"), [(1, CASE_UNITS), (CASE_UNITS, CASE_UNITS), (CASE_UNITS + 1, 2 * CASE_UNITS)]
)
def test_units_are_rounded_up_to_whole_cases(units: int, brought: int) -> None:
    assert in_cases(units) == brought
