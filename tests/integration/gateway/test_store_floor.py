"""Shelves, robots, deliveries and trucks as operators see them: with a real inventory, and one that tells nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from autogrocery.contracts.inventory.ops.v1 import operations_pb2 as wire
from autogrocery.contracts.ops.robots import RobotsQuery
from autogrocery.contracts.ops.stock import StockQuery
from autogrocery.gateway.peers.inventory_operations import InventoryOperations
from autogrocery.kit.errors import InDoubt
from autogrocery.kit.rpc.channel import open_channel
from autogrocery.kit.rpc.server import serve, server_methods
from tests.harness.running_gateway import HASH, serve_gateway
from tests.harness.running_inventory import ROBOT_SECRET, run_inventory

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.running_gateway import Reply, RunningGateway

PATHS = ("stock", "stock/milk", "robots", "deliveries")
INVENTORY_SERVICE = wire.DESCRIPTOR.services_by_name["InventoryOperationsService"]


async def ask(gateway: RunningGateway, path: str) -> Reply:
    token = gateway.token(1, "operator-1", audience="ops", scopes=("ops:read",))
    return await gateway.request("GET", f"/internal/ops/{path}", token=token, inside=True)


@pytest.fixture
def inventory_dsn(dsn_of: Callable[[str], str]) -> str:
    return dsn_of("inventory")


async def test_operators_see_what_inventory_tells(gateway_dsn: str, inventory_dsn: str) -> None:
    async with run_inventory(inventory_dsn) as inventory:
        await inventory.fleet()
        await inventory.stock(milk=50, apple=50)
        order_id, (share,) = await inventory.dispatch(milk=2)
        await inventory.start(share.robot_id, share.assignment_id)
        restock_id, _ = await inventory.deliver(milk=7)
        settings = {"INVENTORY_GRPC_TARGET": inventory.target, "ROBOT_JWT_SECRET": ROBOT_SECRET}
        async with serve_gateway(gateway_dsn, **settings) as gateway:
            await gateway.db.run(
                "INSERT INTO smart_devices (device_id, password, kind, supplier_id)"
                " VALUES ('t-1', $1, 'truck', 'farm')",
                HASH,
            )
            milk = (await ask(gateway, "stock?q=milk")).json["data"][0]
            assert (milk["on_hand"], milk["allocated"], milk["incoming"], milk["unit_price_cents"]) == (48, 2, 7, 129)
            lots = (await ask(gateway, "stock/milk")).json["lots"]
            assert sum(lot["on_shelf"] for lot in lots) == 50
            assert (await ask(gateway, "stock/no-such")).code == "unknown_sku"
            robots = {one["robot_id"]: one for one in (await ask(gateway, "robots")).json["data"]}
            assert [task["order_id"] for task in robots["dairy-1"]["tasks"]] == [order_id]
            deliveries = (await ask(gateway, "deliveries?state=RECEIVING")).json["data"]
            assert [one["order_id"] for one in deliveries] == [restock_id]
            assert [one["truck_id"] for one in (await ask(gateway, "trucks")).json["data"]] == ["t-1"]


async def test_inventory_without_the_service_is_501_and_an_away_one_503(gateway_dsn: str) -> None:
    async with serve_gateway(gateway_dsn) as gateway:
        for path in PATHS * 10:  # a breaker would have opened
            reply = await ask(gateway, path)
            assert (reply.status, reply.code) == (501, "not_told"), path
        assert (await ask(gateway, "stock?limit=201")).status == 422
    async with serve_gateway(gateway_dsn, INVENTORY_GRPC_TARGET="127.0.0.1:1") as gateway:
        assert (await ask(gateway, "stock")).status == 503
        assert (await ask(gateway, "trucks")).status == 200


PRODUCT = {"sku": "milk", "name": "Milk", "aisle_type": "dairy"}


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (wire.ListStockResponse(products=[wire.Product(**PRODUCT | {"aisle_type": "attic"})]), "aisle_type is unknown"),
        (wire.ListStockResponse(products=[wire.Product(**PRODUCT, on_hand=-1)]), "on_hand is out of range"),
        (wire.ListStockResponse(products=[wire.Product(**PRODUCT | {"name": "M\u0007"})]), "name is malformed"),
        (wire.ListStockResponse(products=[wire.Product(**PRODUCT)] * 2), "products is duplicate"),
        (wire.ListStockResponse(products=[wire.Product(sku=f"m{n}") for n in range(3)]), "products is too many"),
        (wire.ListStockResponse(next_cursor="here"), "next_cursor is the page's own"),
        (wire.ListRobotsResponse(robots=[wire.Robot(robot_id="r", robot_class="dairy")]), "last_seen_at is missing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_reply_that_cannot_be_shown_is_no_clear_answer(reply: Any, fault: str) -> None:
    class Servicer:
        async def ListStock(self, _request: Any, _call: Any) -> Any:
            return reply

        ListRobots = ListStock

    async with (
        serve("FAKE_ADDR", "127.0.0.1", 0, server_methods(INVENTORY_SERVICE, Servicer())) as port,
        open_channel(f"127.0.0.1:{port}") as channel,
    ):
        inventory = InventoryOperations(channel, b"k" * 32)
        asked = (
            inventory.list_stock(StockQuery(cursor="here", limit=2))
            if isinstance(reply, wire.ListStockResponse)
            else inventory.list_robots(RobotsQuery(limit=2))
        )
        with pytest.raises(InDoubt, match=fault):
            await asked
