"""Migration 0003 on a database with stock: the units on each shelf become one lot without an expiry."""

from __future__ import annotations

from importlib import resources

import asyncpg

from autogrocery.inventory.core.lots import parse_lot
from autogrocery.inventory.core.stock import Line
from autogrocery.inventory.store import holds, lots
from autogrocery.kit.pg.db import open_db
from tests.harness.inventory_batches import violations
from tests.harness.inventory_lots import picked_lots, robot, sell

# Stock, a hold and a picked order, as before migration 0003.
BEFORE_LOTS = """
INSERT INTO inventory.stock (sku, name, aisle_type, on_hand, held, picked)
VALUES ('milk', 'Milk', 'dairy', 7, 2, 3), ('rice', 'Rice', 'dairy', 0, 0, 0);
INSERT INTO inventory.ledger (sku, ref, cause, delta)
VALUES ('milk', gen_random_uuid(), 'restock', 14), ('milk', gen_random_uuid(), 'shrink', -2);
INSERT INTO inventory.orders (order_id, state, expires_at)
VALUES ('00000000-0000-4000-8000-000000000001', 'HELD', 'infinity');
INSERT INTO inventory.order_lines (order_id, sku, aisle_type, quantity)
VALUES ('00000000-0000-4000-8000-000000000001', 'milk', 'dairy', 2);
INSERT INTO inventory.orders (order_id, state, picked_units, finished_at)
VALUES ('00000000-0000-4000-8000-000000000002', 'COMPLETED', 3, now());
INSERT INTO inventory.order_lines (order_id, sku, aisle_type, quantity, picked)
VALUES ('00000000-0000-4000-8000-000000000002', 'milk', 'dairy', 3, 3);
INSERT INTO inventory.robots (robot_id, robot_class) VALUES ('dairy-1', 'dairy');
INSERT INTO inventory.assignments (order_id, assignment_id, robot_id, robot_class, aisle, state, holder, fence,
                                   lease_until, sequence, closed_at)
VALUES ('00000000-0000-4000-8000-000000000002', gen_random_uuid(), 'dairy-1', 'dairy', 'dairy', 'PICKED', 'dairy-1', 1,
        now(), 1, now());
INSERT INTO inventory.webhook_outbox (order_id, webhook_id, done_at)
VALUES ('00000000-0000-4000-8000-000000000002', 'msg', now());
"""


async def migrated(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    files = resources.files("autogrocery.inventory.store.migrations")
    await connection.execute("CREATE SCHEMA inventory")
    for name in sorted(entry.name for entry in files.iterdir() if entry.name.endswith(".sql")):
        if name.startswith("0003"):
            await connection.execute(BEFORE_LOTS)
        async with connection.transaction():
            await connection.execute(files.joinpath(name).read_text(encoding="utf-8"))
    await connection.close()


async def test_stock_from_before_the_migration_is_one_lot_without_expiry(gateway_dsn: str) -> None:
    dsn = gateway_dsn  # a database without these tables
    await migrated(dsn)
    async with open_db(dsn, application="tests") as db:
        assert await violations(db) == []
        (lot,) = await lots.list_on_shelf(db, sku=None, expiring_within=None, limit=9)
        assert (lot.sku, lot.received, lot.on_shelf, lot.expiry_at) == ("milk", 9, 9, None)
        assert parse_lot(lot.lot) == lot.lot
        await robot(db)
        order = await sell(db, 4)
        assert await picked_lots(db, order) == {lot.lot: 4}
        assert await holds.list_available(db, ["milk"]) == [Line("milk", 3)]
        assert await violations(db) == []
