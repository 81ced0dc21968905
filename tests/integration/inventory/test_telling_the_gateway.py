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
from tests.harness.running_inventory import ROBOT_SECRET, WEBHOOK_SECRET, Picked, until

if TYPE_CHECKING:
    from tests.harness.running_inventory import Shop


async def told(shop: Shop, times: int = 1) -> list[UpdateOrder]:
    async def enough() -> bool:
        return len(shop.gateway.got) >= times

    await until(enough)
    return [msgspec.json.decode(body, type=UpdateOrder) for _, body in shop.gateway.got]


async def undone(shop: Shop) -> int:
    row = await shop.db.row("SELECT count(*) AS n FROM inventory.webhook_outbox WHERE done_at IS NULL")
    assert row is not None
    return int(row["n"])


async def test_a_finished_order_is_told_with_counts_and_robots(shop: Shop) -> None:
    order, (dairy, produce) = await shop.dispatch(milk=3, apple=1)
    await shop.pick(dairy, Picked.SHORT, milk=2)
    await shop.pick(produce)
    (update,) = await told(shop)
    assert (update.order_id, update.status, update.reason) == (UUID(order), "COMPLETED", None)
    assert [(item.sku, item.picked) for item in update.items or ()] == [("apple", 1), ("milk", 2)]
    assert {(robot.robot_id, robot.robot_class, str(robot.assignment_id)) for robot in update.robots or ()} == {
        (one.robot_id, one.robot_class, one.assignment_id) for one in (dairy, produce)
    }


async def test_an_order_of_which_nothing_was_picked_is_told_as_failed(shop: Shop) -> None:
    _, (assignment,) = await shop.dispatch(milk=3)
    await shop.pick(assignment, Picked.SHORT)
    (update,) = await told(shop)
    assert (update.status, update.reason) == ("FAILED", "nothing_picked")


@pytest.mark.parametrize("answer", [404, 401, 409, 422, 500, 503, 302])
async def test_it_is_told_again_with_the_same_bytes_until_acknowledged(shop: Shop, answer: int) -> None:
    shop.gateway.answers = [answer, answer]
    _, (assignment,) = await shop.dispatch(milk=3)
    await shop.pick(assignment)
    await told(shop, 3)

    async def done() -> bool:
        return await undone(shop) == 0

    await until(done)
    assert len(shop.gateway.got) == 3
    assert len({(headers["webhook-id"], body) for headers, body in shop.gateway.got}) == 1


async def test_what_was_owed_before_a_restart_is_told_after_it(shop: Shop) -> None:
    url = shop.settings.gateway_webhook_url
    await shop.restart(gateway_webhook_url="http://127.0.0.1:9")
    _, (assignment,) = await shop.dispatch(milk=3)
    await shop.pick(assignment)

    async def tried() -> bool:
        row = await shop.db.row("SELECT last_error FROM inventory.webhook_outbox")
        return row is not None and row["last_error"] is not None  # the attempt is over, not only begun

    await until(tried)
    await shop.restart(gateway_webhook_url=url)
    await told(shop)


async def test_orders_that_end_together_are_told_once_each_and_one_that_fails_is_told_again_alone(shop: Shop) -> None:
    dispatched = await asyncio.gather(*(shop.dispatch(milk=1) for _ in range(20)))
    shop.gateway.answers = [503]
    await asyncio.gather(*(shop.pick(assignment) for _, (assignment,) in dispatched))

    async def done() -> bool:
        return await undone(shop) == 0

    await until(done)
    ids = [headers["webhook-id"] for headers, _ in shop.gateway.got]
    assert len(ids) == 21
    assert set(ids) == {"msg_" + order.replace("-", "") for order, _ in dispatched}
    again = await shop.db.rows("SELECT attempts FROM inventory.webhook_outbox WHERE attempts > 1")
    assert [row["attempts"] for row in again] == [2]


async def test_a_body_is_kept_as_it_was_first_made(shop: Shop) -> None:
    order, (assignment,) = await shop.dispatch(milk=3)
    await shop.pick(assignment)
    await told(shop)
    row = await shop.db.row("SELECT webhook_id, body FROM inventory.webhook_outbox")
    assert row is not None
    assert await webhooks.freeze(shop.db, UUID(order), row["webhook_id"], "another") == row["body"]


def environment(dsn: str) -> dict[str, str]:
    return {
        "DATABASE_URL": dsn,
        "WEBHOOK_SECRET": WEBHOOK_SECRET,
        "ROBOT_JWT_SECRET": ROBOT_SECRET,
        "INVENTORY_GRPC_ADDR": "127.0.0.1:0",
        "ROBOTS_ZMQ_ADDR": "tcp://127.0.0.1:*",
    }


async def test_the_role_starts_and_stops(inventory_dsn: str) -> None:
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
async def test_a_bad_setting_stops_the_start_and_is_named(changed: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        await main(environment("postgresql://127.0.0.1:9/none") | changed, asyncio.Event())


async def test_a_database_without_tables_stops_the_start(pricing_dsn: str) -> None:
    with pytest.raises(StartError, match="autogrocery migrate"):
        await main(environment(pricing_dsn), asyncio.Event())


async def test_no_database_stops_the_start() -> None:
    with pytest.raises(StartError, match="DATABASE_URL"):
        await main(environment("postgresql://nobody@127.0.0.1:9/none"), asyncio.Event())
