"""Inventory, as the gateway sees it: core types in, answers out, `InDoubt` for everything that is no clear answer."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.contracts.inventory.v1 import inventory_pb2 as wire
from autogrocery.contracts.inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from autogrocery.gateway.core.order import Cause, Robot, Status
from autogrocery.kit.refusals import InDoubt
from autogrocery.kit.rpc import Peer
from autogrocery.kit.rpc_method import method_of
from autogrocery.kit.rpc_stream import Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    import grpc.aio

    from autogrocery.gateway.core.order import Line
    from autogrocery.gateway.core.quote import Want

CONVERSE = f"/{wire.DESCRIPTOR.services_by_name['InventoryService'].full_name}/Converse"
RESERVE_TIMEOUT_S = 1.0
CALL_TIMEOUT_S = 2.0


class Shortage(Struct, frozen=True):
    """Less is available than was asked for."""

    sku: str
    requested: int
    available: int


class Refusal(StrEnum):
    """Why nothing was held."""

    SHORTAGE = "shortage"
    RELEASED = "released"
    ITEMS_DIFFER = "items differ"
    UNKNOWN_SKU = "unknown sku"


class Hold(Struct, frozen=True):
    """Inventory's answer to a reserve: what is held, by SKU, or why not."""

    granted: Mapping[str, int]
    refusal: Refusal | None = None
    shortages: tuple[Shortage, ...] = ()


class State(StrEnum):
    """What inventory knows of an order."""

    UNKNOWN = "unknown"
    HELD = "held"
    LAPSED = "lapsed"
    ASSIGNED = "assigned"
    COMPLETED = "completed"
    FAILED = "failed"
    RELEASED = "released"


class Standing(Struct, frozen=True):
    """Inventory's answer to "what of this order?"; `picked` counts by SKU once it is finished."""

    state: State
    picked: Mapping[str, int]

    @property
    def assigned(self) -> bool:
        """Robots have it, or have had it."""
        return self.state in {State.ASSIGNED, State.COMPLETED, State.FAILED}


REFUSALS = {
    wire.SHORTAGE: Refusal.SHORTAGE,
    wire.RELEASED: Refusal.RELEASED,
    wire.ITEMS_DIFFER: Refusal.ITEMS_DIFFER,
    wire.UNKNOWN_SKU: Refusal.UNKNOWN_SKU,
}
STATES = {
    wire.GetOrderResponse.UNKNOWN: State.UNKNOWN,
    wire.GetOrderResponse.HELD: State.HELD,
    wire.GetOrderResponse.LAPSED: State.LAPSED,
    wire.GetOrderResponse.ASSIGNED: State.ASSIGNED,
    wire.GetOrderResponse.COMPLETED: State.COMPLETED,
    wire.GetOrderResponse.FAILED: State.FAILED,
    wire.GetOrderResponse.RELEASED: State.RELEASED,
}
REASONS = {Status.CANCELLED: wire.CANCEL, Status.EXPIRED: wire.EXPIRE, Status.FAILED: wire.NO_ROBOTS}


