"""Each invariant about deliveries finds what it is there for."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from autogrocery.inventory.actions.audit import audit
from autogrocery.inventory.actions.report_putaway import report_putaway
from autogrocery.inventory.actions.restock_items import restock_items
from autogrocery.inventory.actions.start_pick import start_pick
from autogrocery.inventory.core.delivery import Delivered
from autogrocery.inventory.core.putaway import Count, PutawayReport, putaway_id
from autogrocery.inventory.store.audit import PACKAGE
from autogrocery.kit.pg.audit import queries
from autogrocery.kit.pg.db import open_db
from tests.harness.inventory_crowd import Silent

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
    "put_away_restock_is_told": f'UPDATE inventory.restock_webhooks SET body = \'{{"status": "RECEIVING"}}\' WHERE {ENDED}',
    "restock_webhooks_drain": f"UPDATE inventory.restock_webhooks SET created_at = now() - interval '2 minutes' WHERE {ENDED}",
}


@pytest.fixture
async def db(inventory_dsn: str) -> AsyncIterator[Db]:
    """A delivery that is put away, one that waits, and one that stood on its shelf."""
    async with open_db(inventory_dsn, application="tests") as opened:
        goods = [Delivered("milk", "Milk", "dairy", 7, 90, None, None)]
        for supplier in ("ended", "open", "shelved"):
            restock = uuid4()
            refused = await restock_items(opened, Silent(), restock, supplier, goods, shelved=supplier == "shelved")  # type: ignore[arg-type]
            assert refused is None
            if supplier == "ended":
                lease = await start_pick(opened, putaway_id(restock, "dairy"), "dairy-1", ["dairy"], lease_s=60)
                assert lease is not None
                report = PutawayReport(
                    putaway_id(restock, "dairy"), "dairy-1", lease.fence, 1, (Count("milk", 7, 2),), done=True
                )
                await report_putaway(opened, report, ["dairy"], nothing)
        yield opened


def nothing() -> None:
    return None


async def found(db: Db) -> set[str]:
    return {one.name for one in await audit(db) if one.violations}


async def test_deliveries_in_every_state_violate_nothing(db: Db) -> None:
    assert await found(db) == set()


@pytest.mark.parametrize("name", DAMAGE)
async def test_what_violates_an_invariant_is_found_by_it(db: Db, name: str) -> None:
    await db.run(DAMAGE[name])
    assert name in await found(db)


def test_every_invariant_about_deliveries_is_tried() -> None:
    names = {query.name for query in queries(PACKAGE)}
    assert {name for name in names if "restock" in name or "putaways" in name} == set(DAMAGE)
