"""pgbench writes the gateway's rows into the gateway's tables: an order is three transactions, in a closed loop.

It is the reference for the comparison: what the same server does for clients in C without other work. There are two
forms of the script: `single` has one statement a transaction, as the gateway has, and is faster for its fewer round
trips; `several` has transactions of plain statements, as written by hand.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import asyncpg
from msgspec import Struct

from bench.environment import add_devices, check_durable, fresh_database
from bench.proc import cpu_by_name_s

if TYPE_CHECKING:
    from autogrocery.lab.postgres.embedded import EmbeddedPostgres

THREADS = 2
GRACE_S = 30.0
DEVICES = 1_000
EPOCHS = 1_000  # one for each client, so that its metric numbers rise as a gateway's do
TPS = re.compile(r"tps = ([0-9.]+) \(without initial connection time\)")
LATENCY = re.compile(r"latency average = ([0-9.]+) ms")
FAILED = re.compile(r"number of failed transactions: (\d+)")
ORDER_ID_BY_MAJOR = {18: "uuidv7()"}  # the gateway's kind of id, from the version of PostgreSQL that has it
OLDER_ORDER_ID = "gen_random_uuid()"
ROBOTS = (
    '[{"robot_id": "robot-dairy-1", "robot_class": "dairy", "assignment_id": "01890000-0000-7000-8000-000000000000-1"}]'
)


class PgbenchResult(Struct, frozen=True):
    """One run of pgbench, in which an order is one execution of the script; CPU in µs of an order."""

    orders_per_s: float
    order_ms: float
    postgresql_us: float
    pgbench_us: float


SINGLE = """
\\set n :n + 3
\\set device random(1, {devices})
WITH made AS (
  INSERT INTO grocery_orders (order_id, user_id, currency, quoted_total_cents, total_cents, line_count, item_count,
                              request_sha256, expires_at, due_at)
  VALUES ({order_id}, :device, 'USD', {total}, {total}, {lines}, {lines}, '\\x{sha256}'::bytea,
          now() + 120 * interval '1 second', now() + 120 * interval '1 second')
  ON CONFLICT (order_id) DO NOTHING RETURNING order_id, created_at, expires_at),
lines AS (
  INSERT INTO order_lines (order_id, line_no, sku, name, requested, quantity, unit_price_cents)
  SELECT made.order_id, l.line_no, l.sku, l.sku, 1, 1, 129
    FROM made, unnest(ARRAY[{skus}]::text[]) WITH ORDINALITY AS l (sku, line_no)),
noted AS (
  INSERT INTO order_history (order_id, version, to_status, cause, epoch, sequence)
  SELECT order_id, 1, 'PREVIEWED', 'previewed', :client_id + 1, :n FROM made)
SELECT order_id AS order_id FROM made \\gset
WITH moved AS (
  UPDATE grocery_orders
     SET status = 'PROCESSING', version = version + 1, intent = NULL, intent_at = NULL, robots = '{robots}'::jsonb,
         confirmed_at = coalesce(confirmed_at, now()), dispatched_at = now(), attempts = 0, attention = NULL,
         due_at = now() + interval '1 minute'
   WHERE order_id = :order_id::uuid AND status = 'PREVIEWED' AND (intent IS NULL OR intent = 'DISPATCH')
  RETURNING order_id, version)
INSERT INTO order_history (order_id, version, from_status, to_status, cause, epoch, sequence)
SELECT order_id, version, 'PREVIEWED', 'PROCESSING', 'dispatched', :client_id + 1, :n::bigint + 1 FROM moved;
WITH moved AS (
  UPDATE grocery_orders
     SET status = 'COMPLETED', version = version + 1, intent = NULL, intent_at = NULL, outcome = 'FULL', due_at = NULL,
         finished_at = now(), attention = NULL
   WHERE order_id = :order_id::uuid AND status = 'PROCESSING'
  RETURNING order_id, version),
noted AS (
  INSERT INTO order_history (order_id, version, from_status, to_status, cause, epoch, sequence)
  SELECT order_id, version, 'PROCESSING', 'COMPLETED', 'picked', :client_id + 1, :n::bigint + 2 FROM moved),
receipt AS (
  INSERT INTO receipt_outbox (order_id, done_at) SELECT order_id, now() FROM moved)
INSERT INTO webhook_inbox (order_id, webhook_id, body_sha256)
SELECT order_id, 'msg_' || order_id, '\\x{sha256}'::bytea FROM moved;
"""

SEVERAL = """
\\set n :n + 3
\\set device random(1, {devices})
BEGIN;
INSERT INTO grocery_orders (order_id, user_id, currency, quoted_total_cents, total_cents, line_count, item_count,
                            request_sha256, expires_at, due_at)
VALUES ({order_id}, :device, 'USD', {total}, {total}, {lines}, {lines}, '\\x{sha256}'::bytea,
        now() + 120 * interval '1 second', now() + 120 * interval '1 second') RETURNING order_id AS order_id \\gset
INSERT INTO order_lines (order_id, line_no, sku, name, requested, quantity, unit_price_cents)
SELECT :order_id::uuid, l.line_no, l.sku, l.sku, 1, 1, 129
  FROM unnest(ARRAY[{skus}]::text[]) WITH ORDINALITY AS l (sku, line_no);
