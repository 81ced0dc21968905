"""InventoryService: each call converts its message, runs one action and converts the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.contracts.identities import ANALYTICS, GATEWAY, OPERATOR, ROBOTS
from autogrocery.contracts.inventory.picks.v1 import picks_pb2
from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.inventory.actions.assign_robots import RobotFilter, assign_robots
from autogrocery.inventory.actions.check_availability import check_availability
from autogrocery.inventory.actions.get_order import get_order
from autogrocery.inventory.actions.get_restock import get_restock
from autogrocery.inventory.actions.heartbeat import heartbeat
from autogrocery.inventory.actions.list_picks import MAX_ORDERS, list_picks
from autogrocery.inventory.actions.list_work import list_work
from autogrocery.inventory.actions.release_items import release_items
from autogrocery.inventory.actions.report_pick import report_pick
from autogrocery.inventory.actions.report_putaway import report_putaway
from autogrocery.inventory.actions.reserve_items import reserve_items
from autogrocery.inventory.actions.restock_items import restock_items
from autogrocery.inventory.actions.start_pick import start_pick
from autogrocery.inventory.store.poll_cache import PollCache
from autogrocery.inventory.wire import messages
from autogrocery.inventory.wire.pick_history import picks_response
from autogrocery.kit.errors import Denied
from autogrocery.kit.rpc.server import bearer, server_methods

if TYPE_CHECKING:
    from collections.abc import Callable

    from autogrocery.inventory.peers.robots import Announcer
    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.rpc.server_call import ServerCall, ServerMethod
    from autogrocery.kit.security.tokens import Verifier

SERVICE: Final = "autogrocery.inventory.v1.InventoryService"
SCOPE: Final = "robot:pick:"
# The certificate identities allowed on each call. Robots' calls also carry the robot's token.
CALLERS: Final = {
    "ReserveItems": (GATEWAY,),
    "AssignRobots": (GATEWAY,),
    "ReleaseItems": (GATEWAY,),
    "GetOrder": (GATEWAY, OPERATOR),
    "CheckAvailability": (GATEWAY, OPERATOR),
    "RestockItems": (GATEWAY, OPERATOR),
    "GetRestock": (GATEWAY, OPERATOR),
    "ListWork": (ROBOTS,),
    "StartPick": (ROBOTS,),
    "Heartbeat": (ROBOTS,),
    "ReportPick": (ROBOTS,),
    "ReportPutaway": (ROBOTS,),
}
HISTORY_CALLERS: Final = {"ListPicks": (ANALYTICS, OPERATOR)}  # of the other service


class RobotLimits(Struct, frozen=True):
    """Limits on robots.

    A robot is live for `seen_s` seconds after its last call, a lease lasts `lease_s` seconds, and a robot with
    `queue_max` open assignments gets no more.
    """

    seen_s: float
    lease_s: float
    queue_max: int


class Inventory:
    """The service's calls on one database.

    `on_finished` is called after the last report on an order, `on_restocked` after the last report on a restock order.
    """

    def __init__(
        self,
        db: Db,
        announcer: Announcer,
        verifier: Verifier,
        limits: RobotLimits,
        *,
        on_finished: Callable[[], None],
        on_restocked: Callable[[], None],
    ) -> None:
        self._db = db
        self._polls = PollCache()
        self._announcer = announcer
        self._verifier = verifier
        self._limits = limits
        self._robot_filter = RobotFilter(limits.seen_s, limits.queue_max)
        self._on_finished = on_finished
        self._on_restocked = on_restocked

    async def ReserveItems(self, request: pb.ReserveItemsRequest, _call: ServerCall) -> pb.ReserveItemsResponse:  # noqa: N802 - name in the .proto
        """Hold stock for an order."""
        order_id, lines = messages.read_uuid("order_id", request.order_id), messages.read_lines(request.items)
        hold_s = messages.read_hold_s(request.hold_seconds)
        result = await reserve_items(self._db, order_id, lines, hold_s, allow_partial=request.allow_partial)
        return messages.reserve_response(request.order_id, result)

    async def AssignRobots(self, request: pb.RobotRequest, _call: ServerCall) -> pb.RobotResponse:  # noqa: N802
        """Dispatch an order to robots."""
        order_id, lines = messages.read_uuid("order_id", request.order_id), messages.read_lines(request.items)
        result = await assign_robots(self._db, self._announcer, order_id, lines, self._robot_filter)
        return messages.robot_response(request.order_id, result)

    async def ReleaseItems(self, request: pb.ReleaseItemsRequest, _call: ServerCall) -> pb.ReleaseItemsResponse:  # noqa: N802
        """Release an order's stock, and its robots if the reason is CANCEL."""
        order_id = messages.read_uuid("order_id", request.order_id)
        released = await release_items(self._db, order_id, cancel=request.reason == pb.CANCEL)
        return messages.release_response(request.order_id, released=released)

    async def GetOrder(self, request: pb.GetOrderRequest, _call: ServerCall) -> pb.GetOrderResponse:  # noqa: N802
        """Return an order's state and picks."""
        order_id = messages.read_uuid("order_id", request.order_id)
        return messages.order_response(request.order_id, await get_order(self._db, order_id))

    async def CheckAvailability(  # noqa: N802
        self, request: pb.CheckAvailabilityRequest, _call: ServerCall
    ) -> pb.CheckAvailabilityResponse:
        """Return the free stock of each SKU."""
        return messages.availability_response(await check_availability(self._db, request.skus))

    async def RestockItems(self, request: pb.RestockRequest, _call: ServerCall) -> pb.RestockResponse:  # noqa: N802
        """Enter a restock order."""
        order_id, lines = messages.read_uuid("order_id", request.order_id), messages.read_restock_lines(request)
        refused = await restock_items(
            self._db, self._polls, self._announcer, order_id, request.supplier_id, lines, shelved=request.shelved
        )
        return messages.add_restock_response(request.order_id, refused)

    async def GetRestock(self, request: pb.GetRestockRequest, _call: ServerCall) -> pb.GetRestockResponse:  # noqa: N802
        """Return a restock order's state and totals."""
        order_id = messages.read_uuid("order_id", request.order_id)
        return messages.restock_response(request.order_id, await get_restock(self._db, order_id))

    async def ListWork(self, request: pb.ListWorkRequest, call: ServerCall) -> pb.ListWorkResponse:  # noqa: N802
        """Return the assignments that a robot may start."""
        self._classes_of(request.robot_id, call, wanted=request.robot_class)
        work = await list_work(
            self._db, self._polls, request.robot_id, request.robot_class, request.limit, seen_s=self._limits.seen_s
        )
        return messages.work_response(work)

    async def StartPick(self, request: pb.StartPickRequest, call: ServerCall) -> pb.StartPickResponse:  # noqa: N802
        """Grant a robot the lease of an assignment."""
        classes = self._classes_of(request.robot_id, call)
        assignment_id = messages.read_uuid("assignment_id", request.assignment_id)
        lease = await start_pick(self._db, assignment_id, request.robot_id, classes, lease_s=self._limits.lease_s)
        return messages.start_response(lease)

    async def Heartbeat(self, request: pb.HeartbeatRequest, call: ServerCall) -> pb.HeartbeatResponse:  # noqa: N802
        """Renew a robot's leases and return the fences of those it has lost."""
        self._classes_of(request.robot_id, call)
        lost = await heartbeat(self._db, request.robot_id, request.fences, lease_s=self._limits.lease_s)
        return pb.HeartbeatResponse(lost_fences=lost)

    async def ReportPick(self, request: pb.ReportPickRequest, call: ServerCall) -> pb.ReportPickResponse:  # noqa: N802
        """Record a robot's report on a pick."""
        classes = self._classes_of(request.robot_id, call)
        report = messages.read_pick_report(request)
        return messages.pick_response(await report_pick(self._db, report, classes, self._on_finished))

    async def ReportPutaway(self, request: pb.ReportPutawayRequest, call: ServerCall) -> pb.ReportPutawayResponse:  # noqa: N802
        """Record a robot's report on a putaway."""
        classes = self._classes_of(request.robot_id, call)
        report = messages.read_putaway_report(request)
        return messages.putaway_response(await report_putaway(self._db, report, classes, self._on_restocked))

    async def ListPicks(self, request: picks_pb2.ListPicksRequest, _call: ServerCall) -> picks_pb2.ListPicksResponse:  # noqa: N802
        """Return what robots did for orders that have ended."""
        order_ids = [messages.read_uuid("order_ids", one) for one in request.order_ids[: MAX_ORDERS + 1]]
        return picks_response(await list_picks(self._db, order_ids))

    def _classes_of(self, robot_id: str, call: ServerCall, *, wanted: str | None = None) -> list[str]:
        """Return the robot classes in the caller's token, sorted.

        Raises Unauthenticated for an invalid token, Denied for a token of another robot or not for class `wanted`.
        """
        claims = self._verifier.verify(bearer(call))
        classes = sorted(scope[len(SCOPE) :] for scope in claims.scopes if scope.startswith(SCOPE))
        if claims.principal != robot_id:
            raise Denied("insufficient_scope", "the token is another robot's")
        if not classes or (wanted is not None and wanted not in classes):
            raise Denied("insufficient_scope", "the token is not for robots of this class")
        return classes


def methods(inventory: Inventory) -> dict[str, ServerMethod]:
    """Return the methods of both services, as a server takes them."""
    return {
        **server_methods(pb.DESCRIPTOR.services_by_name["InventoryService"], inventory),
        **server_methods(picks_pb2.DESCRIPTOR.services_by_name["PickHistoryService"], inventory),
    }
