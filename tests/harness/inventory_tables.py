"""Inventory's tables as after a long time: 10,000 rows in each table that grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncpg

MANY = 10_000
ROBOTS = 200
FILL = f"""
INSERT INTO inventory.stock (sku, name, aisle_type, on_hand)
SELECT 'sku' || n, 'sku', (ARRAY['bread', 'dairy', 'meat', 'produce', 'party'])[1 + n % 5], 1000
  FROM generate_series(1, {MANY}) n;
INSERT INTO inventory.lots (sku, lot, expiry_at, received, remaining)
SELECT sku, upper(left(encode(sha256(convert_to(sku || n, 'UTF8')), 'hex'), 12)), now() + n * interval '1 day', 1000,
       500 * (n - 1)
  FROM inventory.stock, generate_series(1, 3) n;
INSERT INTO inventory.lot_draws (sku, drawn_from, drawn_until, lot)
SELECT sku, 0, 1000, min(lot) FROM inventory.lots WHERE remaining = 0 GROUP BY sku;
INSERT INTO inventory.robots (robot_id, robot_class)
SELECT 'robot-' || n, (ARRAY['bread', 'dairy', 'meat', 'produce', 'party'])[1 + n % 5]
  FROM generate_series(1, {ROBOTS}) n;
INSERT INTO inventory.orders (order_id, state, finished_at, picked_units)
SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'COMPLETED', now(), 4
  FROM generate_series(1, {MANY}) n;
INSERT INTO inventory.order_lines (order_id, sku, aisle_type, quantity, picked)
SELECT order_id, sku, aisle_type, 2, 2
  FROM inventory.orders JOIN LATERAL (
    SELECT sku, aisle_type FROM inventory.stock
     WHERE sku IN ('sku' || 1 + right(order_id::text, 6)::int % 9999,
                   'sku' || 2 + right(order_id::text, 6)::int % 9998)) s ON true;
INSERT INTO inventory.assignments (order_id, assignment_id, robot_id, robot_class, aisle, state, holder, fence,
                                   lease_until, sequence, closed_at)
SELECT order_id, gen_random_uuid(), robot_id, robot_class, robot_class, 'PICKED', robot_id,
       nextval('inventory.fences'), now(), 1, now()
  FROM inventory.orders JOIN inventory.robots ON robot_id = 'robot-' || 1 + right(order_id::text, 6)::int % {ROBOTS};
INSERT INTO inventory.webhook_outbox (order_id, webhook_id, done_at)
SELECT order_id, 'msg', now() FROM inventory.orders;
"""


async def fill(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Fill all tables without ANALYZE, so that the planner has no statistics."""
    await connection.execute(FILL)
