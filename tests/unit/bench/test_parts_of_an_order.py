"""What an order is made of is measured by doing it: every block ends, and the rows are those that an order has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.blocks import NAMES, blocks
from bench.statement import shares

if TYPE_CHECKING:
    from autogrocery.lab.postgres.embedded import EmbeddedPostgres

AT_ONCE, TIMES = 4, 40


@pytest.mark.timeout(120)
async def test_every_building_block_is_measured(postgres: EmbeddedPostgres) -> None:
    found = await blocks(postgres, AT_ONCE, [("sku-1", 1), ("sku-2", 3)], times=TIMES)
    assert [(one.name, one.times) for one in found] == list(NAMES.values())
    worked = [
        one for one in found if "request" not in one.name
    ]  # so few requests may cost no tick of the kernel's clock
    assert all(one.us > 1 for one in worked)


async def test_the_parts_of_the_statement_are_its_writes_and_its_checks(postgres: EmbeddedPostgres) -> None:
    preview, confirm, webhook = await shares(postgres, AT_ONCE, 2)
    assert (preview.kind, confirm.kind, webhook.kind) == ("preview", "confirm", "webhook")
    assert {
        "INSERT grocery_orders",
        "INSERT order_lines",
        "foreign key order_lines_order_id_fkey",
    } <= preview.of_it_us.keys()
    assert {"UPDATE grocery_orders", "INSERT order_history"} <= confirm.of_it_us.keys()
    assert {"INSERT receipt_outbox", "foreign key webhook_inbox_order_id_fkey"} <= webhook.of_it_us.keys()
    for share in (preview, confirm, webhook):
        assert 0 < sum(share.of_it_us.values()) < share.all_us
