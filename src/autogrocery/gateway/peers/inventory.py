"""Inventory's gRPC client: core types in, answers out, `InDoubt` for everything that is no clear answer."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import Struct

from autogrocery.contracts.inventory.v1 import inventory_pb2 as wire
from autogrocery.gateway.core.order import Cause, Robot, Status
from autogrocery.gateway.peers import reply_checks
from autogrocery.kit.rpc.channel import stub_of
from autogrocery.kit.rpc.client import Peer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date
    from uuid import UUID

    from autogrocery.gateway.core.order import Line
    from autogrocery.gateway.core.quote import RequestedItem
    from autogrocery.gateway.core.restock import Goods, Restock
    from autogrocery.kit.rpc.client_call import Caller

SERVICE = wire.DESCRIPTOR.services_by_name["InventoryService"]
RESERVE_TIMEOUT_S = 1.0
CALL_TIMEOUT_S = 2.0


class Shortage(Struct, frozen=True):
    """A SKU of which less is available than was requested."""

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


class OrderState(StrEnum):
    """The states of an order at inventory."""

    UNKNOWN = "unknown"
    HELD = "held"
    LAPSED = "lapsed"
    ASSIGNED = "assigned"
    COMPLETED = "completed"
    FAILED = "failed"
    RELEASED = "released"


class OrderReport(Struct, frozen=True):
    """Inventory's state of an order; `picked` counts by SKU once it is finished."""

    state: OrderState
    picked: Mapping[str, int]

    @property
    def assigned(self) -> bool:
        """Return whether robots have the order, or have had it."""
        return self.state in {OrderState.ASSIGNED, OrderState.COMPLETED, OrderState.FAILED}


class RestockState(StrEnum):
    """The states of a restock at inventory."""

    UNKNOWN = "unknown"
    RECEIVING = "receiving"
    RECEIVED = "received"
    REJECTED = "rejected"


class RestockReport(Struct, frozen=True):
    """Inventory's state of a restock; `counts` has the totals (received, damaged) by SKU."""

    state: RestockState
    counts: Mapping[str, tuple[int, int]]


MAX_REFUSAL_CHARS = 200  # of the reason for a refusal, as it is stored
REFUSALS = {
    wire.SHORTAGE: Refusal.SHORTAGE,
    wire.RELEASED: Refusal.RELEASED,
    wire.ITEMS_DIFFER: Refusal.ITEMS_DIFFER,
    wire.UNKNOWN_SKU: Refusal.UNKNOWN_SKU,
}
STATES = {
    wire.GetOrderResponse.UNKNOWN: OrderState.UNKNOWN,
    wire.GetOrderResponse.HELD: OrderState.HELD,
    wire.GetOrderResponse.LAPSED: OrderState.LAPSED,
    wire.GetOrderResponse.ASSIGNED: OrderState.ASSIGNED,
    wire.GetOrderResponse.COMPLETED: OrderState.COMPLETED,
    wire.GetOrderResponse.FAILED: OrderState.FAILED,
    wire.GetOrderResponse.RELEASED: OrderState.RELEASED,
}
RESTOCK_STATES = {
    wire.GetRestockResponse.UNKNOWN: RestockState.UNKNOWN,
    wire.GetRestockResponse.RECEIVING: RestockState.RECEIVING,
    wire.GetRestockResponse.RECEIVED: RestockState.RECEIVED,
    wire.GetRestockResponse.REJECTED: RestockState.REJECTED,
}
REASONS = {Status.CANCELLED: wire.CANCEL, Status.EXPIRED: wire.EXPIRE, Status.FAILED: wire.NO_ROBOTS}


