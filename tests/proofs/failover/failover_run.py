"""A failover under load: the primary is killed, its standby promoted, and every acknowledgement compared with the rows.

The figures of a run are logged (`pytest -s`); FAILOVER_SECONDS sets its length in seconds.
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
from tests.harness.expected_orders import DISPATCHED_STATES, contradictions
from tests.harness.running_gateway import RunningGateway, serve_gateway
from tests.harness.waiting import until
from tests.proofs.failover.devices import LATER_STATUSES, Load, Record
from tests.proofs.failover.server_pair import POLL_S, TIMEOUT_S, ServerPair

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

T = TypeVar("T")
SECONDS = float(os.environ.get("FAILOVER_SECONDS", "2"))
DEVICES = 24
MIN_LOST = 5  # how many orders a run with `loses_commits` creates and dispatches between the cut and the kill
FULL_STOCK = 10_000_000
MAKE_DUE = "UPDATE grocery_orders SET due_at = now(), expires_at = least(expires_at, now()) WHERE finished_at IS NULL"
TEST_TIMEOUT_S = 120 + 4 * SECONDS


class Findings(Struct):
    """The result of a failover run."""

    orders: int
    acknowledged: int
    retries: int
    lost_orders: list[str]  # acknowledged orders without a row
    contradicted: list[str]  # acknowledged orders whose row has a status that cannot follow
    orphan_dispatches: list[str]
    contradictions: list[str]
    recovery_s: float


@asynccontextmanager
async def under_load(gateway: RunningGateway, *, with_cancels: bool) -> AsyncIterator[Record]:
    """Run the devices while the context lasts; leaving it waits until each has its last response."""
    gateway.fake_inventory.stock.update(dict.fromkeys(gateway.fake_inventory.stock, FULL_STOCK))
    load = Load(gateway, Record(), asyncio.Event(), with_cancels)
    registered = [await _retry_unavailable(gateway.device) for _ in range(DEVICES)]
    async with asyncio.TaskGroup() as devices:
        for seed, device in enumerate(registered):
            devices.create_task(load.order_repeatedly(device, seed))
        try:
            yield load.record
        finally:
            load.stopping.set()


async def fail_over(servers: ServerPair, *, loses_commits: bool) -> Findings:
    """Kill the primary under load, promote the standby, continue, let the loops settle all orders, and compare.

    If `loses_commits`, replication is cut before the kill, so that acknowledged orders are lost.
    """
    async with serve_gateway(servers.dsn, MAX_IN_FLIGHT="512") as gateway:
        async with under_load(gateway, with_cancels=not loses_commits) as record:
            await asyncio.sleep(SECONDS / 2)
            if loses_commits:
                servers.cut_replication()
                cut_at = time.monotonic()
                await until(lambda: len(record.dispatched_since(cut_at)) >= MIN_LOST, TIMEOUT_S)
            killed_at = time.monotonic()
            await servers.kill_primary()
            await servers.promote()
            acknowledged = len(record.acknowledged)
            await until(lambda: len(record.acknowledged) >= acknowledged + DEVICES, TIMEOUT_S)
            await asyncio.sleep(SECONDS / 2)
        await _settle_all(gateway)
        return await _retry_unavailable(lambda: _compare(gateway, record, killed_at))


async def _retry_unavailable(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a call while it raises Unavailable: the test's own pool loses its connections too."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            try:
                return await call()
            except Unavailable:
                await asyncio.sleep(POLL_S)


async def _settle_all(gateway: RunningGateway) -> None:
    """Make every unfinished order due and every quote overdue until the gateway's loops have settled all of them."""
    async with asyncio.timeout(TIMEOUT_S + 2 * SECONDS):
        while await _retry_unavailable(lambda: _is_unsettled(gateway)):
            await _retry_unavailable(lambda: gateway.db.run(MAKE_DUE))
            await asyncio.sleep(0.5)


async def _is_unsettled(gateway: RunningGateway) -> bool:
    found = await gateway.db.rows(
        "SELECT order_id FROM grocery_orders WHERE status = 'PREVIEWED' OR intent IS NOT NULL LIMIT 1"
    )
    return bool(found) or bool((await _contradictions(gateway))[0])


async def _contradictions(gateway: RunningGateway) -> tuple[list[str], set[str]]:
    found, known = [], set()
    for row in await gateway.db.rows("SELECT order_id FROM grocery_orders"):
        order = await orders.get(gateway.db, UUID(int=row["order_id"].int))
        assert order is not None
        known.add(str(order.order_id))
        found += [
            f"{order.order_id}: {contradiction}" for contradiction in contradictions(order, gateway.fake_inventory)
        ]
    return found, known


async def _compare(gateway: RunningGateway, record: Record, killed_at: float) -> Findings:
    contradictions, known = await _contradictions(gateway)
    rows = {
        str(row["order_id"]): row["status"]
        for row in await gateway.db.rows("SELECT order_id, status FROM grocery_orders")
    }
    last = record.last_statuses()
    return Findings(
        orders=len(last),
        acknowledged=len(record.acknowledged),
        retries=record.retries,
        lost_orders=[order_id for order_id in last if order_id not in rows],
        contradicted=[
            f"{one.order_id}: acknowledged as {one.status}, found {rows[one.order_id]}"
            for one in record.acknowledged
            if one.order_id in rows and rows[one.order_id] not in LATER_STATUSES[one.status]
        ],
        orphan_dispatches=[
            oid
            for oid, state in gateway.fake_inventory.state.items()
            if state in DISPATCHED_STATES and oid not in known
        ],
        contradictions=contradictions,
        recovery_s=record.recovery_s(killed_at),
    )


def report(kind: str, found: Findings) -> None:
    """Log and record the figures of a run."""
    figures.record(
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
        retries=found.retries,
        lost_orders=len(found.lost_orders),
        contradicted=len(found.contradicted),
        orphan_dispatch=len(found.orphan_dispatches),
        first_answer_s=round(found.recovery_s, 2),
    )
