"""Restocks as rows: add one, read one, and every change of one. Each WHERE is the guard that RESTOCK_EDGES asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.core.restock import (
    Goods,
    Restock,
    RestockIntent,
    RestockLine,
    RestockStatus,
    sorted_goods,
    steps_of,
)
from autogrocery.gateway.core.status_change import MetricNumber, StatusChange
from autogrocery.gateway.store.template import fill

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from autogrocery.gateway.core.order import WebhookDelivery
    from autogrocery.gateway.core.restock import Manifest, RestockFact, Step
    from autogrocery.kit.pg.db import Db, Row

LEASE_S = 2.5  # for which the sweeper leaves a fresh intent to the request that set it

ADD = """
-- restocks.add
WITH made AS (
  INSERT INTO restock_orders (order_id, user_id, supplier_id, supplier_name, manifest_no,
                              idempotency_key, request_sha256,
                              line_count, item_count, due_at)
  VALUES ($1, $2, $3, $4, $5, $6, $7, cardinality($11::text[]), (SELECT sum(n) FROM unnest($14::int[]) n),
          now() + $8 * interval '1 second')
  ON CONFLICT DO NOTHING RETURNING order_id, created_at, item_count, line_count),
lines AS (
  INSERT INTO restock_lines (order_id, line_no, sku, name, aisle_type, quantity, mfd_date, expiry_date, unit_cost_cents)
  SELECT made.order_id, l.line_no, l.sku, l.name, l.aisle_type, l.quantity, l.mfd_date, l.expiry_date, l.unit_cost_cents
    FROM made, unnest($11::text[], $12::text[], $13::text[], $14::int[], $15::date[], $16::date[], $17::bigint[])
               WITH ORDINALITY AS l (sku, name, aisle_type, quantity, mfd_date, expiry_date, unit_cost_cents, line_no)),
noted AS (
  INSERT INTO restock_history (order_id, version, to_status, cause, epoch, sequence)
  SELECT order_id, 1, 'ANNOUNCED', 'announced', $9, $10 FROM made)
SELECT * FROM made
"""


async def add(
    db: Db, order_id: UUID, user_id: int, manifest: Manifest, *, key: str | None, sha256: bytes, number: MetricNumber
) -> StatusChange | None:
    """Write an ANNOUNCED restock with its lines and its history; None if its id, manifest or key is taken.

    It has the RESTOCK intent; the sweeper leaves the call to the caller for LEASE_S seconds.
    """
    goods = sorted_goods(manifest)
    columns = [[getattr(one, field) for one in goods] for field in Goods.__struct_fields__]
    row = await db.row(
        ADD,
        order_id,
        user_id,
        manifest.supplier_id,
        manifest.supplier_name,
        manifest.manifest_no,
        key,
        sha256,
        LEASE_S,
        number.epoch,
        number.sequence,
        *columns,
    )
    if row is None:
        return None
    return _change(order_id, 1, RestockStatus.ANNOUNCED, row["created_at"], row, number)


READ = """
SELECT r.order_id, r.user_id, r.supplier_id, r.supplier_name, r.manifest_no, r.status, r.version, r.intent, r.refusal,
       r.created_at, r.accepted_at, r.finished_at, r.request_sha256, lines.*
  FROM restock_orders r {join},
       LATERAL (SELECT array_agg(l.sku ORDER BY l.line_no) AS skus, array_agg(l.name ORDER BY l.line_no) AS names,
                       array_agg(l.aisle_type ORDER BY l.line_no) AS aisles,
                       array_agg(l.quantity ORDER BY l.line_no) AS quantities,
                       array_agg(l.mfd_date ORDER BY l.line_no) AS made,
                       array_agg(l.expiry_date ORDER BY l.line_no) AS expire,
                       array_agg(l.unit_cost_cents ORDER BY l.line_no) AS costs,
                       array_agg(l.received ORDER BY l.line_no) AS received,
                       array_agg(l.damaged ORDER BY l.line_no) AS damaged
                  FROM restock_lines l WHERE l.order_id = r.order_id) lines
 WHERE {condition}
