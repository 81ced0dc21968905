"""The statement of an order's happy path: concurrent previews, dispatches and finishes share one commit.

A write is one of three typed inputs: NewOrder, DispatchedOrder, FinishedOrder. Each becomes an item of the same
batch: a `WriteRow`, the order's lines (NewOrder only) and the lines that were picked short (FinishedOrder only).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import Struct

from autogrocery.gateway.core.order import Cause, Status
from autogrocery.gateway.store.template import fill
from autogrocery.kit.pg.batch import BatchStatement

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.gateway.core.order import Line, OrderResult, Robot, WebhookDelivery
    from autogrocery.gateway.core.status_change import MetricNumber
    from autogrocery.kit.pg.batch import Item
    from autogrocery.kit.pg.db import Db, Row


class WriteRow(NamedTuple):
    """The statement's first sixteen parameters, one order's share of each. Only the typed inputs below fill it in.

    `to_status` selects the write: PREVIEWED inserts the order, PROCESSING dispatches it, COMPLETED and FAILED finish
    it. `total_cents` is the quote of a new order and the charge of a finished one; `sha256` is of the preview's
    request or of the webhook's body.
    """

    order_id: UUID
    to_status: str
    cause: str
    epoch: int
    sequence: int
    user_id: int | None = None
    currency: str | None = None
    total_cents: int | None = None
    line_count: int | None = None
    item_count: int | None = None
    sha256: bytes | None = None
    ttl_s: float | None = None
    robots: str | None = None
    outcome: str | None = None
    even_if_idle: bool = False
    webhook_id: str | None = None


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
        row = WriteRow(
            self.order_id,
            Status.PREVIEWED,
            Cause.PREVIEWED,
            self.number.epoch,
            self.number.sequence,
            self.user_id,
            self.currency,
            self.total_cents,
            len(self.lines),
            sum(line.quantity for line in self.lines),
            self.request_sha256,
            self.ttl_s,
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
        row = WriteRow(
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
        row = WriteRow(
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


LINE_COLUMNS = 7  # order_id, line_no, sku, name, requested, quantity, unit_price_cents
SHORT_COLUMNS = 3  # order_id, line_no, picked

# `was` locks the rows, skips those that another transaction has locked, and holds the status from which each one
# moves; every row that it has seen is returned with version 0, so that the batch knows which orders were skipped. IS
# TRUE makes a hash table of IN, not a join: on these connections the planner has nested loops only. The receipt of a
# device without an e-mail address is done when it is written.
WRITE_TEMPLATE = """
-- {point}
WITH asked AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::int[], $7::text[],
                       $8::bigint[], $9::int[], $10::int[], $11::bytea[], $12::float8[], $13::jsonb[], $14::text[],
                       $15::bool[], $16::text[])
    AS a (order_id, to_status, cause, epoch, sequence, user_id, currency, total_cents, line_count, item_count, sha256,
          ttl_s, robots, outcome, even_if_idle, webhook_id)),
made AS (
  INSERT INTO grocery_orders (order_id, user_id, currency, quoted_total_cents, total_cents, line_count, item_count,
                              request_sha256, expires_at, due_at)
  SELECT order_id, user_id, currency, total_cents, total_cents, line_count, item_count, sha256,
         now() + ttl_s * interval '1 second', now() + ttl_s * interval '1 second'
    FROM asked WHERE to_status = 'PREVIEWED' ORDER BY order_id
  ON CONFLICT (order_id) DO NOTHING
  RETURNING order_id, created_at, expires_at, total_cents, item_count, line_count),
lines AS (
  INSERT INTO order_lines (order_id, line_no, sku, name, requested, quantity, unit_price_cents)
  SELECT * FROM unnest($17::uuid[], $18::smallint[], $19::text[], $20::text[], $21::int[], $22::int[], $23::bigint[])
             AS l (order_id, line_no, sku, name, requested, quantity, price)
   WHERE (l.order_id IN (SELECT order_id FROM made)) IS TRUE),
was AS MATERIALIZED (
  SELECT a.*, o.status AS from_status FROM asked a JOIN grocery_orders o ON o.order_id = a.order_id
   WHERE a.to_status <> 'PREVIEWED' ORDER BY a.order_id FOR NO KEY UPDATE OF o{skip_locked}),
