"""The parts of PostgreSQL's batched statement are its writes and foreign keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.statement import measure_batches

if TYPE_CHECKING:
    from autogrocery.lab.postgres.embedded import EmbeddedPostgres


async def test_parts_of_a_statement_are_its_writes_and_foreign_keys(postgres: EmbeddedPostgres) -> None:
    preview, confirm, webhook = await measure_batches(postgres, 4, 2)
    assert (preview.kind, confirm.kind, webhook.kind) == ("preview", "confirm", "webhook")
    assert {
        "INSERT grocery_orders",
        "INSERT order_lines",
        "foreign key order_lines_order_id_fkey",
    } <= preview.part_us.keys()
    assert {"UPDATE grocery_orders", "INSERT order_history"} <= confirm.part_us.keys()
    assert {"INSERT receipt_outbox", "foreign key webhook_inbox_order_id_fkey"} <= webhook.part_us.keys()
    for batch in (preview, confirm, webhook):
        assert 0 < sum(batch.part_us.values()) < batch.total_us
