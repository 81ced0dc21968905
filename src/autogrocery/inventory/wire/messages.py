"""Conversions between protobuf messages and core types. Readers raise Invalid for a malformed message."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.inventory.core.picking import Outcome, Pick, Report, check_picks
from autogrocery.inventory.core.putaway import PutawayReport, ReceivedCount, check_counts
from autogrocery.inventory.core.restock import RestockLine, merge_restock_lines
from autogrocery.inventory.core.stock import MAX_HOLD_S, MAX_LINES, MIN_HOLD_S, Line, merge_lines
from autogrocery.kit.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from autogrocery.inventory.core.picking import Acknowledgement, Assignment, DispatchResult, Lease, OrderProgress
    from autogrocery.inventory.core.putaway import RestockProgress
    from autogrocery.inventory.core.stock import ReserveResult

MAX_RAW_ITEMS: Final = 10 * MAX_LINES  # before duplicates are merged
MAX_NAME: Final = 100
UUID_CHARACTERS: Final = 36
OUTCOMES: Final = {
    pb.ReportPickRequest.PICKED: Outcome.PICKED,
    pb.ReportPickRequest.SHORT: Outcome.SHORT,
    pb.ReportPickRequest.FAILED: Outcome.FAILED,
}


def read_uuid(name: str, text: str) -> UUID:
    """Read a UUID in its canonical form; `name` is the field's name for the error."""
    try:
        if len(text) == UUID_CHARACTERS:
            return UUID(text)
    except ValueError:
        pass
    raise Invalid("invalid_request", f"{name} is not a UUID")


def read_lines(items: Sequence[pb.Item]) -> tuple[Line, ...]:
    """Read order lines, merged and sorted by SKU."""
    if len(items) > MAX_RAW_ITEMS:
        raise Invalid("invalid_items", "too many items")
    return merge_lines(Line(item.sku, item.quantity) for item in items)


def read_hold_s(hold_s: int) -> int:
    """Read the length of a hold, in seconds."""
    if not MIN_HOLD_S <= hold_s <= MAX_HOLD_S:
        raise Invalid("invalid_request", f"hold_seconds is not {MIN_HOLD_S}..{MAX_HOLD_S}")
    return hold_s


def read_pick_report(request: pb.ReportPickRequest) -> Report:
    """Read a robot's report on a pick."""
    outcome = OUTCOMES.get(request.status)
    if outcome is None:
        raise Invalid("invalid_request", "status is none of PICKED, SHORT, FAILED")
    if len(request.items) > MAX_LINES:
        raise Invalid("invalid_items", "too many items")
    return Report(
        assignment_id=read_uuid("assignment_id", request.assignment_id),
        robot_id=request.robot_id,
        fence=request.fence,
        sequence=request.sequence,
        outcome=outcome,
        picks=check_picks(Pick(item.sku, item.picked) for item in request.items),
    )


def read_putaway_report(request: pb.ReportPutawayRequest) -> PutawayReport:
    """Read a robot's report on a putaway."""
    return PutawayReport(
        assignment_id=read_uuid("assignment_id", request.assignment_id),
        robot_id=request.robot_id,
        fence=request.fence,
        sequence=request.sequence,
        counts=check_counts(ReceivedCount(item.sku, item.received, item.damaged) for item in request.items),
        done=request.done,
    )


def read_restock_lines(request: pb.RestockRequest) -> tuple[RestockLine, ...]:
    """Read the lines of a restock order, each product once."""
    if len(request.supplier_id) > MAX_NAME or not request.supplier_id.isprintable():
        raise Invalid("invalid_request", "supplier_id is too long or not printable")
    return merge_restock_lines(
        RestockLine(
            item.sku,
            item.name,
            item.aisle_type,
            item.quantity,
            item.unit_cost_cents,
            _read_timestamp(item.mfd_date) if item.HasField("mfd_date") else None,
            _read_timestamp(item.expiry_date) if item.HasField("expiry_date") else None,
        )
        for item in request.items
    )


def _read_timestamp(at: Timestamp) -> datetime:
    try:
        return at.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Invalid("invalid_request", "a timestamp is out of range") from None


