from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import pytest

from autogrocery.contracts.webhook import UpdateOrder
from autogrocery.inventory.app import main
from autogrocery.inventory.store import webhooks
from autogrocery.kit.process.run import StartError
from autogrocery.kit.process.settings import SettingsError
from tests.harness.running_inventory import ROBOT_SECRET, WEBHOOK_SECRET, Picked
from tests.harness.waiting import until

if TYPE_CHECKING:
    from tests.harness.running_inventory import RunningInventory


async def received(inventory: RunningInventory, times: int = 1) -> list[UpdateOrder]:
    async def enough() -> bool:
        return len(inventory.gateway.order_webhooks) >= times

    await until(enough)
    return [msgspec.json.decode(body, type=UpdateOrder) for _, body in inventory.gateway.order_webhooks]


async def count_pending(inventory: RunningInventory) -> int:
    row = await inventory.db.row("SELECT count(*) AS n FROM inventory.webhook_outbox WHERE done_at IS NULL")
    assert row is not None
    return int(row["n"])


async def test_webhook_of_finished_order_has_counts_and_robots(inventory: RunningInventory) -> None:
    order, (dairy, produce) = await inventory.dispatch(milk=3, apple=1)
    await inventory.pick(dairy, Picked.SHORT, milk=2)
    await inventory.pick(produce)
    (update,) = await received(inventory)
    assert (update.order_id, update.status, update.reason) == (UUID(order), "COMPLETED", None)
    assert [(item.sku, item.picked) for item in update.items or ()] == [("apple", 1), ("milk", 2)]
    assert {(robot.robot_id, robot.robot_class, str(robot.assignment_id)) for robot in update.robots or ()} == {
        (one.robot_id, one.robot_class, one.assignment_id) for one in (dairy, produce)
    }


async def test_webhook_of_order_with_nothing_picked_is_failed(inventory: RunningInventory) -> None:
    _, (assignment,) = await inventory.dispatch(milk=3)
    await inventory.pick(assignment, Picked.SHORT)
    (update,) = await received(inventory)
    assert (update.status, update.reason) == ("FAILED", "nothing_picked")


@pytest.mark.parametrize("status", [404, 401, 409, 422, 500, 503, 302])
async def test_webhook_is_retried_with_same_bytes_until_2xx(inventory: RunningInventory, status: int) -> None:
    inventory.gateway.responses = [status, status]
    _, (assignment,) = await inventory.dispatch(milk=3)
    await inventory.pick(assignment)
    await received(inventory, 3)

    async def done() -> bool:
        return await count_pending(inventory) == 0

    await until(done)
    assert len(inventory.gateway.order_webhooks) == 3
    assert len({(headers["webhook-id"], body) for headers, body in inventory.gateway.order_webhooks}) == 1


async def test_webhook_pending_at_restart_is_sent_after_it(inventory: RunningInventory) -> None:
    url = inventory.settings.gateway_webhook_url
    await inventory.restart(gateway_webhook_url="http://127.0.0.1:9")
    _, (assignment,) = await inventory.dispatch(milk=3)
    await inventory.pick(assignment)

    async def tried() -> bool:
        row = await inventory.db.row("SELECT last_error FROM inventory.webhook_outbox")
        return row is not None and row["last_error"] is not None  # so the attempt has ended

    await until(tried)
    await inventory.restart(gateway_webhook_url=url)
    await received(inventory)


async def test_concurrent_webhooks_are_sent_once_and_only_a_failed_one_is_retried(
    inventory: RunningInventory,
) -> None:
    dispatched = await asyncio.gather(*(inventory.dispatch(milk=1) for _ in range(20)))
    inventory.gateway.responses = [503]
    await asyncio.gather(*(inventory.pick(assignment) for _, (assignment,) in dispatched))

    async def done() -> bool:
        return await count_pending(inventory) == 0

    await until(done)
    ids = [headers["webhook-id"] for headers, _ in inventory.gateway.order_webhooks]
    assert len(ids) == 21
    assert set(ids) == {"msg_" + order.replace("-", "") for order, _ in dispatched}
    retried = await inventory.db.rows("SELECT attempts FROM inventory.webhook_outbox WHERE attempts > 1")
    assert [row["attempts"] for row in retried] == [2]


async def test_second_body_for_a_webhook_returns_the_first(inventory: RunningInventory) -> None:
    order, (assignment,) = await inventory.dispatch(milk=3)
    await inventory.pick(assignment)
    await received(inventory)
    row = await inventory.db.row("SELECT webhook_id, body FROM inventory.webhook_outbox")
    assert row is not None
    assert await webhooks.keep_body(inventory.db, UUID(order), row["webhook_id"], "another") == row["body"]


def environment(dsn: str) -> dict[str, str]:
    return {
        "DATABASE_URL": dsn,
        "WEBHOOK_SECRET": WEBHOOK_SECRET,
        "ROBOT_JWT_SECRET": ROBOT_SECRET,
        "INVENTORY_GRPC_ADDR": "127.0.0.1:0",
        "ROBOTS_ZMQ_ADDR": "tcp://127.0.0.1:*",
    }


async def test_process_starts_and_stops(inventory_dsn: str) -> None:
    stop = asyncio.Event()
    stop.set()
    await main(environment(inventory_dsn), stop)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"WEBHOOK_SECRET": ""}, "WEBHOOK_SECRET"),
        ({"ROBOT_JWT_SECRET": "short"}, "ROBOT_JWT_SECRET"),
        ({"ROBOT_JWT_SECRET": WEBHOOK_SECRET}, "ROBOT_JWT_SECRET"),
        ({"INVENTORY_GRPC_ADDR": "nowhere"}, "INVENTORY_GRPC_ADDR"),
        ({"GATEWAY_WEBHOOK_URL": "ftp://x"}, "GATEWAY_WEBHOOK_URL"),
        ({"PICK_LEASE_S": "soon"}, "PICK_LEASE_S"),
        ({"DATABASE_URL": ""}, "DATABASE_URL"),
    ],
)
async def test_bad_setting_fails_the_start_and_is_named(changed: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        await main(environment("postgresql://127.0.0.1:9/none") | changed, asyncio.Event())


async def test_database_without_tables_fails_the_start(pricing_dsn: str) -> None:
    with pytest.raises(StartError, match="autogrocery migrate"):
        await main(environment(pricing_dsn), asyncio.Event())


async def test_unreachable_database_fails_the_start() -> None:
    with pytest.raises(StartError, match="DATABASE_URL"):
        await main(environment("postgresql://nobody@127.0.0.1:9/none"), asyncio.Event())
