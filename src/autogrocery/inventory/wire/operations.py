"""Conversions of the operators' service. Readers raise Invalid for a malformed message."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Final

from google.protobuf.timestamp_pb2 import Timestamp

from autogrocery.contracts.inventory.ops.v1 import operations_pb2 as pb
from autogrocery.inventory.store.operations.products import ProductFilter
from autogrocery.inventory.wire.messages import read_uuid
from autogrocery.kit.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from autogrocery.inventory.store.lots import Lot
    from autogrocery.inventory.store.operations.deliveries import DeliveryView
    from autogrocery.inventory.store.operations.fleet import RobotTask, RobotView
    from autogrocery.inventory.store.operations.order_detail import AssignmentView, LotUnits, OrderDetail, WebhookView
    from autogrocery.inventory.store.operations.products import ProductStock
    from autogrocery.kit.pg.audit import InvariantResult

MAX_LIMIT: Final = 200
MAX_TEXT: Final = 200
STATE_PREFIX: Final = "RESTOCK_STATE_"
TASKS: Final = {"pick": pb.Task.ORDER_TYPE_PICK, "putaway": pb.Task.ORDER_TYPE_PUTAWAY}


def read_limit(limit: int) -> int:
    """Read the length of a page."""
    if not 1 <= limit <= MAX_LIMIT:
        raise Invalid("invalid_request", f"limit is not 1..{MAX_LIMIT}")
    return limit


def read_text(name: str, text: str) -> str:
    """Read a filter or a cursor; `name` is the field's name for the error."""
    if len(text) > MAX_TEXT or "\0" in text:
        raise Invalid("invalid_request", f"{name} is longer than {MAX_TEXT} characters or contains U+0000")
    return text


def read_product_filter(request: pb.ListStockRequest) -> ProductFilter:
    """Read which products are wanted."""
    return ProductFilter(
        read_text("query", request.query),
        read_text("aisle_type", request.aisle_type),
        request.at_most if request.HasField("at_most") else None,
        read_text("cursor", request.cursor),
    )


def read_restock_state(state: int) -> str:
    """Read the state of a filter: "" for any."""
    if state not in pb.RestockState.values():
        raise Invalid("invalid_request", "state is unknown")
    return "" if state == pb.RESTOCK_STATE_UNSPECIFIED else pb.RestockState.Name(state).removeprefix(STATE_PREFIX)


def read_restock_cursor(cursor: str) -> UUID | None:
    """Read the cursor of a list of deliveries: the id of the last one of the page before."""
    return read_uuid("cursor", cursor) if cursor else None


def stock_response(products: Sequence[ProductStock], limit: int) -> pb.ListStockResponse:
    """Return a page of products; a full one has a cursor."""
    cursor = products[-1].sku if len(products) == limit else ""
    return pb.ListStockResponse(products=[_product(one) for one in products], next_cursor=cursor)


def product_response(product: ProductStock, lots: Sequence[Lot]) -> pb.GetStockResponse:
    """Return a product with its lots."""
    return pb.GetStockResponse(product=_product(product), lots=[_lot(one) for one in lots])


def robots_response(robots: Sequence[RobotView], limit: int) -> pb.ListRobotsResponse:
    """Return a page of robots; a full one has a cursor."""
    cursor = robots[-1].robot_id if len(robots) == limit else ""
    return pb.ListRobotsResponse(robots=[_robot(one) for one in robots], next_cursor=cursor)


def restocks_response(deliveries: Sequence[DeliveryView], limit: int) -> pb.ListRestocksResponse:
    """Return a page of deliveries; a full one has a cursor."""
    cursor = str(deliveries[-1].order_id) if len(deliveries) == limit else ""
    return pb.ListRestocksResponse(restocks=[_restock(one) for one in deliveries], next_cursor=cursor)