INSERT INTO order_history (order_id, version, to_status, cause, epoch, sequence)
VALUES (:order_id::uuid, 1, 'PREVIEWED', 'previewed', :client_id + 1, :n);
END;
BEGIN;
UPDATE grocery_orders
   SET status = 'PROCESSING', version = version + 1, robots = '{robots}'::jsonb, confirmed_at = now(),
       dispatched_at = now(), due_at = now() + interval '1 minute'
 WHERE order_id = :order_id::uuid AND status = 'PREVIEWED';
INSERT INTO order_history (order_id, version, from_status, to_status, cause, epoch, sequence)
VALUES (:order_id::uuid, 2, 'PREVIEWED', 'PROCESSING', 'dispatched', :client_id + 1, :n::bigint + 1);
END;
BEGIN;
UPDATE grocery_orders
   SET status = 'COMPLETED', version = version + 1, outcome = 'FULL', due_at = NULL, finished_at = now()
 WHERE order_id = :order_id::uuid AND status = 'PROCESSING';
INSERT INTO order_history (order_id, version, from_status, to_status, cause, epoch, sequence)
VALUES (:order_id::uuid, 3, 'PROCESSING', 'COMPLETED', 'picked', :client_id + 1, :n::bigint + 2);
INSERT INTO receipt_outbox (order_id, done_at) VALUES (:order_id::uuid, now());
INSERT INTO webhook_inbox (order_id, webhook_id, body_sha256)
VALUES (:order_id::uuid, 'msg_' || :order_id, '\\x{sha256}'::bytea);
END;
"""
FORMS = {"single": SINGLE, "several": SEVERAL}


def script(form: str, lines: int, major: int) -> str:
    """Return the pgbench script of one order with `lines` lines, for a major version of PostgreSQL."""
    return FORMS[form].format(
        devices=DEVICES,
        lines=lines,
        total=129 * lines,
        sha256="5a" * 32,
        robots=ROBOTS,
        skus=", ".join(f"'sku-{number}'" for number in range(lines)),
        order_id=ORDER_ID_BY_MAJOR.get(major, OLDER_ORDER_ID),
    )


async def open_pgbench_database(server: EmbeddedPostgres) -> str:
    """Create a database for pgbench, with the gateway's tables, devices and epochs; returns its DSN."""
    dsn = await fresh_database(server)
    await check_durable(dsn)
    await add_devices(dsn, DEVICES, os.urandom(32))
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("INSERT INTO metric_epochs (epoch) SELECT generate_series(1, $1::int)", EPOCHS)
    finally:
        await connection.close()
    return dsn


async def run_pgbench(
    server: EmbeddedPostgres, dsn: str, *, clients: int, seconds: float, lines: int, form: str = "single"
) -> PgbenchResult:
    """Run pgbench for `seconds`; raises RuntimeError if it or one of its transactions failed."""
    parts = urlsplit(dsn)
    address = parse_qs(parts.query)
    start = int.from_bytes(os.urandom(5), "big") * 3  # so that the metric numbers of an earlier run are not used again
    with tempfile.NamedTemporaryFile("w", suffix=".sql", prefix="agb-") as file:
        file.write(script(form, lines, server.binaries.major))
        file.flush()
        program = [
            str(_program(server)),
            "-n",
            "-M",
            "prepared",
            "-c",
            str(clients),
            "-j",
            str(min(THREADS, clients)),
            "-T",
            str(max(1, round(seconds))),
            "-D",
            f"n={start}",
            "-f",
            file.name,
            "-h",
            address["host"][0],
            "-p",
            address["port"][0],
            "-U",
            str(parts.username),
            parts.path[1:],
        ]
        pids = {"postgresql": server.pid or 0}
        before = cpu_by_name_s(pids)["postgresql"]
        times_before = os.times()
        process = await asyncio.create_subprocess_exec(
            *program,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], "PGPASSWORD": str(parts.password)},
        )
        async with asyncio.timeout(seconds + GRACE_S):
            output = (await process.communicate())[0].decode()
        postgresql_s, after = cpu_by_name_s(pids)["postgresql"] - before, os.times()
    tps, latency, failed = TPS.search(output), LATENCY.search(output), FAILED.search(output)
    if process.returncode or not tps or not latency or (failed and int(failed[1])):
        raise RuntimeError(f"pgbench: {output[-2000:]}")
    orders = float(tps[1]) * max(1, round(seconds))
    pgbench_s = sum(after[2:4]) - sum(times_before[2:4])  # user and system time of ended children
    return PgbenchResult(
        orders_per_s=round(float(tps[1]), 1),
        order_ms=float(latency[1]),
        postgresql_us=round(postgresql_s / orders * 1e6, 1),
        pgbench_us=round(pgbench_s / orders * 1e6, 1),
    )


def _program(server: EmbeddedPostgres) -> Path:
    bundled = server.binaries.directory / "pgbench"
    found = bundled if bundled.exists() else shutil.which("pgbench")
    if found is None:
        raise RuntimeError("pgbench was not found: install your system's postgresql-contrib, or the extra `embedded`")
    return Path(found)
