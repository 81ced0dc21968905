"""PostgreSQL's own bench with the same rows and indexes as ours: one order in three transactions, closed loop.

It is the yardstick: what this server does for clients written in C that do nothing else. Two forms are there: `single`, each
transaction one statement as the gateway's are (fewer round trips, so faster, so the harder yardstick), and `several`,
transactions of plain statements as one would write them by hand.
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

from bench.proc import costs_s
from bench.stage import add_devices, check_durable, fresh_database

if TYPE_CHECKING:
    from autogrocery.lab.postgres.embedded import EmbeddedPostgres

THREADS = 2
SPARE_S = 30.0
DEVICES = 1_000
EPOCHS = 1_000  # one for each client, whose numbers then rise as a gateway's do
TPS = re.compile(r"tps = ([0-9.]+) \(without initial connection time\)")
LATENCY = re.compile(r"latency average = ([0-9.]+) ms")
FAILED = re.compile(r"number of failed transactions: (\d+)")
CREATED = {18: "uuidv7()"}  # what our orders' ids are; older servers have none
OLDER = "gen_random_uuid()"
ROBOTS = (
    '[{"robot_id": "robot-dairy-1", "robot_class": "dairy", "assignment_id": "01890000-0000-7000-8000-000000000000-1"}]'
)


class Result(Struct, frozen=True):
    """One run of pgbench: an order is one run of the script."""

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
SELECT :order_id::uuid, l.line_no, l.sku, l.sku, 1, 1, 129 FROM unnest(ARRAY[{skus}]::text[]) WITH ORDINALITY AS l (sku, line_no);
INSERT INTO order_history (order_id, version, to_status, cause, epoch, sequence)
VALUES (:order_id::uuid, 1, 'PREVIEWED', 'previewed', :client_id + 1, :n);
END;
BEGIN;
UPDATE grocery_orders
   SET status = 'PROCESSING', version = version + 1, robots = '{robots}'::jsonb, confirmed_at = now(), dispatched_at = now(),
       due_at = now() + interval '1 minute'
 WHERE order_id = :order_id::uuid AND status = 'PREVIEWED';
INSERT INTO order_history (order_id, version, from_status, to_status, cause, epoch, sequence)
VALUES (:order_id::uuid, 2, 'PREVIEWED', 'PROCESSING', 'dispatched', :client_id + 1, :n::bigint + 1);
END;
BEGIN;
UPDATE grocery_orders SET status = 'COMPLETED', version = version + 1, outcome = 'FULL', due_at = NULL, finished_at = now()
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
    """Return one order as a pgbench script, with `lines` lines."""
    return FORMS[form].format(
        devices=DEVICES,
        lines=lines,
        total=129 * lines,
        sha256="5a" * 32,
        robots=ROBOTS,
        skus=", ".join(f"'sku-{number}'" for number in range(lines)),
        order_id=CREATED.get(major, OLDER),
    )


async def open_yardstick(server: EmbeddedPostgres) -> str:
    """Return the DSN of a database with our tables, devices and epochs, for pgbench alone."""
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
) -> Result:
    """Run pgbench for so long; raises RuntimeError if it did not do what it should, or a transaction failed."""
    parts = urlsplit(dsn)
    place = parse_qs(parts.query)
    start = int.from_bytes(os.urandom(5), "big") * 3  # numbers of earlier runs are not met again
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
            place["host"][0],
            "-p",
            place["port"][0],
            "-U",
            str(parts.username),
            parts.path[1:],
        ]
        pids = {"postgresql": server.pid or 0}
        before = costs_s(pids)["postgresql"]
        own = os.times()
        process = await asyncio.create_subprocess_exec(
            *program,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], "PGPASSWORD": str(parts.password)},
        )
        async with asyncio.timeout(seconds + SPARE_S):
            told = (await process.communicate())[0].decode()
        spent, used = costs_s(pids)["postgresql"] - before, os.times()
    tps, latency, failed = TPS.search(told), LATENCY.search(told), FAILED.search(told)
    if process.returncode or not tps or not latency or (failed and int(failed[1])):
        raise RuntimeError(f"pgbench: {told[-2000:]}")
    orders = float(tps[1]) * max(1, round(seconds))
    pgbench_s = used.children_user + used.children_system - own.children_user - own.children_system
    return Result(
        round(float(tps[1]), 1), float(latency[1]), round(spent / orders * 1e6, 1), round(pgbench_s / orders * 1e6, 1)
    )


def _program(server: EmbeddedPostgres) -> Path:
    beside = server.binaries.directory / "pgbench"
    found = beside if beside.exists() else shutil.which("pgbench")
    if found is None:
        raise RuntimeError("there is no pgbench: install your system's postgresql-contrib, or the extra `embedded`")
    return Path(found)