"""
GET = "-- restocks.get" + fill(READ, join="", condition="r.order_id = $1")


async def get(db: Db, order_id: UUID) -> Restock | None:
    """Return the restock, of any supplier."""
    row = await db.row(GET, order_id)
    return _restock(row) if row else None


OF_SUPPLIER = "JOIN smart_devices d ON d.id = $2 AND d.kind = 'truck' AND d.supplier_id = r.supplier_id"
GET_OF_TRUCK = "-- restocks.get_of_truck" + fill(READ, join=OF_SUPPLIER, condition="r.order_id = $1")


async def get_of_truck(db: Db, order_id: UUID, user_id: int) -> Restock | None:
    """Return the restock if it belongs to the truck's supplier; None also for another supplier's."""
    row = await db.row(GET_OF_TRUCK, order_id, user_id)
    return _restock(row) if row else None


GET_OF_KEY = "-- restocks.get_of_key" + fill(READ, join="", condition="r.user_id = $1 AND r.idempotency_key = $2")


async def get_of_key(db: Db, user_id: int, key: str) -> Restock | None:
    """Return the restock that this truck has announced under a key."""
    row = await db.row(GET_OF_KEY, user_id, key)
    return _restock(row) if row else None


# A webhook that the inbox has already changes nothing. The RESTOCK intent becomes PRICE, unless inventory refused; a
# PRICE intent stays, even if the goods are refused later.
APPLY_FACT = """
-- restocks.apply_fact
WITH was AS (
  SELECT order_id FROM restock_orders WHERE order_id = $1 AND status = $2 AND finished_at IS NULL FOR NO KEY UPDATE),
heard AS (
  INSERT INTO restock_inbox (order_id, webhook_id, body_sha256)
  SELECT order_id, $5::text, $6::bytea FROM was WHERE $5::text IS NOT NULL
  ON CONFLICT DO NOTHING RETURNING order_id),
news AS (SELECT order_id FROM was WHERE $5::text IS NULL OR EXISTS (SELECT FROM heard)),
counted AS (
  UPDATE restock_lines l SET received = greatest(l.received, c.received), damaged = greatest(l.damaged, c.damaged)
    FROM news, unnest($7::text[], $8::int[], $9::int[]) AS c (sku, received, damaged)
   WHERE l.order_id = news.order_id AND l.sku = c.sku AND (c.received > l.received OR c.damaged > l.damaged)
  RETURNING l.sku),
moved AS (
  UPDATE restock_orders r
     SET status = $3, version = r.version + cardinality($11::text[]), refusal = coalesce($4, r.refusal),
         intent = CASE WHEN r.intent = 'RESTOCK' THEN CASE WHEN $3 <> 'REJECTED' THEN 'PRICE' END ELSE r.intent END,
         intent_at = CASE WHEN r.intent = 'RESTOCK' THEN CASE WHEN $3 <> 'REJECTED' THEN now() END ELSE r.intent_at END,
         accepted_at = CASE WHEN r.intent = 'RESTOCK' AND $3 <> 'REJECTED' THEN now() ELSE r.accepted_at END,
         finished_at = CASE WHEN $3 <> 'RECEIVING' THEN now() END, attempts = 0, attention = NULL,
         due_at = CASE WHEN r.intent = 'RESTOCK'
                            THEN CASE WHEN $3 <> 'REJECTED' THEN now() + $10 * interval '1 second' END
                       WHEN r.intent = 'PRICE' THEN r.due_at
                       WHEN $3 = 'RECEIVING' THEN now() + interval '1 minute' END
    FROM news WHERE r.order_id = news.order_id
  RETURNING r.order_id, r.version, r.created_at, r.item_count, r.line_count),
noted AS (
  INSERT INTO restock_history (order_id, version, from_status, to_status, cause, epoch, sequence)
  SELECT m.order_id, m.version - cardinality($11::text[]) + s.step, s.from_status, s.to_status, s.cause, $14, s.sequence
    FROM moved m, unnest($11::text[], $12::text[], $13::text[], $15::bigint[])
                  WITH ORDINALITY AS s (from_status, to_status, cause, sequence, step))
