"""Backfill through a real gateway: a generated history in PostgreSQL, `analytics backfill` killed once, then ended.

python -m bench.backfill --changes 1000000
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from msgspec import Struct

from autogrocery.analytics.store.census import count_facts
from autogrocery.analytics.store.embedded import open_embedded
from autogrocery.cli.migrations import migrate_all
from autogrocery.gateway.store.metrics_log import count_changes
from autogrocery.kit.pg.db import open_db
from autogrocery.lab.network import ROLES, Options, Stack, running_stack

CHANGES_OF_ORDER: Final = 3
EPOCHS: Final = 4
DAYS: Final = 30
KILL_AT: Final = 0.2  # of all changes
PROGRESS: Final = re.compile(r"([\d,]+) facts stored, ([\d,]+) numbers missing, ([\d,]+)/s")
STATEMENT_TIMEOUT_MS: Final = 600_000
# Without triggers: an order begins as PREVIEWED, and a million of them would have to be changed twice.
GENERATE: Final = """-- bench.generate
DO $$ BEGIN
  PERFORM set_config('session_replication_role', 'replica', true);
  CREATE TEMPORARY TABLE generated ON COMMIT DROP AS
    SELECT i, md5('order ' || i)::uuid AS order_id, 1000 + i / {per_epoch} AS epoch, i % {per_epoch} AS place,
           now() - interval '{days} days' + i * interval '{days} days' / {orders} - interval '1 hour' AS at
      FROM generate_series(0, {orders} - 1) i;
  INSERT INTO metric_epochs (epoch, started_at) SELECT epoch, min(at) FROM generated GROUP BY epoch;
  INSERT INTO grocery_orders (order_id, user_id, status, version, quoted_total_cents, total_cents, item_count,
                              line_count,
                              created_at, expires_at, confirmed_at, dispatched_at, finished_at, due_at, outcome)
    SELECT order_id, 1, 'COMPLETED', 3, 500 + i % 9000, 500 + i % 9000, 1 + i % 40, 1 + i % 12,
           at, at, at, at, at + interval '90 seconds', NULL, 'FULL' FROM generated;
  INSERT INTO order_history (order_id, version, from_status, to_status, cause, at, epoch, sequence)
    SELECT order_id, version, from_status, to_status, 'generated', at + version * interval '30 seconds', epoch,
           place * 3 + version
      FROM generated CROSS JOIN (VALUES (1, NULL, 'PREVIEWED'), (2, 'PREVIEWED', 'PROCESSING'),
                                        (3, 'PROCESSING', 'COMPLETED')) AS steps (version, from_status, to_status);
END $$
"""
ANALYZE: Final = """-- bench.analyze
ANALYZE
"""


class BackfillRun(Struct, frozen=True):
    """Facts stored before the kill and after it, by what the progress lines say; facts a second after it."""

    changes: int
    before_kill: int
    resumed: int
    facts_per_s: float
    took_s: float
    exact: bool


async def generate(dsn: str, changes: int) -> None:
    """Write a history of DAYS days in EPOCHS epochs that have ended."""
    orders = changes // CHANGES_OF_ORDER
    sql = GENERATE.format(per_epoch=-(-orders // EPOCHS), days=DAYS, orders=orders)
    async with open_db(dsn, application="bench", max_size=1, statement_timeout_ms=STATEMENT_TIMEOUT_MS) as db:
        await db.rows(sql)
        await db.rows(ANALYZE)


async def measure(changes: int) -> BackfillRun:
    """Backfill `changes` status changes through a gateway of its own, with one SIGKILL; compare what is stored."""
    with tempfile.TemporaryDirectory(prefix="backfill-", ignore_cleanup_errors=True) as name:
        home = Path(name)
        home.chmod(0o711)  # PostgreSQL's user must be able to enter it
        gateway = tuple(role for role in ROLES if role.name == "gateway")
        options = Options(home=home, environ=dict(os.environ), auto_ports=True, roles=gateway)
        async with running_stack(options, migrate_all=migrate_all) as stack:
            await generate(stack.dsn, changes)
            before = await asyncio.to_thread(_backfill, stack, int(changes * KILL_AT))
            started_s = time.monotonic()
            resumed = await asyncio.to_thread(_backfill, stack, None)
            took_s = time.monotonic() - started_s
            exact = await _is_exact(stack)
        return BackfillRun(changes, before[0], resumed[0], resumed[1], took_s, exact)


def _backfill(stack: Stack, kill_after: int | None) -> tuple[int, int]:
    """Run the command; return facts stored and facts a second, of its last line before its end."""
    since = time.strftime("%Y-%m-%d", time.gmtime(time.time() - (DAYS + 2) * 86_400))
    environ = {
        **os.environ,
        "AUTOGROCERY_HOME": str(stack.home / "analytics-home"),
        "GATEWAY_WEBHOOK_URL": stack.url_internal,
    }
    command = [sys.executable, "-m", "autogrocery", "analytics", "backfill", "--since", since]
    last = (0, 0)
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if (found := PROGRESS.search(line)) is not None:
                last = int(found[1].replace(",", "")), int(found[3].replace(",", ""))
            if kill_after is not None and last[0] >= kill_after:
                process.kill()
                break
    return last


async def _is_exact(stack: Stack) -> bool:
    async with (
        open_embedded(stack.home / "analytics-home" / "analytics") as engine,
        open_db(stack.dsn, application="bench", max_size=1, statement_timeout_ms=STATEMENT_TIMEOUT_MS) as db,
    ):
        facts, history = await count_facts(engine, 0), await count_changes(db)
        print(f"{facts.changes:,} facts, {history.changes:,} changes in the history", flush=True)
        return facts == history


def main() -> int:
    """Print the figures; exit 1 if the facts are not exactly the history."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=1_000_000)
    run = asyncio.run(measure(parser.parse_args().changes // CHANGES_OF_ORDER * CHANGES_OF_ORDER))
    print(
        f"killed after {run.before_kill:,} facts; then {run.resumed:,} in {run.took_s:.1f} s, start included:"
        f" {run.facts_per_s:,.0f}/s; {'exact' if run.exact else 'NOT EXACT'}"
    )
    return 0 if run.exact else 1


if __name__ == "__main__":
    sys.exit(main())