class Inventory:
    """The calls of PROTOCOL §1, each with its deadline; every method raises InDoubt if there is no clear answer.

    They share one stream if inventory knows that form, unless `streams` is False; else each is a call of its own.
    """

    def __init__(self, channel: grpc.aio.Channel, *, streams: bool = True) -> None:
        self.peer = Peer("inventory")
        stub = InventoryServiceStub(channel)  # type: ignore[no-untyped-call]
        stream = Stream(channel, CONVERSE, wire.Calls, wire.Answers.FromString) if streams else None
        self._reserve_items = method_of(stream, "reserve_items", stub.ReserveItems)
        self._assign_robots = method_of(stream, "assign_robots", stub.AssignRobots)
        self._release_items = method_of(stream, "release_items", stub.ReleaseItems)
        self._get_order = method_of(stream, "get_order", stub.GetOrder)
        self._check_availability = method_of(stream, "check_availability", stub.CheckAvailability)

    async def reserve(self, order_id: UUID, wants: Sequence[Want], *, hold_s: int, allow_partial: bool) -> Hold:
        """Hold stock softly for `hold_s` seconds from now."""
        asked = str(order_id)
        request = wire.ReserveItemsRequest(
            order_id=asked, items=_items(wants), hold_seconds=hold_s, allow_partial=allow_partial
        )
        reply: wire.ReserveItemsResponse = await self.peer.call(
            self._reserve_items, request, timeout_s=RESERVE_TIMEOUT_S, point="inventory.reserve_items"
        )
        self._check(asked, reply.order_id)
        if reply.success:
            return Hold(self._granted(wants, reply, allow_partial=allow_partial))
        if reply.refusal not in REFUSALS:
            raise InDoubt(self.peer.name, "refused for no reason that the contract knows")
        shortages = tuple(Shortage(short.sku, short.requested, short.available) for short in reply.shortages)
        return Hold({}, REFUSALS[reply.refusal], shortages)

    async def assign_robots(self, order_id: UUID, lines: Sequence[Line]) -> tuple[Robot, ...] | None:
        """Send the robots for these lines, once however often it is asked; None if inventory refuses."""
        asked = str(order_id)
        request = wire.RobotRequest(order_id=asked, items=_items(lines))
        reply: wire.RobotResponse = await self.peer.call(
            self._assign_robots, request, timeout_s=CALL_TIMEOUT_S, point="inventory.assign_robots"
        )
        self._check(asked, reply.order_id)
        if not reply.success:
            return None
        return tuple(Robot(share.robot_id, share.robot_class, share.assignment_id) for share in reply.assignments)

    async def release(self, order_id: UUID, release_as: Status, cause: Cause | None) -> bool:
        """Let go of stock, or of robots that have not started if a cancel asks; False: they have it for ever."""
        reason = wire.SUPERSEDED if cause is Cause.SUPERSEDED else REASONS[release_as]
        asked = str(order_id)
        request = wire.ReleaseItemsRequest(order_id=asked, reason=reason)
        reply: wire.ReleaseItemsResponse = await self.peer.call(
            self._release_items, request, timeout_s=CALL_TIMEOUT_S, point="inventory.release_items"
        )
        self._check(asked, reply.order_id)
        match reply.result:
            case wire.ReleaseItemsResponse.RELEASED:
                return True
            case wire.ReleaseItemsResponse.ALREADY_ASSIGNED:
                return False
        raise InDoubt(self.peer.name, "a release without a result")

    async def get_order(self, order_id: UUID) -> Standing:
        """Ask what inventory knows of an order."""
        asked = str(order_id)
        reply: wire.GetOrderResponse = await self.peer.call(
            self._get_order,
            wire.GetOrderRequest(order_id=asked),
            timeout_s=CALL_TIMEOUT_S,
            point="inventory.get_order",
        )
        self._check(asked, reply.order_id)
        if reply.state not in STATES:
            raise InDoubt(self.peer.name, "a state that the contract does not know")
        return Standing(STATES[reply.state], {item.sku: item.picked for item in reply.items})

    async def check_availability(self, skus: Sequence[str]) -> dict[str, int]:
        """Return what is available now, by SKU; an SKU that inventory does not know is missing."""
        reply: wire.CheckAvailabilityResponse = await self.peer.call(
            self._check_availability,
            wire.CheckAvailabilityRequest(skus=skus),
            timeout_s=RESERVE_TIMEOUT_S,
            point="inventory.check_availability",
        )
        return {level.sku: level.available for level in reply.items}

    def _granted(
        self, wants: Sequence[Want], reply: wire.ReserveItemsResponse, *, allow_partial: bool
    ) -> dict[str, int]:
        """Return what is held, if it answers the question: all of it, or some of it where that was asked for."""
        asked = {want.sku: want.quantity for want in wants}
        granted = {item.sku: item.quantity for item in reply.items if item.quantity}
        fits = granted and granted.keys() <= asked.keys() and all(0 < n <= asked[sku] for sku, n in granted.items())
        if not fits or (granted != asked and not allow_partial):
            raise InDoubt(self.peer.name, "a hold that does not answer the question")
        return granted

    def _check(self, asked: str, answered: str) -> None:
        if answered != asked:
            raise InDoubt(self.peer.name, "answered for another order")


def _items(lines: Iterable[Line | Want]) -> list[wire.Item]:
    return [wire.Item(sku=line.sku, quantity=line.quantity) for line in lines]