def order_detail_response(order_id: str, order: OrderDetail | None) -> pb.GetOrderDetailResponse:
    """Return an order whole; without a state if it is unknown."""
    if order is None:
        return pb.GetOrderDetailResponse(order_id=order_id)
    return pb.GetOrderDetailResponse(
        order_id=order_id,
        state=order.state,
        created_at=_timestamp(order.created_at),
        expires_at=_timestamp(order.expires_at),
        finished_at=_timestamp(order.finished_at),
        assignments=[_assignment(one) for one in order.assignments],
        lots=[_order_lot(one) for one in order.lots],
        webhooks=[_webhook(one) for one in order.webhooks],
    )


def audit_response(checked_at: datetime, invariants: Sequence[InvariantResult]) -> pb.AuditResponse:
    """Return the results of an audit."""
    return pb.AuditResponse(
        checked_at=_timestamp(checked_at),
        invariants=[
            pb.Invariant(name=one.name, sentence=one.sentence, violations=one.violations, examples=one.examples)
            for one in invariants
        ],
    )


def _product(one: ProductStock) -> pb.Product:
    return pb.Product(
        sku=one.sku,
        name=one.name,
        aisle_type=one.aisle_type,
        on_hand=one.on_hand,
        held=one.held,
        allocated=one.allocated,
        incoming=one.incoming,
        lots=one.lots,
        next_expiry=_timestamp(one.next_expiry),
    )


def _lot(one: Lot) -> pb.Lot:
    return pb.Lot(
        lot=one.lot,
        expiry_at=_timestamp(one.expiry_at),
        received_at=_timestamp(one.received_at),
        received=one.received,
        on_shelf=one.on_shelf,
        expired=one.expired,
        recalled_at=_timestamp(one.recalled_at),
    )


def _robot(one: RobotView) -> pb.Robot:
    return pb.Robot(
        robot_id=one.robot_id,
        robot_class=one.robot_class,
        last_seen_at=_timestamp(one.last_seen_at),
        live=one.live,
        queue=one.queue,
        tasks=[_task(task) for task in one.tasks],
    )


def _task(one: RobotTask) -> pb.Task:
    return pb.Task(
        order_type=TASKS[one.kind],
        assignment_id=str(one.assignment_id),
        order_id=str(one.order_id),
        aisle=one.aisle,
        lease_until=_timestamp(one.lease_until),
    )


def _restock(one: DeliveryView) -> pb.Restock:
    return pb.Restock(
        order_id=str(one.order_id),
        supplier_id=one.supplier_id,
        state=pb.RestockState.Value(f"{STATE_PREFIX}{one.state}"),
        entered_at=_timestamp(one.entered_at),
        reported_at=_timestamp(one.reported_at),
        lines=one.lines,
        units=one.units,
        received=one.received,
        damaged=one.damaged,
        putaways=one.putaways,
        putaways_done=one.putaways_done,
    )


def _assignment(one: AssignmentView) -> pb.OrderAssignment:
    return pb.OrderAssignment(
        assignment_id=str(one.assignment_id),
        robot_id=one.robot_id,
        robot_class=one.robot_class,
        aisle=one.aisle,
        state=one.state,
        created_at=_timestamp(one.created_at),
        lease_until=_timestamp(one.lease_until),
        closed_at=_timestamp(one.closed_at),
    )


def _order_lot(one: LotUnits) -> pb.OrderLot:
    return pb.OrderLot(sku=one.sku, lot=one.lot, quantity=one.quantity, expiry_at=_timestamp(one.expiry_at))


def _webhook(one: WebhookView) -> pb.OrderWebhook:
    return pb.OrderWebhook(
        webhook_id=one.webhook_id,
        created_at=_timestamp(one.created_at),
        attempts=one.attempts,
        next_attempt_at=_timestamp(one.next_attempt_at),
        done_at=_timestamp(one.done_at),
        dead_at=_timestamp(one.dead_at),
        last_error=one.last_error or "",
    )


def _timestamp(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(at.astimezone(UTC))
    return stamp
