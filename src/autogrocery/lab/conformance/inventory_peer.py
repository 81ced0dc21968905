"""The inventory under test, as its lines use it: products of their own, orders, and the robot that the kit plays."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.kit.process.clock import now
from autogrocery.lab.conformance.line import Failed, NotChecked, expect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from autogrocery.lab.conformance.calls import Calls
    from autogrocery.lab.conformance.listener import WebhookListener
    from autogrocery.lab.conformance.options import Options
    from autogrocery.lab.conformance.restart import Restart

SUPPLIER: Final = "conformance"
SHELF_LIFE: Final = timedelta(days=365)
HOLD_S: Final = 120
POLL_S: Final = 0.2
WORK: Final = 100  # assignments asked for at once
WORK_ROUNDS: Final = 20
RELEASED: Final = pb.ReleaseItemsResponse.RELEASED
ALREADY_ASSIGNED: Final = pb.ReleaseItemsResponse.ALREADY_ASSIGNED
Basket = dict[str, int]


class InventoryPeer:
    """The calls in short form. Every line stocks products of its own, so that lines do not depend on each other."""

    def __init__(
        self, calls: Calls, options: Options, restart: Restart | None, listener: WebhookListener | None
    ) -> None:
        self.calls = calls
        self.options = options
        self.restart = restart
        self.listener = listener
        self._run = uuid4().hex[:10]
        self._numbers = count(1)

    async def answers(self) -> None:
        """Make one harmless call."""
        await self.calls.ask("CheckAvailability", pb.CheckAvailabilityRequest(skus=[f"kit-{self._run}-0"]))

    def new_sku(self) -> str:
        """Return a SKU that no other line uses."""
        return f"kit-{self._run}-{next(self._numbers)}"

    def delivery(self, quantities: Mapping[str, int], *, shelved: bool = True, order_id: str = "") -> pb.RestockRequest:
        """Return a delivery of products in the aisle of the kit's robot."""
        request = pb.RestockRequest(order_id=order_id or new_id(), supplier_id=SUPPLIER, shelved=shelved)
        made = now().replace(microsecond=0)
        aisle = self.options.robot.robot_class if self.options.robot else "dairy"
        for sku, quantity in quantities.items():
            line = request.items.add(sku=sku, name=f"Kit {sku}", aisle_type=aisle, quantity=quantity)
            line.unit_cost_cents = 100
            line.mfd_date.FromDatetime(made)
            line.expiry_date.FromDatetime(made + SHELF_LIFE)
        return request

    async def fresh(self, units: int) -> str:
        """Put `units` of a new product on sale and return its SKU."""
        sku = self.new_sku()
        reply = await self.calls.ask("RestockItems", self.delivery({sku: units}))
        if not reply.success:
            raise NotChecked(f"RestockItems refused the kit's stock: {reply.message}")
        return sku

    async def reserve(self, order_id: str, basket: Basket, *, hold_s: int = HOLD_S, partial: bool = False) -> Any:
        """Hold a basket; return the reply."""
        request = pb.ReserveItemsRequest(
            order_id=order_id, items=items_of(basket), hold_seconds=hold_s, allow_partial=partial
        )
        return await self.calls.ask("ReserveItems", request)

    async def hold(self, order_id: str, basket: Basket, *, hold_s: int = HOLD_S) -> Any:
        """Hold a basket that is in stock."""
        reply = await self.reserve(order_id, basket, hold_s=hold_s)
        expect(reply.success, "ReserveItems was refused although the stock suffices")
        return reply

    async def assign(self, order_id: str, basket: Basket) -> Any:
        """Dispatch a basket; return the reply."""
        await self.show_robot()
        return await self.calls.ask("AssignRobots", pb.RobotRequest(order_id=order_id, items=items_of(basket)))

    async def dispatch(self, order_id: str, basket: Basket) -> Any:
        """Dispatch a basket that is in stock; raises NotChecked if the peer has no robots now."""
        reply = await self.assign(order_id, basket)
        if not reply.success:
            refused = f"AssignRobots was refused ({reply.message or 'no message'}) although the stock suffices"
            if self.options.robot is None:
                raise NotChecked(f"{refused}: no robots? no ROBOT_TOKEN")
            raise Failed(refused)
        return reply

    async def release(self, order_id: str, reason: int = pb.CANCEL) -> int:
        """Release an order; return the result."""
        request = pb.ReleaseItemsRequest(order_id=order_id, reason=reason)  # type: ignore[arg-type]
        return int((await self.calls.ask("ReleaseItems", request)).result)

    async def order(self, order_id: str) -> Any:
        """Return GetOrder's reply."""
        return await self.calls.ask("GetOrder", pb.GetOrderRequest(order_id=order_id))

    async def state(self, order_id: str) -> str:
        """Return the name of an order's state."""
        return state_name((await self.order(order_id)).state)

    async def free(self, sku: str) -> int:
        """Return how many units of a product can be bought."""
        reply = await self.calls.ask("CheckAvailability", pb.CheckAvailabilityRequest(skus=[sku]))
        found = {level.sku: level.available for level in reply.items}
        expect(sku in found, f"CheckAvailability does not know {sku}, which was delivered")
        return int(found[sku])

    async def expect_free(self, sku: str, units: int, when: str) -> None:
        """Fail unless so many units can be bought."""
        free = await self.free(sku)
        expect(free == units, f"{when}: {units} units of {sku} should be available, CheckAvailability says {free}")

    async def show_robot(self) -> None:
        """Ask for work as the kit's robot, so that the peer counts it as alive."""
        if self.options.robot is not None:
            await self.list_work()

    def require_robot(self) -> None:
        """Raise NotChecked without a robot token."""
        if self.options.robot is None:
            raise NotChecked("no ROBOT_TOKEN")

    async def start(self, assignment: Any) -> Any:
        """Start an assignment as the kit's robot; return the reply."""
        self.require_robot()
        robot = self.options.robot
        assert robot is not None
        if assignment.robot_id not in {"", robot.robot_id}:
            raise NotChecked(f"the order went to robot {assignment.robot_id}: stop the other robots of this class")
        request = pb.StartPickRequest(assignment_id=assignment.assignment_id, robot_id=robot.robot_id)
        return await self.calls.ask("StartPick", request, robot.token)

    async def report(self, assignment: Any, fence: int, status: int, picks: Mapping[str, int]) -> int:
        """Report a pick as the kit's robot; return the result."""
        robot = self.options.robot
        assert robot is not None
        request = pb.ReportPickRequest(
            assignment_id=assignment.assignment_id,
            robot_id=robot.robot_id,
            sequence=1,
            items=[pb.PickedItem(sku=sku, picked=picked) for sku, picked in picks.items()],
            status=status,  # type: ignore[arg-type]
            fence=fence,
        )
        return int((await self.calls.ask("ReportPick", request, robot.token)).result)

    async def pick(self, assignments: Any, status: int, picks: Mapping[str, int]) -> None:
        """Start all assignments of an order as the kit's robot and report `picks` of them, each where it belongs."""
        for assignment in assignments:
            lease = await self.start(assignment)
            expect(lease.granted, "StartPick of a new assignment was not granted")
            own = {item.sku for item in assignment.items} or set(picks)
            mine = {sku: units for sku, units in picks.items() if sku in own}
            result = await self.report(assignment, lease.fence, status, mine)
            expect(result == pb.ReportPickResponse.ACCEPTED, "the first ReportPick was not ACCEPTED")

    async def list_work(self) -> list[Any]:
        """Return the work that the kit's robot may do."""
        robot = self.options.robot
        assert robot is not None
        request = pb.ListWorkRequest(robot_id=robot.robot_id, robot_class=robot.robot_class, limit=WORK)
        return list((await self.calls.ask("ListWork", request, robot.token)).assignments)

    async def work_off(self, *, until_sku: str = "") -> Any:
        """Do what the kit's robot finds to do, and return the assignment of the product `until_sku` once it is listed.

        So runs of the kit leave no orders behind, of which a peer may allow a robot only so many.
        """
        for _ in range(WORK_ROUNDS):
            work = await self.list_work()
            for assignment in work:
                if until_sku and any(item.sku == until_sku for item in assignment.items):
                    return assignment
            for assignment in work:
                await self._do(assignment)
            if not work:
                break
        return None

    async def _do(self, assignment: Any) -> None:
        robot = self.options.robot
        assert robot is not None
        lease = await self.start(assignment)
        if lease.granted and assignment.order_type == pb.Assignment.PUTAWAY:
            report = pb.ReportPutawayRequest(
                assignment_id=assignment.assignment_id,
                robot_id=robot.robot_id,
                sequence=1,
                items=[pb.RestockedItem(sku=item.sku, received=item.quantity) for item in assignment.items],
                done=True,
                fence=lease.fence,
            )
            await self.calls.ask("ReportPutaway", report, robot.token)
        elif lease.granted:
            picks = {item.sku: item.quantity for item in assignment.items}
            await self.report(assignment, lease.fence, pb.ReportPickRequest.PICKED, picks)

    async def tidy(self) -> None:
        """End the orders that this run has left with the kit's robot; what fails here is no finding."""
        if self.options.robot is not None:
            with suppress(Failed, NotChecked):
                await self.work_off()

    async def finish(self, basket: Basket) -> str:
        """Let an order be picked in full, by the kit's robot or by the peer's own; return its id."""
        order_id = new_id()
        reply = await self.dispatch(order_id, basket)
        if self.options.robot is not None:
            await self.pick(reply.assignments, pb.ReportPickRequest.PICKED, basket)
        return order_id


def new_id() -> str:
    """Return a new order id."""
    return str(uuid4())


def items_of(basket: Mapping[str, int]) -> list[pb.Item]:
    """Return a basket as the contract's items, by SKU."""
    return [pb.Item(sku=sku, quantity=quantity) for sku, quantity in sorted(basket.items())]


def units_of(items: Any) -> Basket:
    """Return the contract's items as a basket."""
    return {item.sku: item.quantity for item in items if item.quantity}


def state_name(state: int) -> str:
    """Return the name of an order's state, or its number if the contract has none."""
    known = pb.GetOrderResponse.State
    return known.Name(state) if state in known.values() else str(state)


async def until(reached: Callable[[], Awaitable[bool]], within_s: float) -> bool:
    """Poll until `reached`; return whether it was, within `within_s` seconds."""
    give_up_at = time.monotonic() + within_s
    while not await reached():
        if time.monotonic() > give_up_at:
            return False
        await asyncio.sleep(POLL_S)
    return True
