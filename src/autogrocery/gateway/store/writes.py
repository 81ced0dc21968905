"""The statement of an order's happy path: concurrent previews, dispatches and finishes share one commit.

A write is one of three typed inputs: NewOrder, DispatchedOrder, FinishedOrder. Each becomes an item of the same
batch: a `NewOrderRow` or an `OrderChangeRow`, the order's lines (NewOrder only), and the lines that were picked short
(FinishedOrder only). The statement takes them as four arrays of rows: one array is cheaper to read than one for each
column (docs/decisions/0031-what-postgresql-does-per-order.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import Struct

from autogrocery.gateway.core.order import Cause, Status
from autogrocery.gateway.store.template import fill
from autogrocery.kit.pg.batch import BatchStatement, Call

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.gateway.core.order import Line, OrderResult, Robot, WebhookDelivery
    from autogrocery.gateway.core.status_change import MetricNumber
    from autogrocery.kit.pg.batch import Item
    from autogrocery.kit.pg.db import Db, Row


class NewOrderRow(NamedTuple):
    """The database's type `new_order`, field for field. `sha256` is of the preview's request."""

    order_id: UUID
    user_id: int
    currency: str
    total_cents: int
    line_count: int
    item_count: int
    sha256: bytes
    ttl_s: float
    epoch: int
    sequence: int


class OrderChangeRow(NamedTuple):
    """The database's type `order_change`, field for field.

    `to_status` selects the change: PROCESSING dispatches the order, COMPLETED and FAILED finish it. `total_cents` is
    the charge of a finished order; `sha256` is of the webhook's body.
    """

    order_id: UUID
    to_status: str
    cause: str
    epoch: int
    sequence: int
    total_cents: int | None = None
    robots: str | None = None
    outcome: str | None = None
    even_if_idle: bool = False
    webhook_id: str | None = None
    sha256: bytes | None = None


class NewOrder(Struct, frozen=True):
    """Insert a PREVIEWED order; `request_sha256` distinguishes a repeat from another request under its key."""

    order_id: UUID
    user_id: int
    currency: str
    lines: Sequence[Line]
    total_cents: int
    request_sha256: bytes
    ttl_s: float
    number: MetricNumber

    def item(self) -> Item:
        """Return the item of the batch."""
        row = NewOrderRow(
            self.order_id,
            self.user_id,
            self.currency,
            self.total_cents,
            len(self.lines),
            sum(line.quantity for line in self.lines),
            self.request_sha256,
            self.ttl_s,
            self.number.epoch,
            self.number.sequence,
        )
        lines = [
            (self.order_id, line_no, line.sku, line.name, line.requested, line.quantity, line.unit_price_cents)
            for line_no, line in enumerate(self.lines, 1)
        ]
        return row, lines, ()


class DispatchedOrder(Struct, frozen=True):
    """Move an order from PREVIEWED, idle or with a DISPATCH intent, to PROCESSING."""

    order_id: UUID
    robots: Sequence[Robot]
    number: MetricNumber

    def item(self) -> Item:
        """Return the item of the batch."""
        row = OrderChangeRow(
            self.order_id,
            Status.PROCESSING,
            Cause.DISPATCHED,
            self.number.epoch,
            self.number.sequence,
            robots=_json(self.robots),
        )
        return row, (), ()


class FinishedOrder(Struct, frozen=True):
    """Move an order from PROCESSING, or PREVIEWED with an intent (`even_if_idle`: or without), to COMPLETED or FAILED.

    An order that is finished from PREVIEWED makes two changes: `number` and the one before it are theirs.
    """

    order_id: UUID
    result: OrderResult
    robots: Sequence[Robot] | None
    even_if_idle: bool
    delivery: WebhookDelivery | None
    number: MetricNumber

    def item(self) -> Item:
        """Return the item of the batch."""
        result, delivery = self.result, self.delivery
        row = OrderChangeRow(
            self.order_id,
            result.status,
            Cause.PICKED if result.status is Status.COMPLETED else Cause.NOTHING_PICKED,
            self.number.epoch,
            self.number.sequence,
            total_cents=result.total_cents,
            sha256=delivery.body_sha256 if delivery else None,
            robots=_json(self.robots) if self.robots else None,
            outcome=result.outcome,
            even_if_idle=self.even_if_idle,
            webhook_id=delivery.webhook_id if delivery else None,
        )
        return row, (), [(self.order_id, line_no, picked) for line_no, picked in result.short]


def _json(robots: Sequence[Robot]) -> str:
    return msgspec.json.encode(robots).decode()


# The parts of the statement. A batch that holds new orders only, or changes only, runs the parts that it needs.
#
# IS TRUE makes a hash table of IN, not a join: on these connections the planner has nested loops only.
MADE = """
made AS (
  INSERT INTO grocery_orders (order_id, user_id, currency, quoted_total_cents, total_cents, line_count, item_count,
                              request_sha256, expires_at, due_at)
  SELECT order_id, user_id, currency, total_cents, total_cents, line_count, item_count, sha256,
         now() + ttl_s * interval '1 second', now() + ttl_s * interval '1 second'
    FROM unnest({new}::new_order[]) ORDER BY order_id
  ON CONFLICT (order_id) DO NOTHING
  RETURNING order_id, created_at, expires_at)"""
LINES = """
lines AS (
  INSERT INTO order_lines (order_id, line_no, sku, name, requested, quantity, unit_price_cents)
  SELECT order_id, line_no, sku, name, requested, quantity, unit_price_cents FROM unnest({lines}::new_order_line[])
   WHERE (order_id IN (SELECT order_id FROM made)) IS TRUE)"""
# `w` locks the rows, skips those that another transaction has locked, and holds the status from which each one moves.
# It never waits, so the order of its locks does not matter. An order without a result row was skipped, or its guard
# refuses: it is tried alone.
#
# A dispatch leaves `due_at` as it is, if that is in one to two minutes: no indexed column changes, and the new version
# of the row needs no new index entries (PostgreSQL's heap-only tuples).
MOVED = """
moved AS (
  UPDATE grocery_orders o
     SET status = w.to_status, intent = NULL, intent_at = NULL, attention = NULL, robots = coalesce(w.robots, o.robots),
         version = o.version + CASE WHEN w.to_status <> 'PROCESSING' AND w.from_status = 'PREVIEWED' THEN 2 ELSE 1 END,
         confirmed_at = coalesce(o.confirmed_at, now()), dispatched_at = coalesce(o.dispatched_at, now()),
         outcome = w.outcome, total_cents = coalesce(w.total_cents, o.total_cents),
         finished_at = CASE WHEN w.to_status <> 'PROCESSING' THEN now() END,
         due_at = CASE WHEN w.to_status <> 'PROCESSING' THEN NULL
                       WHEN o.due_at BETWEEN now() + interval '1 minute' AND now() + interval '2 minutes' THEN o.due_at
                       ELSE now() + interval '1 minute' END,
         attempts = CASE WHEN w.to_status = 'PROCESSING' THEN 0 ELSE o.attempts END
    FROM (SELECT c.*, o.status AS from_status
            FROM unnest({changes}::order_change[]) c JOIN grocery_orders o ON o.order_id = c.order_id
             FOR NO KEY UPDATE OF o{skip_locked}) w
   WHERE o.order_id = w.order_id
     AND CASE w.to_status
         WHEN 'PROCESSING' THEN o.status = 'PREVIEWED' AND (o.intent IS NULL OR o.intent = 'DISPATCH')
         ELSE o.status = 'PROCESSING' OR (o.status = 'PREVIEWED' AND (o.intent IS NOT NULL OR w.even_if_idle)) END
  RETURNING o.order_id, o.user_id, o.version, o.confirmed_at, o.quoted_total_cents, o.total_cents, o.item_count,
            o.line_count, w.from_status, w.to_status, w.outcome, w.cause, w.epoch, w.sequence, w.webhook_id,
            w.sha256)"""
NOTED = """
noted AS (
  INSERT INTO order_history (order_id, version, from_status, to_status, cause, epoch, sequence){history})"""
MADE_HISTORY = """
  SELECT order_id, 1, NULL, 'PREVIEWED', 'previewed', epoch, sequence FROM unnest({new}::new_order[])
   WHERE (order_id IN (SELECT order_id FROM made)) IS TRUE"""
# An order that is finished from PREVIEWED makes two changes.
MOVED_HISTORY = """
  SELECT order_id, version - 1, 'PREVIEWED', 'PROCESSING', 'dispatched', epoch, sequence - 1
    FROM moved WHERE from_status = 'PREVIEWED' AND to_status <> 'PROCESSING'
  UNION ALL
  SELECT order_id, version, CASE to_status WHEN 'PROCESSING' THEN 'PREVIEWED' ELSE 'PROCESSING' END, to_status, cause,
         epoch, sequence FROM moved"""
# The receipt of a device without an e-mail address is done when it is written.
ENDED = """
short AS (
  INSERT INTO short_picks (order_id, line_no, picked)
  SELECT order_id, line_no, picked FROM unnest({short}::short_pick[])
   WHERE (order_id IN (SELECT order_id FROM moved)) IS TRUE),
