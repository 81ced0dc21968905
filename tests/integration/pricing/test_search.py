"""Searches use an index, whatever the text and the number of products."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import asyncpg

from autogrocery.pricing.core.price import Offer
from autogrocery.pricing.store import products

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db

MANY = 10_000


async def fill(db: Db) -> None:
    offers = [Offer(f"s{n:05}", f"Product {n % 700} of {n // 700}", "dairy", 100, 1, 1) for n in range(MANY)]
    await products.write(db, offers, "EUR")


async def test_long_search_uses_trigrams_and_short_search_scans_by_sku(db: Db, dsn: str) -> None:
    await fill(db)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "VACUUM ANALYZE pricing.products"
        )  # which also empties the pending list of the GIN index
        for statement, pattern, index in (
            (products.SEARCH, "%uct 69 of 3%", "products_by_part"),
            (products.LIST, "%1%", "product_has_one_row"),
        ):
            await connection.execute(f"PREPARE search (text, text, int) AS {statement}")
            for plans in ("force_custom_plan", "force_generic_plan"):
                await connection.execute(f"SET plan_cache_mode = {plans}")
                (row,) = await connection.fetch(f"EXPLAIN (FORMAT JSON) EXECUTE search ('{pattern}', '', 20)")
                text = json.dumps(json.loads(row[0]))
                assert f'"Index Name": "{index}"' in text
                assert "Seq Scan" not in text
            await connection.execute("DEALLOCATE search")
    finally:
        await connection.close()


async def test_search_returns_the_first_matches_by_sku(db: Db) -> None:
    await fill(db)
    for text, count in (("of 5", 20), ("oduct 699 of 3", 1), ("S00123", 1), ("no such", 0), ("1", 20)):
        found = await products.list_after(db, text, "", 20)
        assert len(found) == count
        assert [one.sku for one in found] == sorted(one.sku for one in found)
        assert all(text.lower() in f"{one.name}\n{one.sku}".lower() for one in found)
