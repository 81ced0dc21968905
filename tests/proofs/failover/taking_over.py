"""A failover under load: the primary dies, its standby takes over, and what devices were told is compared with what is.

The figures of a run are logged (`pytest -s`); FAILOVER_SECONDS=60 makes each run that long.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from msgspec import Struct

from autogrocery.gateway.store import orders
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.process.log import log
from tests.harness import figures
from tests.harness.order_truth import TAKEN, quarrels
from tests.harness.running_gateway import Shop, open_shop
from tests.proofs.failover.devices import KEEPS, Crowd, Journal
from tests.proofs.failover.pair import PATIENCE_S, POLL_S, Pair

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

T = TypeVar("T")
SECONDS = float(os.environ.get("FAILOVER_SECONDS", "2"))
DEVICES = 24
LOST_AT_LEAST = 5  # orders that a run made to lose has quoted and sent to the robots between the cut and the kill
PLENTY = 10_000_000
HASTEN = "UPDATE grocery_orders SET due_at = now(), expires_at = least(expires_at, now()) WHERE finished_at IS NULL"
TEST_TIMEOUT_S = 120 + 4 * SECONDS


class Findings(Struct):
    """What a failover did."""

    orders: int
    acknowledged: int
    asked_again: int
    lost_orders: list[str]  # acknowledged, and there is no row
    lost_words: list[str]  # the row is not what its device was told
    orphan_dispatches: list[str]
    contradictions: list[str]
    recovery_s: float


@asynccontextmanager
async def under_load(shop: Shop, *, cancels: bool) -> AsyncIterator[Journal]:
    """Let devices order while the context lasts; leaving waits until each has its last answer."""
    shop.shelf.stock.update(dict.fromkeys(shop.shelf.stock, PLENTY))
    crowd = Crowd(shop, Journal(), asyncio.Event(), cancels)
    registered = [await _answered(shop.device) for _ in range(DEVICES)]
    async with asyncio.TaskGroup() as devices:
        for seed, device in enumerate(registered):
            devices.create_task(crowd.order_on(device, seed))
        try:
            yield crowd.journal
        finally:
            crowd.closing.set()


async def fail_over(pair: Pair, *, loses: bool) -> Findings:
    """Kill the primary under load, promote the standby, go on, let the gateway heal, and compare what was said with what is."""
    async with open_shop(pair.dsn, MAX_IN_FLIGHT="512") as shop:
        async with under_load(shop, cancels=not loses) as journal:
            await asyncio.sleep(SECONDS / 2)
            if loses:
                pair.cut()
                cut_at = time.monotonic()
                await _until(lambda: len(journal.born_and_sent_since(cut_at)) >= LOST_AT_LEAST)
            killed_at = time.monotonic()
            await pair.kill_primary()
            await pair.promote()
            told = len(journal.told)
            await _until(lambda: len(journal.told) >= told + DEVICES)
            await asyncio.sleep(SECONDS / 2)
        await _heal(shop)
        return await _answered(lambda: _compare(shop, journal, killed_at))


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - answers come to many tasks
            await asyncio.sleep(POLL_S)


async def _answered(verb: Callable[[], Awaitable[T]]) -> T:
    """Ask the database until it answers: the tests' own pool loses its connections too."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await verb()
            except Unavailable:
                await asyncio.sleep(POLL_S)


async def _heal(shop: Shop) -> None:
    """Let the gateway's loops do now what they would do in time: call on all that is unfinished, end all idle quotes."""
    async with asyncio.timeout(PATIENCE_S + 2 * SECONDS):
        while await _answered(lambda: _unsettled(shop)):
            await _answered(lambda: shop.db.run(HASTEN))
            await asyncio.sleep(0.5)


async def _unsettled(shop: Shop) -> bool:
    found = await shop.db.rows(
        "SELECT order_id FROM grocery_orders WHERE status = 'PREVIEWED' OR intent IS NOT NULL LIMIT 1"
    )
    return bool(found) or bool((await _contradictions(shop))[0])


async def _contradictions(shop: Shop) -> tuple[list[str], set[str]]:
    found, known = [], set()
    for row in await shop.db.rows("SELECT order_id FROM grocery_orders"):
        order = await orders.get(shop.db, UUID(int=row["order_id"].int))
        assert order is not None
        known.add(str(order.order_id))
        found += [f"{order.order_id}: {quarrel}" for quarrel in quarrels(order, shop.shelf)]
    return found, known


async def _compare(shop: Shop, journal: Journal, killed_at: float) -> Findings:
    contradictions, known = await _contradictions(shop)
    rows = {
        str(row["order_id"]): row["status"] for row in await shop.db.rows("SELECT order_id, status FROM grocery_orders")
    }
    last = journal.last_words()
    return Findings(
        orders=len(last),
        acknowledged=len(journal.told),
        asked_again=journal.asked_again,
        lost_orders=[order_id for order_id in last if order_id not in rows],
        lost_words=[
            f"{one.order_id}: told {one.status}, found {rows[one.order_id]}"
            for one in journal.told
            if one.order_id in rows and rows[one.order_id] not in KEEPS[one.status]
        ],
        orphan_dispatches=[oid for oid, state in shop.shelf.state.items() if state in TAKEN and oid not in known],
        contradictions=contradictions,
        recovery_s=journal.recovery_s(killed_at),
    )


def tell(kind: str, found: Findings) -> None:
    """Log the figures of a run."""
    figures.tell(
        **{
            f"{kind}_orders": found.orders,
            f"{kind}_acknowledgements": found.acknowledged,
            f"{kind}_lost": len(found.lost_orders),
            f"{kind}_orphan_dispatches": len(found.orphan_dispatches),
            "contradictions": len(found.contradictions),
        }
    )
    log.info(
        "failed_over",
        kind=kind,
        orders=found.orders,
        acknowledged=found.acknowledged,
        asked_again=found.asked_again,
        lost_orders=len(found.lost_orders),
        lost_words=len(found.lost_words),
        orphan_dispatch=len(found.orphan_dispatches),
        first_answer_s=round(found.recovery_s, 2),
    )