SELECT m.*, now() AS at, EXISTS (SELECT FROM counted) AS counted FROM moved m
"""


class AppliedFact(Struct, frozen=True):
    """The status changes that a fact made, and whether a count grew."""

    changes: tuple[StatusChange, ...]
    counted: bool


async def apply_fact(
    db: Db,
    restock: Restock,
    fact: RestockFact,
    *,
    number: MetricNumber,
    counts: Mapping[str, tuple[int, int]] | None = None,
    refusal: str | None = None,
    delivery: WebhookDelivery | None = None,
) -> AppliedFact | None:
    """Commit the changes that a fact makes of a restock that has not ended, with the totals (received, damaged) by SKU.

    `number` is the last of as many reserved numbers as there are changes, see `steps_of`. `delivery` goes to the
    inbox in the same commit. Returns None if another caller was first, the restock has ended, or the delivery came
    before.
    """
    steps = steps_of(restock.status, fact)
    skus = list(counts or {})
    sequences = range(number.sequence - len(steps) + 1, number.sequence + 1)
    row = await db.row(
        APPLY_FACT,
        restock.order_id,
        restock.status,
        steps[-1].end if steps else restock.status,
        refusal,
        delivery.webhook_id if delivery else None,
        delivery.body_sha256 if delivery else None,
        skus,
        [counts[sku][0] for sku in skus] if counts else [],
        [counts[sku][1] for sku in skus] if counts else [],
        LEASE_S,
        [step.start for step in steps],
        [step.end for step in steps],
        [step.fact for step in steps],
        number.epoch,
        list(sequences),
    )
    if row is None:
        return None
    return AppliedFact(_changes(restock.order_id, steps, row, number, sequences), row["counted"])


MARK_PRICED = """
-- restocks.mark_priced
UPDATE restock_orders
   SET intent = NULL, intent_at = NULL, attempts = 0, attention = NULL,
       due_at = CASE WHEN finished_at IS NULL THEN now() + interval '1 minute' END
 WHERE order_id = $1 AND intent = 'PRICE'
"""


async def mark_priced(db: Db, order_id: UUID) -> bool:
    """Clear the PRICE intent, because pricing has acknowledged; False if another caller was first."""
    return await db.run(MARK_PRICED, order_id) == 1


class RestockEvent(Struct, frozen=True):
    """One status change of a restock."""

    version: int
    from_status: RestockStatus | None
    to_status: RestockStatus
    cause: str
    at: datetime


LIST_EVENTS = """
-- restocks.list_events
SELECT version, from_status, to_status, cause, at FROM restock_history WHERE order_id = $1 ORDER BY version
"""


async def list_events(db: Db, order_id: UUID) -> list[RestockEvent]:
    """Return the restock's history, oldest first."""
    return [
        RestockEvent(
            row["version"],
            RestockStatus(row["from_status"]) if row["from_status"] else None,
            RestockStatus(row["to_status"]),
            row["cause"],
            row["at"],
        )
        for row in await db.rows(LIST_EVENTS, order_id)
    ]


def _changes(
    order_id: UUID, steps: Sequence[Step], row: Row, number: MetricNumber, sequences: range
) -> tuple[StatusChange, ...]:
    first = row["version"] - len(steps) + 1
    return tuple(
        _change(order_id, first + at, step.end, row["at"], row, MetricNumber(number.epoch, sequence))
        for at, (step, sequence) in enumerate(zip(steps, sequences, strict=True))
    )


def _change(
    order_id: UUID, version: int, status: RestockStatus, at: datetime, row: Row, number: MetricNumber
) -> StatusChange:
    return StatusChange(
        order_id, version, status, at, row["created_at"], 0, row["item_count"], row["line_count"], number
    )


def _restock(row: Row) -> Restock:
    goods = map(
        Goods, row["skus"], row["names"], row["aisles"], row["quantities"], row["made"], row["expire"], row["costs"]
    )
    return Restock(
        order_id=row["order_id"],
        user_id=row["user_id"],
        supplier_id=row["supplier_id"],
        supplier_name=row["supplier_name"],
        manifest_no=row["manifest_no"],
        status=RestockStatus(row["status"]),
        version=row["version"],
        lines=tuple(map(RestockLine, goods, row["received"], row["damaged"])),
        created_at=row["created_at"],
        request_sha256=row["request_sha256"],
        intent=RestockIntent(row["intent"]) if row["intent"] else None,
        refusal=row["refusal"],
        accepted_at=row["accepted_at"],
        finished_at=row["finished_at"],
    )
