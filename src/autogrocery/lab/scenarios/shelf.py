"""Fresh articles for a scenario, and what inventory itself says of them and of an order."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from autogrocery.contracts.inventory.v1 import inventory_pb2 as inv
from autogrocery.contracts.inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from autogrocery.kit.process.clock import uuid7
from autogrocery.kit.rpc.client import Peer, open_channel
from autogrocery.lab.demand.demand import StockItem
from autogrocery.lab.replay.stocking import load_stock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from autogrocery.lab.demand.market import AisleType
    from autogrocery.lab.scenarios.floor import Floor

TIMEOUT_S: Final = 5.0
PRICE_CENTS: Final = 199
COST_CENTS: Final = 120


class Shelf:
    """Articles that nobody else buys."""

    def __init__(self, floor: Floor, stocked: Mapping[str, int]) -> None:
        """Remember how many units of each SKU were `stocked`."""
        self._floor = floor
        self.stocked = dict(stocked)

    @property
    def skus(self) -> list[str]:
        """The articles, in the order in which they were named."""
        return list(self.stocked)

    async def available(self) -> dict[str, int]:
        """Return what CheckAvailability says. Raises InDoubt."""
        async with open_channel(self._floor.inventory_address) as channel:
            stub = InventoryServiceStub(channel)  # type: ignore[no-untyped-call]
            request = inv.CheckAvailabilityRequest(skus=self.skus)
            reply = await Peer("inventory").call(
                stub.CheckAvailability, request, timeout_s=TIMEOUT_S, point="scenario.check_availability"
            )
        return {level.sku: level.available for level in reply.items}

    async def dispatch_of(self, order_id: str) -> set[tuple[str, str]]:
        """Return (assignment, robot) of a dispatched order: the same AssignRobots again only repeats them. Raises InDoubt."""
        async with open_channel(self._floor.inventory_address) as channel:
            stub = InventoryServiceStub(channel)  # type: ignore[no-untyped-call]
            items = [inv.Item(sku=sku, quantity=1) for sku in sorted(self.stocked)]
            reply = await Peer("inventory").call(
                stub.AssignRobots,
                inv.RobotRequest(order_id=order_id, items=items),
                timeout_s=TIMEOUT_S,
                point="scenario.assign_robots",
            )
        return {(one.assignment_id, one.robot_id) for one in reply.assignments} if reply.success else set()

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[Callable[[str], Awaitable[tuple[str, dict[str, int]]]]]:
        """Yield what returns inventory's state of an order, and what was picked of it. It raises InDoubt."""
        async with open_channel(self._floor.inventory_address) as channel:
            stub, peer = InventoryServiceStub(channel), Peer("inventory")  # type: ignore[no-untyped-call]

            async def ask(order_id: str) -> tuple[str, dict[str, int]]:
                request = inv.GetOrderRequest(order_id=order_id)
                reply = await peer.call(stub.GetOrder, request, timeout_s=TIMEOUT_S, point="scenario.get_order")
                return inv.GetOrderResponse.State.Name(reply.state), {item.sku: item.picked for item in reply.items}

            yield ask


async def fill_shelf(floor: Floor, scenario: str, units: int, aisles: tuple[AisleType, ...]) -> Shelf:
    """Deliver `units` of one fresh article for each of `aisles`. Raises StartError if a peer refuses or gives no clear answer."""
    run = uuid7().hex[-12:]
    items = [
        StockItem(f"{scenario}-{run}-{number}", f"{scenario} {number}", aisle, PRICE_CENTS, COST_CENTS, units)
        for number, aisle in enumerate(aisles, 1)
    ]
    await load_stock(floor.inventory_address, floor.pricing_address, items)
    return Shelf(floor, {item.sku: units for item in items})
