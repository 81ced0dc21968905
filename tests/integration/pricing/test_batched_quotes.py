"""Concurrent quotes share one SELECT, and each gets its own lines."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import asyncpg

from autogrocery.kit.pg.batch import PLANNER
from autogrocery.pricing.actions.quote import quote
from autogrocery.pricing.core.price import Line, Offer
from autogrocery.pricing.store import products

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db

MANY = 10_000


async def fill(db: Db, count: int) -> None:
    offers = [Offer(f"sku{n}", f"Product {n}", "dairy", 100 + n, 1, 1) for n in range(count)]
    assert await products.write(db, offers, "EUR") == count


async def test_concurrent_baskets_get_their_own_lines(db: Db) -> None:
    await fill(db, 60)
    baskets = [[Line(f"sku{(7 * i + n) % 70}", 1 + n) for n in range(5)] for i in range(100)]
    quotes = await asyncio.gather(*(quote(db, basket) for basket in baskets))
    for basket, priced in zip(baskets, quotes, strict=True):
        known = [line for line in basket if int(line.sku[3:]) < 60]
        assert [(line.sku, line.quantity, line.unit_price_cents) for line in priced.lines] == [
            (line.sku, line.quantity, 100 + int(line.sku[3:])) for line in known
        ]
        assert list(priced.unknown_skus) == [line.sku for line in basket if line not in known]


async def test_changed_price_is_used_by_the_next_quote(db: Db) -> None:
    await fill(db, 3)
    for price in range(101, 111):
        await products.write(db, [Offer("sku1", "One", "dairy", price, 1, 1)], "EUR")
        priced = await asyncio.gather(*(quote(db, [Line("sku1", 1)]) for _ in range(8)))
        assert {one.total_cents for one in priced} == {price}


async def test_skus_with_quotes_backslashes_and_commas_round_trip(db: Db) -> None:
    odd = ['"', "\\", ",", "{}", 'a"b\\c', "NULL", "żółć", "tab\tand\nline"]
    await products.write(db, [Offer(sku, "Odd", "dairy", 5, 1, 1) for sku in odd], "EUR")
    priced = await quote(db, [Line(sku, 1) for sku in odd])
    assert [line.sku for line in priced.lines] == odd


async def test_price_lookup_uses_the_index_even_if_prepared_on_an_empty_list(db: Db, dsn: str) -> None:
    connection = await asyncpg.connect(dsn, server_settings=PLANNER)
    try:
        await connection.execute(f"PREPARE prices AS {products.GET.sql}")
        await connection.fetch("EXPLAIN EXECUTE prices (NULL, NULL)")  # planned here; the connection keeps the plan
        await fill(db, MANY)
        for analyze in ("SELECT", "ANALYZE"):
            await connection.execute(analyze)
            (row,) = await connection.fetch("EXPLAIN (FORMAT JSON) EXECUTE prices (NULL, NULL)")
            text = json.dumps(json.loads(row[0]))
            assert '"Index Name": "product_has_one_row"' in text
            assert "Seq Scan" not in text
            assert "Hash Join" not in text
    finally:
        await connection.close()
