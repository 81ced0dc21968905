"""pgbench writes the rows that the gateway writes: its orders pass the gateway's audit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from bench.environment import count_violations
from bench.pgbench import FORMS, open_pgbench_database, run_pgbench

if TYPE_CHECKING:
    from autogrocery.lab.postgres.embedded import EmbeddedPostgres

ROWS = """
SELECT (SELECT count(*) FROM grocery_orders) AS orders,
       (SELECT count(*) FROM grocery_orders WHERE status = 'COMPLETED') AS completed,
       (SELECT count(*) FROM order_lines) AS lines, (SELECT count(*) FROM order_history) AS history,
       (SELECT count(*) FROM receipt_outbox WHERE done_at IS NULL) AS receipts,
       (SELECT count(*) FROM webhook_inbox) AS webhooks
"""


@pytest.mark.parametrize("form", FORMS)
async def test_orders_of_pgbench_have_all_rows_and_pass_the_audit(postgres: EmbeddedPostgres, form: str) -> None:
    dsn = await open_pgbench_database(postgres)
    result = await run_pgbench(postgres, dsn, clients=2, seconds=1.0, lines=3, form=form)
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetchrow(ROWS)
    finally:
        await connection.close()
    assert rows is not None
    orders = rows["orders"]
    assert orders > 0
    assert result.latency.count < orders  # those of the first second are not measured
    assert result.orders_per_s == pytest.approx(result.latency.count, rel=0.3)  # a second between two reports
    assert 0.0 < result.latency.p50 <= result.latency.p99
    assert result.postgresql_us > result.pgbench_us > 0.0
    assert dict(rows) == {
        "orders": orders,
        "completed": orders,
        "lines": 3 * orders,
        "history": 3 * orders,
        "receipts": orders,
        "webhooks": orders,
    }
    assert await count_violations(dsn) == 0
