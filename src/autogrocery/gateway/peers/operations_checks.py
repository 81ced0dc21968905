"""What inventory may say to operators. Whatever of a reply can't be shown makes it no clear answer: InDoubt."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from msgspec import Struct

from autogrocery.contracts.inventory.ops.v1 import operations_pb2 as wire
from autogrocery.contracts.ops.deliveries import DeliveryPage, DeliveryRow
from autogrocery.contracts.ops.orders import Assignment, Lot, SentWebhook
from autogrocery.contracts.ops.robots import RobotPage, RobotRow, RobotTask
from autogrocery.contracts.ops.stock import ShelfLot, StockRow
from autogrocery.gateway.peers.reply_checks import (
    CLASSES,
    MAX_CURSOR_CHARS,
    MAX_ID_CHARS,
    MAX_NAME_CHARS,
    MAX_SKU_CHARS,
    check_instant,
    check_order_id,
    is_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from google.protobuf.timestamp_pb2 import Timestamp

    from autogrocery.kit.rpc.client import Peer

MAX_UNITS: Final = 10**12
MAX_ROWS: Final = 200  # of a list within a reply
MAX_TASKS: Final = 20
MAX_SENTENCE_CHARS: Final = 500
MAX_EXAMPLE_CHARS: Final = 4_000
MAX_EXAMPLES: Final = 5
RESTOCK_STATES: Final = {
    "RECEIVING": wire.RESTOCK_STATE_RECEIVING,
    "RECEIVED": wire.RESTOCK_STATE_RECEIVED,
    "REJECTED": wire.RESTOCK_STATE_REJECTED,
}
STATE_NAMES: Final = {number: name for name, number in RESTOCK_STATES.items()}
TASK_KINDS: Final = {wire.Task.ORDER_TYPE_PICK: "pick", wire.Task.ORDER_TYPE_PUTAWAY: "putaway"}
ORDER_STATES: Final = frozenset({"HELD", "LAPSED", "ASSIGNED", "COMPLETED", "FAILED", "RELEASED"})
ASSIGNMENT_STATES: Final = frozenset({"OPEN", "STARTED", "PICKED", "SHORT", "FAILED", "WITHDRAWN"})


class ProductPage(Struct, frozen=True):
    """A page of products, without prices."""

    products: list[StockRow]
    next_cursor: str | None


class ProductWithLots(Struct, frozen=True):
    """A product, without its price, and its lots."""

    product: StockRow
    lots: list[ShelfLot]


class OrderDetail(Struct, frozen=True):
    """An order as inventory has it."""

    state: str
    created_at: datetime
    expires_at: datetime | None
    finished_at: datetime | None
    assignments: list[Assignment]
    lots: list[Lot]
    webhooks: list[SentWebhook]


class AuditedInvariant(Struct, frozen=True):
    """One invariant with the number of rows that violate it, and some of them as JSON objects."""

    name: str
    sentence: str
    violations: int
    examples: tuple[str, ...]


class InventoryAudit(Struct, frozen=True):
    """Inventory's invariants and when they were checked."""

    checked_at: datetime
    invariants: list[AuditedInvariant]


