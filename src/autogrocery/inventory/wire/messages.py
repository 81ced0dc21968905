"""Between the messages of the contract and the core's nouns. What can't be one is refused as Invalid."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from autogrocery.contracts.inventory.v1 import inventory_pb2 as wire
from autogrocery.inventory.core.delivery import Delivered, gathered
from autogrocery.inventory.core.picking import Outcome, Pick, Report, checked
from autogrocery.inventory.core.putaway import Count, PutawayReport
from autogrocery.inventory.core.putaway import checked as counted
from autogrocery.inventory.core.stock import MAX_HOLD_S, MAX_LINES, MIN_HOLD_S, Line, merged
from autogrocery.kit.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from autogrocery.inventory.core.picking import Assignment, Dispatched, Lease
    from autogrocery.inventory.core.stock import Reserved
    from autogrocery.inventory.store.orders import Told
    from autogrocery.inventory.store.restocks import Restock

MAX_RAW_ITEMS: Final = 10 * MAX_LINES  # before duplicates are merged
MAX_NAME: Final = 100
UUID_CHARACTERS: Final = 36
OUTCOMES: Final = {
    wire.ReportPickRequest.PICKED: Outcome.PICKED,
    wire.ReportPickRequest.SHORT: Outcome.SHORT,
    wire.ReportPickRequest.FAILED: Outcome.FAILED,
}


def uuid_of(name: str, text: str) -> UUID:
    """Read an id in its canonical form."""
    try:
        if len(text) == UUID_CHARACTERS:
            return UUID(text)
    except ValueError:
        pass
    raise Invalid("invalid_request", f"{name} is no UUID")


def lines_of(items: Sequence[wire.Item]) -> tuple[Line, ...]:
    """Read lines, merged and sorted."""
    if len(items) > MAX_RAW_ITEMS:
        raise Invalid("invalid_items", "too many items")
    return merged(Line(item.sku, item.quantity) for item in items)


def hold_of(hold_s: int) -> int:
    """Read the length of a hold in seconds."""
    if not MIN_HOLD_S <= hold_s <= MAX_HOLD_S:
        raise Invalid("invalid_request", f"hold_seconds is not {MIN_HOLD_S}..{MAX_HOLD_S}")
    return hold_s


def report_of(request: wire.ReportPickRequest) -> Report:
    """Read a robot's report."""
    outcome = OUTCOMES.get(request.status)
    if outcome is None:
        raise Invalid("invalid_request", "status is none of PICKED, SHORT, FAILED")
    if len(request.items) > MAX_LINES:
        raise Invalid("invalid_items", "too many items")
    return Report(
        assignment_id=uuid_of("assignment_id", request.assignment_id),
        robot_id=request.robot_id,
        fence=request.fence,
        sequence=request.sequence,
        outcome=outcome,
        picks=checked(Pick(item.sku, item.picked) for item in request.items),
    )


def putaway_of(request: wire.ReportPutawayRequest) -> PutawayReport:
    """Read a robot's report on a putaway."""
    return PutawayReport(
        assignment_id=uuid_of("assignment_id", request.assignment_id),
        robot_id=request.robot_id,
        fence=request.fence,
        sequence=request.sequence,
        counts=counted(Count(item.sku, item.received, item.damaged) for item in request.items),
        done=request.done,
    )


def delivery_of(request: wire.RestockRequest) -> tuple[Delivered, ...]:
    """Read a delivery, each product once."""
    if len(request.supplier_id) > MAX_NAME or not request.supplier_id.isprintable():
        raise Invalid("invalid_request", "supplier_id is too long or not printable")
    return gathered(
        Delivered(
            item.sku,
            item.name,
            item.aisle_type,
            item.quantity,
            item.unit_cost_cents,
            _instant(item.mfd_date) if item.HasField("mfd_date") else None,
            _instant(item.expiry_date) if item.HasField("expiry_date") else None,
        )
        for item in request.items
    )


def _instant(at: Timestamp) -> datetime:
    try:
        return at.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Invalid("invalid_request", "an instant is out of range") from None


def timestamp(at: datetime) -> Timestamp:
    """Write an instant."""
    told = Timestamp()
    told.FromDatetime(at)
    return told


def items(lines: Iterable[Line]) -> list[wire.Item]:
    """Write lines."""
    return [wire.Item(sku=line.sku, quantity=line.quantity) for line in lines]


def assignments(made: Iterable[Assignment]) -> list[wire.Assignment]:
    """Write assignments."""
    return [
        wire.Assignment(
            assignment_id=str(one.assignment_id),
            robot_id=one.robot_id,
            robot_class=one.robot_class,
            aisle=one.aisle,
            items=items(one.lines),
            order_type=one.order_type.value,
        )
        for one in made
    ]


def reserved(order_id: str, answer: Reserved) -> wire.ReserveItemsResponse:
    """Write the answer to a reservation."""
    if answer.refusal is None:
        expires_at = timestamp(answer.expires_at) if answer.expires_at else None
        return wire.ReserveItemsResponse(
            order_id=order_id, success=True, items=items(answer.lines), expires_at=expires_at
        )
    shortages = [
        wire.Shortage(sku=line.sku, requested=line.requested, available=line.available or 0) for line in answer.short
    ]
    return wire.ReserveItemsResponse(
        order_id=order_id,
        shortages=shortages,
        message=answer.refusal.lower().replace("_", " "),
        refusal=answer.refusal.value,
    )


def dispatched(order_id: str, answer: Dispatched) -> wire.RobotResponse:
    """Write the answer to a dispatch."""
    return wire.RobotResponse(
        order_id=order_id,
        success=answer.refused is None,
        message=answer.refused or "",
        assignments=assignments(answer.assignments),
    )


def order(order_id: str, told: Told | None) -> wire.GetOrderResponse:
    """Write where an order stands."""
    if told is None:
        return wire.GetOrderResponse(order_id=order_id, state=wire.GetOrderResponse.UNKNOWN)
    return wire.GetOrderResponse(
        order_id=order_id,
        state=told.state.value,
        items=[wire.PickedItem(sku=pick.sku, picked=pick.picked) for pick in told.picks],
    )


def lease(granted: Lease | None) -> wire.StartPickResponse:
    """Write whether a robot may begin, and on what."""
    if granted is None:
        return wire.StartPickResponse(granted=False)
    return wire.StartPickResponse(
        granted=True, fence=granted.fence, lease_until=timestamp(granted.until), items=restocked(granted.counts)
    )


def restock(order_id: str, told: Restock | None) -> wire.GetRestockResponse:
    """Write how far a delivery has come."""
    if told is None:
        return wire.GetRestockResponse(order_id=order_id, state=wire.GetRestockResponse.UNKNOWN)
    return wire.GetRestockResponse(order_id=order_id, state=told.state.value, items=restocked(told.counts))


def restocked(counts: Iterable[Count]) -> list[wire.RestockedItem]:
    """Write a delivery's totals."""
    return [wire.RestockedItem(sku=count.sku, received=count.received, damaged=count.damaged) for count in counts]
