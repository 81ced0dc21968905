"""Each invariant about restock orders finds the damage it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from autogrocery.inventory.actions.audit import audit
from autogrocery.inventory.actions.report_putaway import report_putaway
from autogrocery.inventory.actions.restock_items import restock_items
from autogrocery.inventory.actions.start_pick import start_pick
from autogrocery.inventory.core.putaway import PutawayReport, ReceivedCount, putaway_id
from autogrocery.inventory.core.restock import RestockLine
from autogrocery.inventory.store.audit import PACKAGE
from autogrocery.inventory.store.poll_cache import PollCache
from autogrocery.kit.pg.audit import queries
from autogrocery.kit.pg.db import open_db
from tests.harness.inventory_batches import NullAnnouncer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from autogrocery.kit.pg.db import Db

ENDED = "order_id = (SELECT order_id FROM inventory.restocks WHERE supplier_id = 'ended')"
OPEN = "order_id = (SELECT order_id FROM inventory.restocks WHERE supplier_id = 'open')"
DAMAGE = {
    "restock_is_in_the_ledger": f"UPDATE inventory.restock_lines SET received = received + 1 WHERE {ENDED}",
    "receiving_restock_has_open_work": f"UPDATE inventory.restocks SET state = 'RECEIVING' WHERE {ENDED}",
    "putaways_cover_the_restock": f"UPDATE inventory.restock_lines SET aisle_type = 'meat' WHERE {OPEN}",
    "rejected_restock_brought_nothing": f"UPDATE inventory.restocks SET state = 'REJECTED' WHERE {ENDED}",
    "putaways_do_not_linger": f"UPDATE inventory.putaways SET created_at = now() - interval '2 days' WHERE {OPEN}",
    "put_away_restock_has_its_webhook": (
        f'UPDATE inventory.restock_webhooks SET body = \'{{"status": "RECEIVING"}}\' WHERE {ENDED}'
    ),
    "restock_webhooks_drain": (
        f"UPDATE inventory.restock_webhooks SET created_at = now() - interval '2 minutes' WHERE {ENDED}"
    ),
}


@pytest.fixture
async def db(inventory_dsn: str) -> AsyncIterator[Db]:
    """A restock order that is put away, one that waits, and one that was shelved."""
    async with open_db(inventory_dsn, application="tests") as opened:
        goods = [RestockLine("milk", "Milk", "dairy", 7, 90, None, None)]
        for supplier in ("ended", "open", "shelved"):
            restock = uuid4()
            refused = await restock_items(
                opened, PollCache(), NullAnnouncer(), restock, supplier, goods, shelved=supplier == "shelved"
            )  # type: ignore[arg-type]
            assert refused is None
            if supplier == "ended":
                lease = await start_pick(opened, putaway_id(restock, "dairy"), "dairy-1", ["dairy"], lease_s=60)
                assert lease is not None
                report = PutawayReport(
                    putaway_id(restock, "dairy"), "dairy-1", lease.fence, 1, (ReceivedCount("milk", 7, 2),), done=True
                )
                await report_putaway(opened, report, ["dairy"], lambda: None)
        yield opened


async def violated(db: Db) -> set[str]:
    return {one.name for one in await audit(db) if one.violations}


async def test_restocks_in_every_state_violate_nothing(db: Db) -> None:
    assert await violated(db) == set()


@pytest.mark.parametrize("name", DAMAGE)
async def test_damaged_row_is_found_by_its_invariant(db: Db, name: str) -> None:
    await db.run(DAMAGE[name])
    assert name in await violated(db)


def test_every_invariant_about_restocks_has_a_damage() -> None:
    names = {query.name for query in queries(PACKAGE)}
    assert {name for name in names if "restock" in name or "putaways" in name} == set(DAMAGE)