class Reply:
    """One reply of a call: each method returns one part of it, checked, or raises InDoubt naming the field."""

    def __init__(self, peer: Peer, call: str) -> None:
        self._peer = peer
        self._call = call

    def check(self, field: str, reason: str, *, ok: bool) -> None:
        """Raise InDoubt unless `ok`."""
        if not ok:
            raise self._peer.rejected(f"{self._call}.{field}", reason)

    def text(self, field: str, value: str, max_chars: int) -> str:
        """Return a text that can be shown on one line."""
        self.check(field, "malformed", ok=is_text(value, max_chars))
        return value

    def text_or_none(self, field: str, value: str, max_chars: int) -> str | None:
        """Return a text that can be shown, or None for an empty one."""
        return self.text(field, value, max_chars) if value else None

    def count(self, field: str, value: int, most: int = MAX_UNITS) -> int:
        """Return a number from 0 to `most`."""
        self.check(field, "out of range", ok=0 <= value <= most)
        return value

    def uuid(self, field: str, value: str) -> UUID:
        """Return a UUID in its canonical form."""
        try:
            found = UUID(value)
        except ValueError:
            found = None
        if found is None or str(found) != value:
            raise self._peer.rejected(f"{self._call}.{field}", "malformed")
        return found

    def at(self, field: str, value: Timestamp, *, given: bool) -> datetime:
        """Return an instant that must be given."""
        self.check(field, "missing", ok=given)
        check_instant(self._peer, f"{self._call}.{field}", value)
        return datetime.fromtimestamp(value.seconds, UTC).replace(microsecond=value.nanos // 1_000)

    def at_or_none(self, field: str, value: Timestamp, *, given: bool) -> datetime | None:
        """Return an instant, or None if it is not given."""
        return self.at(field, value, given=True) if given else None

    def one_of(self, field: str, value: str, known: Iterable[str]) -> str:
        """Return a text that is one of `known`."""
        self.check(field, "unknown", ok=value in known)
        return value

    def rows(self, field: str, ids: Sequence[str], most: int) -> None:
        """Raise InDoubt for more than `most` rows, or for two with one id."""
        self.check(field, "too many", ok=len(ids) <= most)
        self.check(field, "duplicate", ok=len(set(ids)) == len(ids))

    def cursor(self, asked: str, answered: str) -> str | None:
        """Return the cursor of the next page; who follows a page's own would never end."""
        self.check("next_cursor", "the page's own", ok=not answered or answered != asked)
        return self.text_or_none("next_cursor", answered, MAX_CURSOR_CHARS)


def read_products(peer: Peer, reply: wire.ListStockResponse, *, cursor: str, limit: int) -> ProductPage:
    """Return a page of at most `limit` products."""
    read = Reply(peer, "list_stock")
    read.rows("products", [one.sku for one in reply.products], limit)
    return ProductPage([_product(read, one) for one in reply.products], read.cursor(cursor, reply.next_cursor))


def read_product_with_lots(peer: Peer, reply: wire.GetStockResponse, sku: str) -> ProductWithLots | None:
    """Return the product that was asked for with its lots; None if it is unknown."""
    read = Reply(peer, "get_stock")
    if not reply.HasField("product"):
        return None
    read.check("product.sku", "another product", ok=reply.product.sku == sku)
    read.rows("lots", [one.lot for one in reply.lots], MAX_ROWS)
    return ProductWithLots(_product(read, reply.product), [_lot(read, one) for one in reply.lots])


def _product(read: Reply, one: wire.Product) -> StockRow:
    return StockRow(
        sku=read.text("products.sku", one.sku, MAX_SKU_CHARS),
        name=read.text_or_none("products.name", one.name, MAX_NAME_CHARS) or "",
        aisle_type=read.one_of("products.aisle_type", one.aisle_type, CLASSES),
        on_hand=read.count("products.on_hand", one.on_hand),
        held=read.count("products.held", one.held),
        allocated=read.count("products.allocated", one.allocated),
        incoming=read.count("products.incoming", one.incoming),
        lots=read.count("products.lots", one.lots),
        next_expiry=read.at_or_none("products.next_expiry", one.next_expiry, given=one.HasField("next_expiry")),
        unit_price_cents=None,
    )


def _lot(read: Reply, one: wire.Lot) -> ShelfLot:
    return ShelfLot(
        lot=read.text("lots.lot", one.lot, MAX_ID_CHARS),
        expiry_at=read.at_or_none("lots.expiry_at", one.expiry_at, given=one.HasField("expiry_at")),
        received_at=read.at("lots.received_at", one.received_at, given=one.HasField("received_at")),
        received=read.count("lots.received", one.received),
        on_shelf=read.count("lots.on_shelf", one.on_shelf),
        expired=one.expired,
        recalled_at=read.at_or_none("lots.recalled_at", one.recalled_at, given=one.HasField("recalled_at")),
    )


def read_robots(peer: Peer, reply: wire.ListRobotsResponse, *, cursor: str, limit: int) -> RobotPage:
    """Return a page of at most `limit` robots."""
    read = Reply(peer, "list_robots")
    read.rows("robots", [one.robot_id for one in reply.robots], limit)
    rows = [
        RobotRow(
            robot_id=read.text("robots.robot_id", one.robot_id, MAX_ID_CHARS),
            robot_class=read.one_of("robots.robot_class", one.robot_class, CLASSES),
            last_seen_at=read.at("robots.last_seen_at", one.last_seen_at, given=one.HasField("last_seen_at")),
            live=one.live,
            queue=read.count("robots.queue", one.queue),
            tasks=_tasks(read, one.tasks),
        )
        for one in reply.robots
    ]
    return RobotPage(rows, read.cursor(cursor, reply.next_cursor))


def _tasks(read: Reply, tasks: Sequence[wire.Task]) -> list[RobotTask]:
    read.rows("robots.tasks", [one.assignment_id for one in tasks], MAX_TASKS)
    for one in tasks:
        read.check("robots.tasks.order_type", "unknown", ok=one.order_type in TASK_KINDS)
    return [
        RobotTask(
            kind="putaway" if one.order_type == wire.Task.ORDER_TYPE_PUTAWAY else "pick",
            assignment_id=read.uuid("robots.tasks.assignment_id", one.assignment_id),
            order_id=read.uuid("robots.tasks.order_id", one.order_id),
            aisle=read.one_of("robots.tasks.aisle", one.aisle, CLASSES),
            lease_until=read.at("robots.tasks.lease_until", one.lease_until, given=one.HasField("lease_until")),
        )
        for one in tasks
    ]


def read_deliveries(peer: Peer, reply: wire.ListRestocksResponse, *, cursor: str, limit: int) -> DeliveryPage:
    """Return a page of at most `limit` deliveries."""
    read = Reply(peer, "list_restocks")
    read.rows("restocks", [one.order_id for one in reply.restocks], limit)
    return DeliveryPage([_delivery(read, one) for one in reply.restocks], read.cursor(cursor, reply.next_cursor))


def _delivery(read: Reply, one: wire.Restock) -> DeliveryRow:
    read.check("restocks.state", "unknown", ok=one.state in STATE_NAMES)
    return DeliveryRow(
        order_id=read.uuid("restocks.order_id", one.order_id),
        supplier_id=read.text("restocks.supplier_id", one.supplier_id, MAX_ID_CHARS),
        state=STATE_NAMES[one.state],  # type: ignore[arg-type]  # of RESTOCK_STATES
        entered_at=read.at("restocks.entered_at", one.entered_at, given=one.HasField("entered_at")),
        reported_at=read.at_or_none("restocks.reported_at", one.reported_at, given=one.HasField("reported_at")),
        lines=read.count("restocks.lines", one.lines),
        units=read.count("restocks.units", one.units),
        received=read.count("restocks.received", one.received),
        damaged=read.count("restocks.damaged", one.damaged, one.received),
        putaways=read.count("restocks.putaways", one.putaways),
        putaways_done=read.count("restocks.putaways_done", one.putaways_done, one.putaways),
    )


def read_order_detail(peer: Peer, reply: wire.GetOrderDetailResponse, asked: str) -> OrderDetail | None:
    """Return the order that was asked for; None if it is unknown."""
    check_order_id(peer, "get_order_detail", asked, reply.order_id)
    read = Reply(peer, "get_order_detail")
    if not reply.state:
        return None
    read.rows("assignments", [one.assignment_id for one in reply.assignments], MAX_ROWS)
    read.check("lots", "too many", ok=len(reply.lots) <= 10 * MAX_ROWS)
    read.rows("webhooks", [one.webhook_id for one in reply.webhooks], MAX_ROWS)
    return OrderDetail(
        state=read.one_of("state", reply.state, ORDER_STATES),
        created_at=read.at("created_at", reply.created_at, given=reply.HasField("created_at")),
        expires_at=read.at_or_none("expires_at", reply.expires_at, given=reply.HasField("expires_at")),
        finished_at=read.at_or_none("finished_at", reply.finished_at, given=reply.HasField("finished_at")),
        assignments=[_assignment(read, one) for one in reply.assignments],
        lots=[
            Lot(
                read.text("lots.sku", one.sku, MAX_SKU_CHARS),
                read.text("lots.lot", one.lot, MAX_ID_CHARS),
                read.count("lots.quantity", one.quantity),
                read.at_or_none("lots.expiry_at", one.expiry_at, given=one.HasField("expiry_at")),
            )
            for one in reply.lots
        ],
        webhooks=[_webhook(read, one) for one in reply.webhooks],
    )


def _assignment(read: Reply, one: wire.OrderAssignment) -> Assignment:
    read.one_of("assignments.aisle", one.aisle, CLASSES)  # not shown
    return Assignment(
        assignment_id=read.text("assignments.assignment_id", one.assignment_id, MAX_ID_CHARS),
        robot_id=read.text("assignments.robot_id", one.robot_id, MAX_ID_CHARS),
        robot_class=read.one_of("assignments.robot_class", one.robot_class, CLASSES),
        state=read.one_of("assignments.state", one.state, ASSIGNMENT_STATES),
        assigned_at=read.at("assignments.created_at", one.created_at, given=one.HasField("created_at")),
        lease_until=read.at_or_none("assignments.lease_until", one.lease_until, given=one.HasField("lease_until")),
        closed_at=read.at_or_none("assignments.closed_at", one.closed_at, given=one.HasField("closed_at")),
    )


def _webhook(read: Reply, one: wire.OrderWebhook) -> SentWebhook:
    return SentWebhook(
        webhook_id=read.text("webhooks.webhook_id", one.webhook_id, MAX_ID_CHARS),
        created_at=read.at("webhooks.created_at", one.created_at, given=one.HasField("created_at")),
        attempts=read.count("webhooks.attempts", one.attempts),
        next_attempt_at=read.at_or_none(
            "webhooks.next_attempt_at", one.next_attempt_at, given=one.HasField("next_attempt_at")
        ),
        done_at=read.at_or_none("webhooks.done_at", one.done_at, given=one.HasField("done_at")),
        dead_at=read.at_or_none("webhooks.dead_at", one.dead_at, given=one.HasField("dead_at")),
        last_error=read.text_or_none("webhooks.last_error", one.last_error, MAX_SENTENCE_CHARS),
    )


def read_audit(peer: Peer, reply: wire.AuditResponse) -> InventoryAudit:
    """Return the audit."""
    read = Reply(peer, "audit")
    read.rows("invariants", [one.name for one in reply.invariants], MAX_ROWS)
    return InventoryAudit(
        read.at("checked_at", reply.checked_at, given=reply.HasField("checked_at")),
        [
            AuditedInvariant(
                read.text("invariants.name", one.name, MAX_ID_CHARS),
                read.text("invariants.sentence", one.sentence, MAX_SENTENCE_CHARS),
                read.count("invariants.violations", one.violations),
                tuple(
                    read.text("invariants.examples", example, MAX_EXAMPLE_CHARS)
                    for example in one.examples[:MAX_EXAMPLES]
                ),
            )
            for one in reply.invariants
        ],
    )
