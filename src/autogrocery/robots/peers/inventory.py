"""Inventory's robot calls, between the contract's messages and the core's Structs."""

from __future__ import annotations

from datetime import UTC
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from autogrocery.contracts.inventory.v1 import inventory_pb2 as wire
from autogrocery.kit.errors import InDoubt
from autogrocery.kit.process.clock import now
from autogrocery.kit.process.log import log
from autogrocery.kit.rpc.channel import stub_of
from autogrocery.kit.rpc.client import Peer
from autogrocery.robots.core.plan import Assignment, Lease, Line, Outcome, Placed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autogrocery.kit.rpc.client_call import Caller, Method

SERVICE: Final = wire.DESCRIPTOR.services_by_name["InventoryService"]
TIMEOUT_S: Final = 2.0
MAX_LEASE_S: Final = 300.0  # a longer lease is cut: a simulated death lasts as long as its lease
WIRE_STATUS: Final = {
    Outcome.PICKED: wire.ReportPickRequest.PICKED,
    Outcome.SHORT: wire.ReportPickRequest.SHORT,
    Outcome.FAILED: wire.ReportPickRequest.FAILED,
}


class Acknowledgement(StrEnum):
    """Inventory's result for a report; after each of the three the report is not repeated."""

    ACCEPTED = "ACCEPTED"
    DUPLICATE = "DUPLICATE"
    STALE_FENCE = "STALE_FENCE"


RESULTS: Final[dict[int, Acknowledgement]] = {
    wire.ReportPickResponse.ACCEPTED: Acknowledgement.ACCEPTED,
    wire.ReportPickResponse.DUPLICATE: Acknowledgement.DUPLICATE,
    wire.ReportPickResponse.STALE_FENCE: Acknowledgement.STALE_FENCE,
}


class Inventory:
    """A channel to inventory, shared by the fleet.

    Every call raises InDoubt if there is no clear response, and Unauthenticated if the token is not accepted.
    """

    def __init__(self, channel: Caller) -> None:
        self._methods = stub_of(channel, SERVICE)
        self._peer = Peer("inventory")
        self._reachable = True

    async def list_work(self, token: str, robot_id: str, robot_class: str, limit: int) -> list[Assignment]:
        """Return up to `limit` assignments that this robot could start."""
        request = wire.ListWorkRequest(robot_id=robot_id, robot_class=robot_class, limit=limit)
        reply = await self._call("list_work", self._methods.ListWork, request, token)
        if any(item.quantity < 0 for one in reply.assignments for item in one.items):
            raise self._peer.rejected("list_work.assignments.items.quantity", "out of range")
        return [
            Assignment(
                one.assignment_id,
                one.robot_class,
                one.aisle,
                tuple(Line(item.sku, item.quantity) for item in one.items),
                putaway=one.order_type == wire.Assignment.PUTAWAY,
            )
            for one in reply.assignments
        ]

    async def start_pick(self, token: str, robot_id: str, assignment_id: str) -> Lease | None:
        """Request the lease of an assignment; None if another robot has it or nothing is left to do."""
        request = wire.StartPickRequest(assignment_id=assignment_id, robot_id=robot_id)
        reply = await self._call("start_pick", self._methods.StartPick, request, token)
        if not reply.granted:
            return None
        try:
            duration_s = (reply.lease_until.ToDatetime(tzinfo=UTC) - now()).total_seconds()
        except (ValueError, OverflowError):
            raise self._peer.rejected("start_pick.lease_until", "out of range") from None
        if any(not 0 <= item.damaged <= item.received for item in reply.items):
            raise self._peer.rejected("start_pick.items", "out of range")
        placed = tuple(Placed(item.sku, item.received, item.damaged) for item in reply.items)
        return Lease(reply.fence, min(max(duration_s, 0.0), MAX_LEASE_S), placed)

    async def heartbeat(self, token: str, robot_id: str, fences: Sequence[int]) -> list[int]:
        """Report that the robot is alive and holds `fences`; return those that it has lost."""
        request = wire.HeartbeatRequest(robot_id=robot_id, fences=fences)
        return list((await self._call("heartbeat", self._methods.Heartbeat, request, token)).lost_fences)

    async def report_pick(
        self,
        token: str,
        robot_id: str,
        assignment_id: str,
        fence: int,
        sequence: int,
        picked: Sequence[Line],
        outcome: Outcome,
    ) -> Acknowledgement:
        """Report what was picked; safe to repeat with the same sequence."""
        request = wire.ReportPickRequest(
            assignment_id=assignment_id,
            robot_id=robot_id,
            sequence=sequence,
            items=[wire.PickedItem(sku=line.sku, picked=line.quantity) for line in picked],
            status=WIRE_STATUS[outcome],
            fence=fence,
        )
        reply = await self._call("report_pick", self._methods.ReportPick, request, token)
        return self._acknowledgement("report_pick", reply.result)

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
    ) -> Acknowledgement:
        """Report the totals so far of some lines of a putaway, and whether it is done; safe to repeat."""
        request = wire.ReportPutawayRequest(
            assignment_id=assignment_id,
            robot_id=robot_id,
            sequence=sequence,
            items=[wire.RestockedItem(sku=one.sku, received=one.received, damaged=one.damaged) for one in placed],
            done=done,
            fence=fence,
        )
        reply = await self._call("report_putaway", self._methods.ReportPutaway, request, token)
        return self._acknowledgement("report_putaway", reply.result)

    async def _call(self, name: str, method: Method, request: Any, token: str) -> Any:
        try:
            reply = await self._peer.call(method, request, timeout_s=TIMEOUT_S, point=f"inventory.{name}", token=token)
        except InDoubt as error:
            if self._reachable:
                log.warning("inventory_lost", call=name, reason=error.detail)
            self._reachable = False
            raise
        if not self._reachable:
            log.info("inventory_found")
        self._reachable = True
        return reply

    def _acknowledgement(self, call: str, result: int) -> Acknowledgement:
        if result not in RESULTS:
            raise self._peer.rejected(f"{call}.result", "unknown")
        return RESULTS[result]