receipt AS (
  INSERT INTO receipt_outbox (order_id, done_at)
  SELECT m.order_id, CASE WHEN d.email IS NULL THEN now() END
    FROM moved m JOIN smart_devices d ON d.id = m.user_id WHERE m.to_status = 'COMPLETED'),
{alert}remembered AS (
  INSERT INTO webhook_inbox (order_id, webhook_id, body_sha256)
  SELECT order_id, webhook_id, sha256 FROM moved WHERE webhook_id IS NOT NULL)"""
# Most orders end well and owe no alert. Those that may owe one have a statement of their own, so that the rest pay
# nothing.
ALERT = """alert AS (
  INSERT INTO alert_outbox (order_id, event, user_id)
  SELECT m.order_id,
         CASE WHEN m.to_status = 'FAILED' THEN 'FAILED' WHEN m.outcome = 'PARTIAL' THEN 'PARTIAL' ELSE 'COMPLETED' END,
         m.user_id
    FROM moved m JOIN smart_devices d ON d.id = m.user_id
   WHERE d.phone IS NOT NULL
     AND (d.alerts = 'all' OR (d.alerts = 'trouble' AND (m.to_status = 'FAILED' OR m.outcome = 'PARTIAL')))),
"""
MADE_RESULT = """
SELECT order_id, 1 AS version, NULL AS from_status, created_at AS at, expires_at, NULL::timestamptz AS confirmed_at,
       NULL::bigint AS quoted_total_cents, NULL::bigint AS total_cents, NULL::int AS item_count,
       NULL::int AS line_count FROM made
