"""The inventory's robot calls, in the robots' own words."""

from __future__ import annotations

from datetime import UTC
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

from autogrocery.contracts.inventory.v1 import inventory_pb2 as wire
from autogrocery.contracts.inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from autogrocery.kit.errors import InDoubt
from autogrocery.kit.process.clock import now
from autogrocery.kit.process.log import log
from autogrocery.kit.rpc.client import Peer
from autogrocery.kit.rpc.stream_client import Stream
from autogrocery.kit.rpc.stream_method import method_of
from autogrocery.robots.core.plan import Assignment, Grant, Line, Outcome, Placed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    import grpc

Reply = TypeVar("Reply")
CONVERSE: Final = f"/{wire.DESCRIPTOR.services_by_name['InventoryService'].full_name}/ConverseRobots"
TIMEOUT_S: Final = 2.0
MAX_LEASE_S: Final = 300.0  # whatever the inventory says: who died is gone for so long
WIRE_STATUS: Final = {
    Outcome.PICKED: wire.ReportPickRequest.PICKED,
    Outcome.SHORT: wire.ReportPickRequest.SHORT,
    Outcome.FAILED: wire.ReportPickRequest.FAILED,
}


class Receipt(StrEnum):
    """What the inventory says to a report: all three end it."""

    ACCEPTED = "ACCEPTED"
    DUPLICATE = "DUPLICATE"
    STALE_FENCE = "STALE_FENCE"


class Inventory:
    """One channel to one inventory, shared by the fleet; one stream if inventory knows that form, else each call by itself.

    Every call raises InDoubt when there is no clear answer, and Unauthenticated when the token is not accepted.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        stub = InventoryServiceStub(channel)  # type: ignore[no-untyped-call]
        stream = Stream(channel, CONVERSE, wire.RobotCalls, wire.RobotAnswers.FromString)
        self._list_work = method_of(stream, "list_work", stub.ListWork)
        self._start_pick = method_of(stream, "start_pick", stub.StartPick)
        self._heartbeat = method_of(stream, "heartbeat", stub.Heartbeat)
        self._report_pick = method_of(stream, "report_pick", stub.ReportPick)
        self._report_putaway = method_of(stream, "report_putaway", stub.ReportPutaway)
        self._peer = Peer("inventory")
        self._found = True

    async def list_work(self, token: str, robot_id: str, robot_class: str, limit: int) -> list[Assignment]:
        """Return up to `limit` assignments that this robot could start."""
        request = wire.ListWorkRequest(robot_id=robot_id, robot_class=robot_class, limit=limit)
        reply = await self._call("list_work", self._list_work, request, token)
        return [
            Assignment(
                told.assignment_id,
                told.robot_class,
                told.aisle,
                tuple(Line(item.sku, item.quantity) for item in told.items),
                putaway=told.order_type == wire.Assignment.PUTAWAY,
            )
            for told in reply.assignments
        ]

    async def start_pick(self, token: str, robot_id: str, assignment_id: str) -> Grant | None:
        """Ask for leave to pick or put away; None if another has it or there is nothing left to do."""
        request = wire.StartPickRequest(assignment_id=assignment_id, robot_id=robot_id)
        reply = await self._call("start_pick", self._start_pick, request, token)
        if not reply.granted:
            return None
        lease_s = (reply.lease_until.ToDatetime(tzinfo=UTC) - now()).total_seconds()
        placed = tuple(Placed(item.sku, item.received, item.damaged) for item in reply.items)
        return Grant(reply.fence, min(max(lease_s, 0.0), MAX_LEASE_S), placed)

    async def heartbeat(self, token: str, robot_id: str, fences: Sequence[int]) -> list[int]:
        """Say that the robot lives and still holds `fences`; returns those that it has lost."""
        request = wire.HeartbeatRequest(robot_id=robot_id, fences=fences)
        return list((await self._call("heartbeat", self._heartbeat, request, token)).lost_fences)

    async def report_pick(
        self,
        token: str,
        robot_id: str,
        assignment_id: str,
        fence: int,
        sequence: int,
        picked: Sequence[Line],
        outcome: Outcome,
    ) -> Receipt:
        """Report what was picked; safe to repeat with the same sequence."""
        request = wire.ReportPickRequest(
            assignment_id=assignment_id,
            robot_id=robot_id,
            sequence=sequence,
            items=[wire.PickedItem(sku=line.sku, picked=line.quantity) for line in picked],
            status=WIRE_STATUS[outcome],
            fence=fence,
        )
        return _receipt((await self._call("report_pick", self._report_pick, request, token)).result)

    async def report_putaway(
        self,
        token: str,
        robot_id: str,
        assignment_id: str,
        fence: int,
        sequence: int,
        placed: Sequence[Placed],
        *,
        done: bool,
    ) -> Receipt:
        """Report totals of some lines of a putaway, and whether it is done; safe to repeat."""
        request = wire.ReportPutawayRequest(
            assignment_id=assignment_id,
            robot_id=robot_id,
            sequence=sequence,
            items=[wire.RestockedItem(sku=one.sku, received=one.received, damaged=one.damaged) for one in placed],
            done=done,
            fence=fence,
        )
        return _receipt((await self._call("report_putaway", self._report_putaway, request, token)).result)

    async def _call(self, name: str, method: Callable[..., Awaitable[Reply]], request: Any, token: str) -> Reply:
        try:
            reply = await self._peer.call(method, request, timeout_s=TIMEOUT_S, point=f"inventory.{name}", token=token)
        except InDoubt as doubt:
            if self._found:
                log.warning("inventory_lost", call=name, reason=doubt.detail)
            self._found = False
            raise
        if not self._found:
            log.info("inventory_found")
        self._found = True
        return reply


def _receipt(result: int) -> Receipt:
    name = wire.ReportPickResponse.Result.Name(result)
    if name not in Receipt.__members__:
        raise InDoubt("inventory", "it answered a report without a result")
    return Receipt(name)
