"""What an order and a list of orders cost when the tables hold many finished orders, which SQL inserts."""

from __future__ import annotations

import time
from array import array
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import asyncpg
import msgspec
from msgspec import Struct

from bench.http_connection import connect, get
from bench.job import Latency, latency_of
from bench.measure import Run  # noqa: TC001 - msgspec reads the annotations
from bench.pgbench import ROBOTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from bench.http_connection import HttpConnection

BATCH: Final = 20_000  # orders a transaction
FILL_S: Final = 1_800.0
READS: Final = 500  # of each kind
PAGE: Final = 20
ORDERS: Final = "/api/client/orders"
TABLES: Final = ("grocery_orders", "order_lines", "order_history", "webhook_inbox", "receipt_outbox")
ROWS_AN_ORDER: Final = 8

# Order n was created n/count years ago; its id is the UUIDv7 of that instant. The totals are the sums of the lines.
MAKE = """
CREATE TEMP TABLE made AS
SELECT n, at,
       encode(overlay(overlay(uuid_send(gen_random_uuid())
         PLACING substring(int8send((extract(epoch FROM at) * 1000)::bigint) FROM 3) FROM 1 FOR 6)
         PLACING '\\x7a'::bytea FROM 7 FOR 1), 'hex')::uuid AS order_id,
       devices[1 + n % cardinality(devices)] AS user_id
  FROM generate_series($2::int, $3::int) n,
       LATERAL (SELECT now() - n * interval '1 year' / $1::int AS at) t,
       (SELECT array_agg(id) AS devices FROM smart_devices) d
"""
FILL: Final = (
    f"""
INSERT INTO grocery_orders (order_id, user_id, status, version, quoted_total_cents, total_cents, item_count, line_count,
                            request_sha256, robots, outcome, created_at, expires_at, confirmed_at, dispatched_at,
                            finished_at, due_at)
SELECT order_id, user_id, 'COMPLETED', 3, 700, 700, 3, 2, sha256(uuid_send(order_id)), '{ROBOTS}', 'FULL', at,
       at + interval '2 minutes', at + interval '2 s', at + interval '2 s', at + interval '1 minute', NULL FROM made
""",  # noqa: S608 - ROBOTS is a constant
    """
INSERT INTO order_lines (order_id, line_no, sku, name, requested, quantity, unit_price_cents)
SELECT order_id, l, 'sku-' || (n + l) % 200, 'a product', l, l, 100 + 200 * (l - 1) FROM made, generate_series(1, 2) l
""",
    """
INSERT INTO order_history (order_id, version, from_status, to_status, cause, at, epoch, sequence)
SELECT order_id, h.version, h.was, h.becomes, h.cause, at + (h.version - 1) * interval '2 s', 1, 3 * n + h.version
  FROM made, (VALUES (1, NULL, 'PREVIEWED', 'previewed'), (2, 'PREVIEWED', 'PROCESSING', 'dispatched'),
                     (3, 'PROCESSING', 'COMPLETED', 'picked')) h (version, was, becomes, cause)
""",
    """
INSERT INTO webhook_inbox (order_id, webhook_id, body_sha256, received_at)
SELECT order_id, 'msg_' || order_id, sha256(uuid_send(order_id)), at + interval '1 minute' FROM made
""",
    """
INSERT INTO receipt_outbox (order_id, created_at, attempts, next_attempt_at, done_at)
SELECT order_id, at + interval '1 minute', 1, at + interval '1 minute', at + interval '1 minute' FROM made
""",
)


# Of the orders that `fill_tables` inserted, those whose receipts were not made due before: they have one attempt.
MAKE_DUE: Final = """
UPDATE receipt_outbox SET done_at = NULL, attempts = 0, created_at = now(), next_attempt_at = now()
 WHERE order_id IN (SELECT order_id FROM receipt_outbox
                     WHERE done_at IS NOT NULL AND created_at = done_at AND attempts = 1 LIMIT $1)
"""


class TableGrowth(Struct, frozen=True, kw_only=True):
    """A run with `orders` finished orders in the tables; `read_ms`: latency by kind of read."""

    orders: int
    run: Run
    read_ms: dict[str, Latency]


async def fill_tables(dsn: str, count: int, on_progress: Callable[[int], None]) -> None:
    """Insert `count` finished orders of the last year for the existing devices; `on_progress` receives their number."""
    connection = await asyncpg.connect(dsn, command_timeout=FILL_S)
    try:
        await connection.execute(
            "SET session_replication_role = replica"
        )  # triggers refuse an INSERT of a COMPLETED order
        await connection.execute("INSERT INTO metric_epochs (epoch) VALUES (1) ON CONFLICT DO NOTHING")
        for first in range(1, count + 1, BATCH):
            last = min(first + BATCH - 1, count)
            async with connection.transaction():
                await connection.execute(MAKE, count, first, last)
                for statement in FILL:
                    await connection.execute(statement)
                await connection.execute("DROP TABLE made")
            on_progress(last)
        for table in TABLES:
            await connection.execute(f"VACUUM (ANALYZE) {table}")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def make_receipts_due(dsn: str, count: int) -> None:
    """Make the receipts of `count` finished orders due now; raises AssertionError if there are fewer."""
    connection = await asyncpg.connect(dsn)
    try:
        found = await connection.execute(MAKE_DUE, count)
    finally:
        await connection.close()
    assert found == f"UPDATE {count}", found


async def measure_reads(port: int, tokens: list[str]) -> dict[str, Latency]:
    """Read orders as devices do, one request at a time; returns the latency by kind of read."""
    connection = await connect(port)
    took_s: dict[str, array[float]] = {}
    try:
        for number in range(READS):
            async for kind, each_s in _read_orders(connection, tokens[number % len(tokens)]):
                took_s.setdefault(kind, array("d")).append(each_s)
    finally:
        connection.close()
    return {kind: latency_of(found) for kind, found in took_s.items()}


async def _read_orders(connection: HttpConnection, token: str) -> AsyncIterator[tuple[str, float]]:
    async def get_json(path: str) -> tuple[dict[str, Any], float]:
        began = time.perf_counter()
        status, body = await get(connection, path, ("authorization", f"Bearer {token}"))
        took_s = time.perf_counter() - began
        assert status == 200, (path, status)  # noqa: PLR2004 - OK
        return msgspec.json.decode(body), took_s

    page, took_s = await get_json(f"{ORDERS}?limit={PAGE}")
    yield "orders, first page", took_s
    if page["next_cursor"]:
        _, took_s = await get_json(f"{ORDERS}?limit={PAGE}&cursor={quote(page['next_cursor'])}")
        yield "orders, next page", took_s
    for kind, path in _paths(page["data"][0]["order_id"]):
        _, took_s = await get_json(path)
        yield kind, took_s


def _paths(order_id: str) -> Iterator[tuple[str, str]]:
    yield "orders by status", f"{ORDERS}?status=COMPLETED&limit={PAGE}"
    yield "orders by a status without orders", f"{ORDERS}?status=FAILED&limit={PAGE}"
    yield "last order", f"{ORDERS}/last"
    yield "one order", f"{ORDERS}/{order_id}"
    yield "history of an order", f"{ORDERS}/{order_id}/events"