"""
MOVED_RESULT = """
SELECT order_id, version, from_status, now() AS at, NULL::timestamptz AS expires_at, confirmed_at, quoted_total_cents,
       total_cents, item_count, line_count FROM moved
"""


class WriteStatement(BatchStatement, frozen=True):
    """The statement for many orders: `new` for new orders only, `changes` for changes only, `sql` for both.

    `alone` is `changes` for a single order, and waits for its locked row.
    """

    new: str = ""
    changes: str = ""

    def call(self, items: Sequence[Item]) -> Call:
        """Return the shortest text for these items, and their rows."""
        new = [item for item in items if isinstance(item[0], NewOrderRow)]
        changes = [item for item in items if isinstance(item[0], OrderChangeRow)]
        if not changes:
            return Call(self.new, _rows_of(new, 1))
        if not new:
            return Call(self.changes, _rows_of(changes, 2))
        return Call(self.sql, [*_rows_of(new, 1), *_rows_of(changes, 2)])

    def call_alone(self, item: Item) -> Call:
        """Return the text for one order, which waits for its locked row, and its rows."""
        return self.call([item]) if isinstance(item[0], NewOrderRow) else Call(self.alone, _rows_of([item], 2))


def _rows_of(items: Sequence[Item], place: int) -> list[list[Any]]:
    """Return the items' rows, and the rows of all their lists at `place`."""
    return [[item[0] for item in items], [row for item in items for row in item[place]]]


def _write_statement(point: str, alert: str = "") -> WriteStatement:
    """Put the texts together. `point` is the fault point of all of them."""
    made = [fill(MADE, new="$1"), fill(LINES, lines="$2")]
    made_history = fill(MADE_HISTORY, new="$1")

    def changed(changes: str, short: str, skip_locked: str = " SKIP LOCKED") -> tuple[str, str]:
        return fill(MOVED, changes=changes, skip_locked=skip_locked), fill(ENDED, short=short, alert=alert)

    def text(parts: Sequence[str], histories: Sequence[str], results: Sequence[str]) -> str:
        noted = fill(NOTED, history="\n  UNION ALL".join(histories))
        return f"\n-- {point}\nWITH" + ",".join([*parts, noted]) + "UNION ALL".join(results)

    return WriteStatement(
        text([*made, *changed("$3", "$4")], [made_history, MOVED_HISTORY], [MADE_RESULT, MOVED_RESULT]),
        alone=text(changed("$1", "$2", skip_locked=""), [MOVED_HISTORY], [MOVED_RESULT]),
        new=text(made, [made_history], [MADE_RESULT]),
        changes=text(changed("$1", "$2"), [MOVED_HISTORY], [MOVED_RESULT]),
    )


WRITE_BATCH = _write_statement("orders.write")
WRITE_ALERTING_BATCH = _write_statement("orders.write_alerting", ALERT)
WRITE = WRITE_BATCH.sql


async def write(
    db: Db, point: str, order: NewOrder | DispatchedOrder | FinishedOrder, batch: WriteStatement = WRITE_BATCH
) -> Sequence[Row]:
    """Return the row that was written; none if the id is taken or the row's guard refuses.

    `point` is the fault point of this order's write. `batch` is WRITE_ALERTING_BATCH for an end that may owe an alert.
    """
    return await db.run_batched(batch, point, *order.item())
