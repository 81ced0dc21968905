"""New products for a scenario, and what inventory itself reports of them and of an order."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.contracts.inventory.v1 import inventory_pb2 as inv
from autogrocery.kit.ids import uuid7
from autogrocery.kit.rpc.channel import open_channel, stub_of
from autogrocery.kit.rpc.client import Peer
from autogrocery.lab.demand.demand import StockItem
from autogrocery.lab.replay.stocking import load_stock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from autogrocery.lab.demand.baskets import AisleType
    from autogrocery.lab.scenarios.environment import Environment

    ReadOrder = Callable[[str], Awaitable["InventoryOrder"]]

INVENTORY: Final = inv.DESCRIPTOR.services_by_name["InventoryService"]
TIMEOUT_S: Final = 5.0
PRICE_CENTS: Final = 199
COST_CENTS: Final = 120


class Assignment(Struct, frozen=True):
    """One robot's share of a dispatched order."""

    assignment_id: str
    robot_id: str


class InventoryOrder(Struct, frozen=True):
    """An order in inventory's register: its state, and the units picked by SKU."""

    state: str
    picked: Mapping[str, int]


class FreshProducts:
    """Products that only one scenario buys."""

    def __init__(self, environment: Environment, stocked: Mapping[str, int]) -> None:
        """`stocked` is how many units of each SKU were delivered."""
        self._environment = environment
        self.stocked = dict(stocked)

    @property
    def skus(self) -> list[str]:
        """The SKUs, in the order in which they were stocked."""
        return list(self.stocked)

    async def available(self) -> dict[str, int]:
        """Return the units that CheckAvailability reports, by SKU. Raises InDoubt."""
        async with open_channel(self._environment.inventory_address) as channel:
            inventory = stub_of(channel, INVENTORY)
            request = inv.CheckAvailabilityRequest(skus=self.skus)
            reply = await Peer("inventory").call(
                inventory.CheckAvailability, request, timeout_s=TIMEOUT_S, point="scenario.check_availability"
            )
        return {level.sku: level.available for level in reply.items}

    async def dispatch_of(self, order_id: str) -> set[Assignment]:
        """Return the assignments of a dispatched order, by repeating its idempotent AssignRobots. Raises InDoubt."""
        async with open_channel(self._environment.inventory_address) as channel:
            inventory = stub_of(channel, INVENTORY)
            items = [inv.Item(sku=sku, quantity=1) for sku in sorted(self.stocked)]
            reply = await Peer("inventory").call(
                inventory.AssignRobots,
                inv.RobotRequest(order_id=order_id, items=items),
                timeout_s=TIMEOUT_S,
                point="scenario.assign_robots",
            )
        return {Assignment(one.assignment_id, one.robot_id) for one in reply.assignments} if reply.success else set()

    @asynccontextmanager
    async def open_order_reader(self) -> AsyncIterator[ReadOrder]:
        """Yield a function that reads an order from inventory; it raises InDoubt."""
        async with open_channel(self._environment.inventory_address) as channel:
            inventory, peer = stub_of(channel, INVENTORY), Peer("inventory")

            async def read_order(order_id: str) -> InventoryOrder:
                request = inv.GetOrderRequest(order_id=order_id)
                reply = await peer.call(inventory.GetOrder, request, timeout_s=TIMEOUT_S, point="scenario.get_order")
                state = inv.GetOrderResponse.State.Name(reply.state)
                return InventoryOrder(state, {item.sku: item.picked for item in reply.items})

            yield read_order


async def stock_fresh_products(
    environment: Environment, scenario: str, units: int, aisles: tuple[AisleType, ...]
) -> FreshProducts:
    """Deliver `units` of one new product for each of `aisles`.

    Raises StartError if a peer refuses or gives no clear answer.
    """
    run = uuid7().hex[-12:]
    items = [
        StockItem(f"{scenario}-{run}-{number}", f"{scenario} {number}", aisle, PRICE_CENTS, COST_CENTS, units)
        for number, aisle in enumerate(aisles, 1)
    ]
    await load_stock(environment.inventory_address, environment.pricing_address, items)
    return FreshProducts(environment, {item.sku: units for item in items})