class Inventory:
    """The calls of docs/PROTOCOL.md#deadlines; every method raises InDoubt if there is no clear answer."""

    def __init__(self, channel: Caller) -> None:
        self.peer = Peer("inventory")
        self._methods = stub_of(channel, SERVICE)

    async def reserve(
        self, order_id: UUID, items: Sequence[RequestedItem], *, hold_s: int, allow_partial: bool
    ) -> Hold:
        """Hold stock for `hold_s` seconds from now."""
        asked = str(order_id)
        request = wire.ReserveItemsRequest(
            order_id=asked, items=_items(items), hold_seconds=hold_s, allow_partial=allow_partial
        )
        reply: wire.ReserveItemsResponse = await self.peer.call(
            self._methods.ReserveItems, request, timeout_s=RESERVE_TIMEOUT_S, point="inventory.reserve_items"
        )
        reply_checks.check_order_id(self.peer, "reserve_items", asked, reply.order_id)
        wanted = {item.sku: item.quantity for item in items}
        if reply.success:
            if reply.refusal:
                raise self.peer.rejected("reserve_items.refusal", "of a success")
            reply_checks.check_instant(self.peer, "reserve_items.expires_at", reply.expires_at)
            return Hold(reply_checks.read_hold(self.peer, wanted, reply.items, allow_partial=allow_partial))
        if reply.refusal not in REFUSALS:
            raise self.peer.rejected("reserve_items.refusal", "unknown")
        if reply.items:
            raise self.peer.rejected("reserve_items.items", "of a refusal")
        reply_checks.check_shortages(self.peer, wanted, reply.shortages)
        shortages = tuple(Shortage(short.sku, short.requested, short.available) for short in reply.shortages)
        return Hold({}, REFUSALS[reply.refusal], shortages)

    async def assign_robots(self, order_id: UUID, lines: Sequence[Line]) -> tuple[Robot, ...] | None:
        """Assign robots to these lines; idempotent by the order's id. None if inventory refuses."""
        asked = str(order_id)
        request = wire.RobotRequest(order_id=asked, items=_items(lines))
        reply: wire.RobotResponse = await self.peer.call(
            self._methods.AssignRobots, request, timeout_s=CALL_TIMEOUT_S, point="inventory.assign_robots"
        )
        reply_checks.check_order_id(self.peer, "assign_robots", asked, reply.order_id)
        robots = tuple(Robot(share.robot_id, share.robot_class, share.assignment_id) for share in reply.assignments)
        if not reply.success:
            if robots:
                raise self.peer.rejected("assign_robots.assignments", "of a refusal")
            return None
        reply_checks.check_robots(self.peer, robots)
        reply_checks.check_shares(self.peer, {line.sku: line.quantity for line in lines}, reply.assignments)
        return robots

    async def release(self, order_id: UUID, release_as: Status, cause: Cause | None) -> bool:
        """Release held stock, or for a cancel robots that have not started; False if robots keep the order."""
        reason = wire.SUPERSEDED if cause is Cause.SUPERSEDED else REASONS[release_as]
        asked = str(order_id)
        request = wire.ReleaseItemsRequest(order_id=asked, reason=reason)
        reply: wire.ReleaseItemsResponse = await self.peer.call(
            self._methods.ReleaseItems, request, timeout_s=CALL_TIMEOUT_S, point="inventory.release_items"
        )
        reply_checks.check_order_id(self.peer, "release_items", asked, reply.order_id)
        match reply.result:
            case wire.ReleaseItemsResponse.RELEASED:
                return True
            case wire.ReleaseItemsResponse.ALREADY_ASSIGNED:
                return False
        raise self.peer.rejected("release_items.result", "unknown")

    async def get_order(self, order_id: UUID) -> OrderReport:
        """Return inventory's state of an order."""
        asked = str(order_id)
        reply: wire.GetOrderResponse = await self.peer.call(
            self._methods.GetOrder,
            wire.GetOrderRequest(order_id=asked),
            timeout_s=CALL_TIMEOUT_S,
            point="inventory.get_order",
        )
        reply_checks.check_order_id(self.peer, "get_order", asked, reply.order_id)
        if reply.state not in STATES:
            raise self.peer.rejected("get_order.state", "unknown")
        return OrderReport(STATES[reply.state], reply_checks.read_picked(self.peer, reply.items))

    async def check_availability(self, skus: Sequence[str]) -> dict[str, int]:
        """Return what is available now, by SKU; an SKU that inventory does not know is missing."""
        reply: wire.CheckAvailabilityResponse = await self.peer.call(
            self._methods.CheckAvailability,
            wire.CheckAvailabilityRequest(skus=skus),
            timeout_s=RESERVE_TIMEOUT_S,
            point="inventory.check_availability",
        )
        return reply_checks.read_levels(self.peer, skus, reply.items)

    async def restock_items(self, restock: Restock) -> str | None:
        """Submit a delivery; idempotent by the restock's id. Returns the reason for a refusal, None if accepted."""
        asked = str(restock.order_id)
        request = wire.RestockRequest(
            order_id=asked, supplier_id=restock.supplier_id, items=[_restock_item(line.goods) for line in restock.lines]
        )
        reply: wire.RestockResponse = await self.peer.call(
            self._methods.RestockItems, request, timeout_s=CALL_TIMEOUT_S, point="inventory.restock_items"
        )
        reply_checks.check_order_id(self.peer, "restock_items", asked, reply.order_id)
        return None if reply.success else _printable(reply.message) or "no reason given"

    async def get_restock(self, order_id: UUID) -> RestockReport:
        """Return inventory's state of a restock."""
        asked = str(order_id)
        reply: wire.GetRestockResponse = await self.peer.call(
            self._methods.GetRestock,
            wire.GetRestockRequest(order_id=asked),
            timeout_s=CALL_TIMEOUT_S,
            point="inventory.get_restock",
        )
        reply_checks.check_order_id(self.peer, "get_restock", asked, reply.order_id)
        if reply.state not in RESTOCK_STATES:
            raise self.peer.rejected("get_restock.state", "unknown")
        return RestockReport(RESTOCK_STATES[reply.state], reply_checks.read_received(self.peer, reply.items))


def _items(lines: Iterable[Line | RequestedItem]) -> list[wire.Item]:
    return [wire.Item(sku=line.sku, quantity=line.quantity) for line in lines]


def _restock_item(goods: Goods) -> wire.RestockItem:
    return wire.RestockItem(
        sku=goods.sku,
        name=goods.name,
        aisle_type=goods.aisle_type,
        quantity=goods.quantity,
        unit_cost_cents=goods.unit_cost_cents,
        mfd_date=_midnight(goods.mfd_date),
        expiry_date=_midnight(goods.expiry_date),
    )


def _midnight(day: date) -> Timestamp:
    """Return a date as the contract's instant: its first moment, in UTC."""
    at = Timestamp()
    at.FromDatetime(datetime(day.year, day.month, day.day, tzinfo=UTC))
    return at


def _printable(text: str) -> str:
    return "".join(character for character in text[:MAX_REFUSAL_CHARS] if character.isprintable()).strip()
