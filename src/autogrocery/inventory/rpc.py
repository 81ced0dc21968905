"""InventoryService: each call is a row of this class and one action; wire types end here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from autogrocery.contracts.identities import GATEWAY, OPERATOR, ROBOTS
from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.contracts.inventory.v1.inventory_pb2_grpc import (
    InventoryServiceServicer,
    add_InventoryServiceServicer_to_server,
)
from autogrocery.inventory.actions.assign_robots import Robots, assign_robots
from autogrocery.inventory.actions.check_availability import check_availability
from autogrocery.inventory.actions.get_order import get_order
from autogrocery.inventory.actions.get_restock import get_restock
from autogrocery.inventory.actions.heartbeat import heartbeat
from autogrocery.inventory.actions.list_work import list_work
from autogrocery.inventory.actions.release_items import release_items
from autogrocery.inventory.actions.report_pick import report_pick
from autogrocery.inventory.actions.report_putaway import report_putaway
from autogrocery.inventory.actions.reserve_items import reserve_items
from autogrocery.inventory.actions.restock_items import restock_items
from autogrocery.inventory.actions.start_pick import start_pick
from autogrocery.inventory.wire import messages as wire
from autogrocery.kit.errors import Denied
from autogrocery.kit.rpc.server import bearer

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc

    from autogrocery.inventory.peers.robots import Announcer
    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.rpc.stream_server import Conversations, Table
    from autogrocery.kit.security.tokens import Verifier

SERVICE: Final = "autogrocery.inventory.v1.InventoryService"
SCOPE: Final = "robot:pick:"
# Whose certificates may make which call; robots show a token of their own besides.
CALLERS: Final = {
    "Converse": (GATEWAY,),
    "ReserveItems": (GATEWAY,),
    "AssignRobots": (GATEWAY,),
    "ReleaseItems": (GATEWAY,),
    "GetOrder": (GATEWAY, OPERATOR),
    "CheckAvailability": (GATEWAY, OPERATOR),
    "RestockItems": (GATEWAY, OPERATOR),
    "GetRestock": (GATEWAY, OPERATOR),
    "ListWork": (ROBOTS,),
    "StartPick": (ROBOTS,),
    "ConverseRobots": (ROBOTS,),
    "Heartbeat": (ROBOTS,),
    "ReportPick": (ROBOTS,),
    "ReportPutaway": (ROBOTS,),
}


class Times(Struct, frozen=True):
    """How long a robot counts as there after it was seen, and how long a lease lasts; both in seconds."""

    seen_s: float
    lease_s: float
    queue_max: int


class Inventory(InventoryServiceServicer):
    """The service's calls over one store; `on_finished` is called when an order has got its last report, `on_restocked` when a delivery has."""

    def __init__(
        self,
        db: Db,
        announcer: Announcer,
        verifier: Verifier,
        times: Times,
        *,
        on_finished: Callable[[], None],
        on_restocked: Callable[[], None],
    ) -> None:
        self._db = db
        self._announcer = announcer
        self._verifier = verifier
        self._times = times
        self._robots = Robots(times.seen_s, times.queue_max)
        self._on_finished = on_finished
        self._on_restocked = on_restocked
        self._about_orders: Table = {
            "reserve_items": self.ReserveItems,
            "assign_robots": self.AssignRobots,
            "release_items": self.ReleaseItems,
            "get_order": self.GetOrder,
            "check_availability": self.CheckAvailability,
        }
        self._of_robots: Table = {
            "list_work": self.ListWork,
            "start_pick": self.StartPick,
            "heartbeat": self.Heartbeat,
            "report_pick": self.ReportPick,
            "report_putaway": self.ReportPutaway,
        }

    async def Converse(self, conversations: Conversations, context: Any) -> None:  # noqa: N802 - the contract's names
        """Answer the calls about orders on one stream."""
        await conversations.hold(context, self._about_orders, pb.Answers)

    async def ConverseRobots(self, conversations: Conversations, context: Any) -> None:  # noqa: N802
        """Answer robots' calls on one stream."""
        await conversations.hold(context, self._of_robots, pb.RobotAnswers)

    async def ReserveItems(self, request: pb.ReserveItemsRequest, _context: Any) -> pb.ReserveItemsResponse:  # noqa: N802
        """Hold stock."""
        order_id, lines = wire.uuid_of("order_id", request.order_id), wire.lines_of(request.items)
        hold_s = wire.hold_of(request.hold_seconds)
        answer = await reserve_items(self._db, order_id, lines, hold_s, allow_partial=request.allow_partial)
        return wire.reserved(request.order_id, answer)

    async def AssignRobots(self, request: pb.RobotRequest, _context: Any) -> pb.RobotResponse:  # noqa: N802
        """Dispatch."""
        order_id, lines = wire.uuid_of("order_id", request.order_id), wire.lines_of(request.items)
        answer = await assign_robots(self._db, self._announcer, order_id, lines, self._robots)
        return wire.dispatched(request.order_id, answer)

    async def ReleaseItems(self, request: pb.ReleaseItemsRequest, _context: Any) -> pb.ReleaseItemsResponse:  # noqa: N802
        """Give back."""
        order_id = wire.uuid_of("order_id", request.order_id)
        released = await release_items(self._db, order_id, cancel=request.reason == pb.CANCEL)
        result = pb.ReleaseItemsResponse.RELEASED if released else pb.ReleaseItemsResponse.ALREADY_ASSIGNED
        return pb.ReleaseItemsResponse(order_id=request.order_id, result=result)

    async def GetOrder(self, request: pb.GetOrderRequest, _context: Any) -> pb.GetOrderResponse:  # noqa: N802
        """Tell the truth."""
        return wire.order(request.order_id, await get_order(self._db, wire.uuid_of("order_id", request.order_id)))

    async def CheckAvailability(  # noqa: N802
        self, request: pb.CheckAvailabilityRequest, _context: Any
    ) -> pb.CheckAvailabilityResponse:
        """Say what is free."""
        levels = await check_availability(self._db, request.skus)
        return pb.CheckAvailabilityResponse(
            items=[pb.StockLevel(sku=level.sku, available=level.quantity) for level in levels]
        )

    async def RestockItems(self, request: pb.RestockRequest, _context: Any) -> pb.RestockResponse:  # noqa: N802
        """Take a delivery in."""
        order_id, lines = wire.uuid_of("order_id", request.order_id), wire.delivery_of(request)
        refused = await restock_items(
            self._db, self._announcer, order_id, request.supplier_id, lines, shelved=request.shelved
        )
        return pb.RestockResponse(order_id=request.order_id, success=refused is None, message=refused or "")

    async def GetRestock(self, request: pb.GetRestockRequest, _context: Any) -> pb.GetRestockResponse:  # noqa: N802
        """Say what was received."""
        order_id = wire.uuid_of("order_id", request.order_id)
        return wire.restock(request.order_id, await get_restock(self._db, order_id))

    async def ListWork(self, request: pb.ListWorkRequest, context: Any) -> pb.ListWorkResponse:  # noqa: N802
        """Tell a robot what to do."""
        self._classes_of(request.robot_id, context, wanted=request.robot_class)
        work = await list_work(
            self._db, request.robot_id, request.robot_class, request.limit, seen_s=self._times.seen_s
        )
        return pb.ListWorkResponse(assignments=wire.assignments(work))

    async def StartPick(self, request: pb.StartPickRequest, context: Any) -> pb.StartPickResponse:  # noqa: N802
        """Let a robot begin."""
        classes = self._classes_of(request.robot_id, context)
        assignment_id = wire.uuid_of("assignment_id", request.assignment_id)
        lease = await start_pick(self._db, assignment_id, request.robot_id, classes, lease_s=self._times.lease_s)
        return wire.lease(lease)

    async def Heartbeat(self, request: pb.HeartbeatRequest, context: Any) -> pb.HeartbeatResponse:  # noqa: N802
        """Keep leases alive."""
        self._classes_of(request.robot_id, context)
        lost = await heartbeat(self._db, request.robot_id, request.fences, lease_s=self._times.lease_s)
        return pb.HeartbeatResponse(lost_fences=lost)

    async def ReportPick(self, request: pb.ReportPickRequest, context: Any) -> pb.ReportPickResponse:  # noqa: N802
        """Take a robot's word."""
        classes = self._classes_of(request.robot_id, context)
        receipt = await report_pick(self._db, wire.report_of(request), classes, self._on_finished)
        return pb.ReportPickResponse(result=receipt.value)

    async def ReportPutaway(self, request: pb.ReportPutawayRequest, context: Any) -> pb.ReportPutawayResponse:  # noqa: N802
        """Take a robot's word on a delivery."""
        classes = self._classes_of(request.robot_id, context)
        receipt = await report_putaway(self._db, wire.putaway_of(request), classes, self._on_restocked)
        return pb.ReportPutawayResponse(result=receipt.value)

    def _classes_of(self, robot_id: str, context: Any, *, wanted: str | None = None) -> list[str]:
        """Return the classes the caller's token picks for; raises Unauthenticated, or Denied for another robot or class."""
        claims = self._verifier.verify(bearer(context))
        classes = sorted(scope[len(SCOPE) :] for scope in claims.scopes if scope.startswith(SCOPE))
        if claims.device_id != robot_id:
            raise Denied("insufficient_scope", "the token is another robot's")
        if not classes or (wanted is not None and wanted not in classes):
            raise Denied("insufficient_scope", "the token is not for robots of this class")
        return classes


def adder(inventory: Inventory) -> Callable[[grpc.aio.Server], None]:
    """Return what adds the service to a server."""
    return lambda server: add_InventoryServiceServicer_to_server(inventory, server)  # type: ignore[no-untyped-call]