def _timestamp(at: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


def _items(lines: Iterable[Line]) -> list[pb.Item]:
    return [pb.Item(sku=line.sku, quantity=line.quantity) for line in lines]


def _assignments(assignments: Iterable[Assignment]) -> list[pb.Assignment]:
    return [
        pb.Assignment(
            assignment_id=str(one.assignment_id),
            robot_id=one.robot_id,
            robot_class=one.robot_class,
            aisle=one.aisle,
            items=_items(one.lines),
            order_type=one.order_type.value,
        )
        for one in assignments
    ]


def _restocked_items(counts: Iterable[ReceivedCount]) -> list[pb.RestockedItem]:
    return [pb.RestockedItem(sku=count.sku, received=count.received, damaged=count.damaged) for count in counts]


def reserve_response(order_id: str, result: ReserveResult) -> pb.ReserveItemsResponse:
    """Return the response to a reservation."""
    if result.refusal is None:
        expires_at = _timestamp(result.expires_at) if result.expires_at else None
        return pb.ReserveItemsResponse(
            order_id=order_id, success=True, items=_items(result.lines), expires_at=expires_at
        )
    shortages = [
        pb.Shortage(sku=line.sku, requested=line.requested, available=line.available or 0) for line in result.shortages
    ]
    return pb.ReserveItemsResponse(
        order_id=order_id,
        shortages=shortages,
        message=result.refusal.lower().replace("_", " "),
        refusal=result.refusal.value,
    )


def robot_response(order_id: str, result: DispatchResult) -> pb.RobotResponse:
    """Return the response to a dispatch."""
    return pb.RobotResponse(
        order_id=order_id,
        success=result.refused is None,
        message=result.refused or "",
        assignments=_assignments(result.assignments),
    )


def release_response(order_id: str, *, released: bool) -> pb.ReleaseItemsResponse:
    """Return the response to a release."""
    result = pb.ReleaseItemsResponse.RELEASED if released else pb.ReleaseItemsResponse.ALREADY_ASSIGNED
    return pb.ReleaseItemsResponse(order_id=order_id, result=result)


def order_response(order_id: str, order: OrderProgress | None) -> pb.GetOrderResponse:
    """Return the response with an order's state and picks; None is an unknown order."""
    if order is None:
        return pb.GetOrderResponse(order_id=order_id, state=pb.GetOrderResponse.UNKNOWN)
    return pb.GetOrderResponse(
        order_id=order_id,
        state=order.state.value,
        items=[pb.PickedItem(sku=pick.sku, picked=pick.picked) for pick in order.picks],
    )


def availability_response(levels: Iterable[Line]) -> pb.CheckAvailabilityResponse:
    """Return the response with the free stock of each SKU."""
    return pb.CheckAvailabilityResponse(
        items=[pb.StockLevel(sku=level.sku, available=level.quantity) for level in levels]
    )


def add_restock_response(order_id: str, refused: str | None) -> pb.RestockResponse:
    """Return the response to a new restock order; `refused` is the reason of a refusal."""
    return pb.RestockResponse(order_id=order_id, success=refused is None, message=refused or "")


def restock_response(order_id: str, restock: RestockProgress | None) -> pb.GetRestockResponse:
    """Return the response with a restock order's state and totals; None is an unknown restock order."""
    if restock is None:
        return pb.GetRestockResponse(order_id=order_id, state=pb.GetRestockResponse.UNKNOWN)
    return pb.GetRestockResponse(order_id=order_id, state=restock.state.value, items=_restocked_items(restock.counts))


def work_response(assignments: Iterable[Assignment]) -> pb.ListWorkResponse:
    """Return the response with the assignments that a robot may start."""
    return pb.ListWorkResponse(assignments=_assignments(assignments))


def start_response(lease: Lease | None) -> pb.StartPickResponse:
    """Return the response to a start: the lease, or that none was granted."""
    if lease is None:
        return pb.StartPickResponse(granted=False)
    return pb.StartPickResponse(
        granted=True, fence=lease.fence, lease_until=_timestamp(lease.until), items=_restocked_items(lease.counts)
    )


def pick_response(acknowledgement: Acknowledgement) -> pb.ReportPickResponse:
    """Return the response to a report on a pick."""
    return pb.ReportPickResponse(result=acknowledgement.value)


def putaway_response(acknowledgement: Acknowledgement) -> pb.ReportPutawayResponse:
    """Return the response to a report on a putaway."""
    return pb.ReportPutawayResponse(result=acknowledgement.value)