moved AS (
  UPDATE grocery_orders o
     SET status = w.to_status, intent = NULL, intent_at = NULL, attention = NULL, robots = coalesce(w.robots, o.robots),
         version = o.version + CASE WHEN w.to_status <> 'PROCESSING' AND w.from_status = 'PREVIEWED' THEN 2 ELSE 1 END,
         confirmed_at = coalesce(o.confirmed_at, now()), dispatched_at = coalesce(o.dispatched_at, now()),
         outcome = w.outcome, total_cents = coalesce(w.total_cents, o.total_cents),
         finished_at = CASE WHEN w.to_status <> 'PROCESSING' THEN now() END,
         due_at = CASE WHEN w.to_status = 'PROCESSING' THEN now() + interval '1 minute' END,
         attempts = CASE WHEN w.to_status = 'PROCESSING' THEN 0 ELSE o.attempts END
    FROM was w
   WHERE o.order_id = w.order_id
     AND CASE w.to_status
         WHEN 'PROCESSING' THEN o.status = 'PREVIEWED' AND (o.intent IS NULL OR o.intent = 'DISPATCH')
         ELSE o.status = 'PROCESSING' OR (o.status = 'PREVIEWED' AND (o.intent IS NOT NULL OR w.even_if_idle)) END
  RETURNING o.order_id, o.user_id, o.version, o.confirmed_at, o.quoted_total_cents, o.total_cents, o.item_count,
            o.line_count, w.from_status, w.to_status, w.outcome, w.cause, w.epoch, w.sequence, w.webhook_id, w.sha256),
steps AS (
  SELECT order_id, version - 1 AS version, 'PREVIEWED' AS from_status, 'PROCESSING' AS to_status, 'dispatched' AS cause,
         epoch, sequence - 1 AS sequence, confirmed_at, quoted_total_cents AS total_cents, item_count, line_count
    FROM moved WHERE from_status = 'PREVIEWED' AND to_status <> 'PROCESSING'
  UNION ALL
  SELECT order_id, version, CASE to_status WHEN 'PROCESSING' THEN 'PREVIEWED' ELSE 'PROCESSING' END, to_status, cause,
         epoch, sequence, confirmed_at, total_cents, item_count, line_count FROM moved),
noted AS (
  INSERT INTO order_history (order_id, version, from_status, to_status, cause, epoch, sequence)
  SELECT order_id, 1, NULL, to_status, cause, epoch, sequence FROM asked
   WHERE to_status = 'PREVIEWED' AND (order_id IN (SELECT order_id FROM made)) IS TRUE
  UNION ALL
  SELECT order_id, version, from_status, to_status, cause, epoch, sequence FROM steps),
short AS (
  INSERT INTO short_picks (order_id, line_no, picked)
  SELECT * FROM unnest($24::uuid[], $25::smallint[], $26::int[]) AS s (order_id, line_no, picked)
   WHERE (s.order_id IN (SELECT order_id FROM moved)) IS TRUE),
receipt AS (
  INSERT INTO receipt_outbox (order_id, done_at)
  SELECT m.order_id, CASE WHEN d.email IS NULL THEN now() END
    FROM moved m JOIN smart_devices d ON d.id = m.user_id WHERE m.to_status = 'COMPLETED'),
{alert}remembered AS (
  INSERT INTO webhook_inbox (order_id, webhook_id, body_sha256)
  SELECT order_id, webhook_id, sha256 FROM moved WHERE webhook_id IS NOT NULL)
SELECT order_id, 1 AS version, 'PREVIEWED' AS to_status, created_at AS at, expires_at,
       NULL::timestamptz AS confirmed_at,
       total_cents, item_count, line_count, NULL::bigint AS sequence FROM made
UNION ALL
SELECT order_id, version, to_status, now(), NULL, confirmed_at, total_cents, item_count, line_count, sequence FROM steps
UNION ALL
SELECT order_id, 0, from_status, now(), NULL, NULL, NULL, NULL, NULL, NULL FROM was
 ORDER BY version
"""
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
SHAPE = len(WriteRow._fields), LINE_COLUMNS, SHORT_COLUMNS


def _batch(point: str, alert: str) -> BatchStatement:
    """Return the statement for many orders, and its form for a single one, which waits for a locked row."""
    return BatchStatement(
        fill(WRITE_TEMPLATE, point=point, alert=alert, skip_locked=" SKIP LOCKED"),
        SHAPE,
        alone=fill(WRITE_TEMPLATE, point=point, alert=alert, skip_locked=""),
    )


WRITE_BATCH = _batch("orders.write", alert="")
WRITE_ALERTING_BATCH = _batch("orders.write_alerting", alert=ALERT)
WRITE = WRITE_BATCH.sql


async def write(
    db: Db, point: str, order: NewOrder | DispatchedOrder | FinishedOrder, batch: BatchStatement = WRITE_BATCH
) -> Sequence[Row]:
    """Return the status changes that were made, in their order; none if the id is taken or the row's guard refuses.

    `point` is the fault point of this order's write. `batch` is WRITE_ALERTING_BATCH for an end that may owe an alert.
    """
    return [row for row in await db.run_batched(batch, point, *order.item()) if row["version"]]
