"""Searches use an index, whatever the text and the number of products."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING
from unicodedata import normalize

import asyncpg

from autogrocery.kit.pg.db import open_db
from autogrocery.kit.pg.migrate import migrate
from autogrocery.pricing.actions.list_products import list_products
from autogrocery.pricing.actions.refresh_search_keys import refresh_search_keys
from autogrocery.pricing.app import MIGRATIONS, SCHEMA, main
from autogrocery.pricing.core.price import Offer
from autogrocery.pricing.core.search_key import search_key
from autogrocery.pricing.store import products

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db

MANY = 10_000
DEADLINE_S = 20.0


async def fill(db: Db) -> None:
    offers = [Offer(f"s{n:05}", f"Pro\u0308duct {n % 700} of {n // 700}", "dairy", 100, 1, 1) for n in range(MANY)]
    await products.write(db, offers, "EUR")


async def test_long_search_uses_trigrams_and_short_search_scans_by_sku(db: Db, dsn: str) -> None:
    await fill(db)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "VACUUM ANALYZE pricing.products"
        )  # which also empties the pending list of the GIN index
        for statement, pattern, index in (
            (products.SEARCH, "%pröduct 69 of 3%", "products_by_search_key"),
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
    for text, count in (("of 5", 20), ("ÖDUCT 699 of 3", 1), ("S00123", 1), ("no such", 0), ("1", 20)):
        found = await products.list_after(db, text, "", 20)
        assert len(found) == count
        assert [one.sku for one in found] == sorted(one.sku for one in found)
        assert all(search_key(text) in search_key(f"{one.name}\n{one.sku}") for one in found)


NAMES = {
    "a1": "Müsli",
    "a2": normalize("NFD", "MÜSLI"),
    "a3": "Muesli",
    "a4": "Käse-STRASSE",
    "a5": "Käse-Straße",
    "a6": "\u0130stanbul \u00c7ay",
    "a7": "\u039f\u0394\u038c\u03a3 100%",
    "a8": "a_b\\c",
    "A9": "\u725b\u4e73",
    "\u00c91": "Plain",
}
SEARCHES = {
    "müsli": ["a1", "a2"],
    "MÜSLI": ["a1", "a2"],
    normalize("NFD", "Müsli"): ["a1", "a2"],
    "Ü": ["a1", "a2"],
    "muesli": ["a3"],
    "MUS": [],
    "straße": ["a4", "a5"],
    "STRA\u1e9eE": ["a4", "a5"],
    "strasse": ["a4", "a5"],
    "SS": ["a4", "a5"],
    "istanbul": ["a6"],
    "\u0130STANBUL \u00e7AY": ["a6"],
    "\u03bf\u03b4\u03cc\u03c2": ["a7"],
    "\u03bf\u03b4\u03cc\u03c3": ["a7"],
    "100%": ["a7"],
    "0\uff05": ["a7"],
    "%": ["a7"],
    "_": ["a8"],
    "_B\\": ["a8"],
    "\\": ["a8"],
    "a9": ["A9"],
    "\u725b": ["A9"],
    "\u725b\u4e73": ["A9"],
    "\u00e91": ["\u00c91"],
    "e\u03011": ["\u00c91"],
    "m\u0131": [],
}


BEFORE_KEYS = """
ALTER TABLE pricing.products DROP COLUMN search_key;
DELETE FROM pricing.schema_migrations WHERE number >= 3;
"""
OLD_WRITE = """
INSERT INTO pricing.products (sku, name, aisle_type, unit_price_cents, currency) VALUES ($1, $2, 'dairy', 1, 'EUR')
"""


async def found_by(db: Db, text: str) -> list[str]:
    """Return every SKU that a search pages through, one product a page."""
    seen, cursor = [], ""
    while True:
        page = await list_products(db, text, cursor, 1)
        seen += [one.sku for one in page.products]
        if not page.next_cursor:
            return seen
        cursor = page.next_cursor


async def test_search_is_blind_to_case_and_unicode_form(db: Db) -> None:
    await products.write(db, [Offer(sku, name, "dairy", 100, 1, 1) for sku, name in NAMES.items()], "EUR")
    assert {text: await found_by(db, text) for text in SEARCHES} == SEARCHES
    assert await found_by(db, "") == sorted(NAMES)  # by code point, as bytes of UTF-8


async def test_skus_stay_bytewise(db: Db) -> None:
    skus = ["M", "m", "\u00c4", "A\u0308", "\u00e4", "\uff4d"]
    await products.write(db, [Offer(sku, "Milk", "dairy", 100 + n, 1, 1) for n, sku in enumerate(skus)], "EUR")
    found = await products.get(db, skus)
    assert [found[sku].unit_price_cents for sku in skus] == [100, 101, 102, 103, 104, 105]
    assert await found_by(db, "\u00c4") == ["A\u0308", "\u00c4", "\u00e4"]
    assert await found_by(db, "milk") == sorted(skus)


async def test_a_new_name_is_found_and_the_old_one_is_not(db: Db) -> None:
    await products.write(db, [Offer("a1", "Käse", "dairy", 100, 1, 1)], "EUR")
    await products.write(db, [Offer("a1", "", "", None, 2, 3)], "EUR")  # keeps the name
    assert await found_by(db, "KÄS") == ["a1"]
    await products.write(db, [Offer("a1", "Öl", "", None, 2, 3)], "EUR")
    assert (await found_by(db, "KÄS"), await found_by(db, "öL")) == ([], ["a1"])


async def test_products_from_before_the_migration_are_found(dsn: str) -> None:
    """Found in any form at once, in any case once pricing has started: lower() of SQL may know ASCII only."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(BEFORE_KEYS)
    await connection.executemany(OLD_WRITE, NAMES.items())
    assert await migrate(dsn, MIGRATIONS, SCHEMA) == ["0003_search_key.sql"]
    await connection.execute(OLD_WRITE, "b1", "Öl")  # by a pricing of the version before
    await connection.close()
    async with open_db(dsn, application="tests") as db:
        assert await found_by(db, "MUESLI") == ["a3"]
        assert "a1" in await found_by(db, normalize("NFD", "üsli"))
        assert await refresh_search_keys(db) > 0
        assert {text: await found_by(db, text) for text in SEARCHES} == SEARCHES
        assert await found_by(db, "öL") == ["b1"]
        assert await refresh_search_keys(db) == 0


async def test_pricing_refreshes_stale_keys_at_its_start(db: Db, dsn: str) -> None:
    await fill(db)
    await db.run("UPDATE pricing.products SET search_key = NULL WHERE sku <= 's02500'")
    await db.run("UPDATE pricing.products SET search_key = 'stale' WHERE sku > 's08000'")
    stop = asyncio.Event()
    running = asyncio.create_task(main({"DATABASE_URL": dsn, "PRICING_GRPC_ADDR": "127.0.0.1:0"}, stop))
    async with asyncio.timeout(DEADLINE_S):
        while await db.rows("SELECT FROM pricing.products WHERE search_key IS NULL OR search_key = 'stale' LIMIT 1"):
            assert not running.done()
            await asyncio.sleep(0.05)
        stop.set()
        await running
    assert len(await products.list_after(db, "PRÖDUCT", "s09990", 20)) == 9
