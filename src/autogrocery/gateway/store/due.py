"""What the clock owes: orders whose `due_at` has come, claimed with SKIP LOCKED.

The claim moves `due_at` on, which is a lease: it saves two gateways the same work and carries no safety. Back-off
(PROTOCOL §2): full jitter under min(5 s, 0.25 s * 2^attempts), after ten minutes under 60 s; the RPC deadline comes on top.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autogrocery.kit.pg.db import Db, Row

BATCH = 64
LEASE_S = 2.5  # a call's deadline and a little
ATTENTION_AFTER = 10  # attempts

CLAIM = """
-- {point}
WITH due AS (
  SELECT order_id FROM {table} WHERE due_at <= now() AND {condition}
   ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED)
UPDATE {table} o
   SET attempts = o.attempts + 1, due_at = now() + interval '1 second' * ($2::float8 + {backoff}){also}
  FROM due WHERE o.order_id = due.order_id
RETURNING o.order_id, extract(epoch FROM now() - coalesce(o.intent_at, now()))::float8 AS owed_s
"""
BACKOFF = (
    "random() * least(CASE WHEN o.intent_at < now() - interval '10 minutes' THEN 60 ELSE 5 END,"
    " 0.25 * 2 ^ least(o.attempts, 10))"
)
SILENT_BACKOFF = "$3::float8 * (0.8 + 0.4 * random())"


def attention(why: str) -> str:
    """Return what asks for a person's attention once a call was tried ATTENTION_AFTER times."""
    return f", attention = CASE WHEN o.attempts + 1 >= {ATTENTION_AFTER} THEN '{why}' END"


CLAIM_OWED = CLAIM.format(
    point="due.claim_owed",
    table="grocery_orders",
    condition="intent IS NOT NULL",
    backoff=BACKOFF,
    also=attention("inventory gives no clear answer"),
)
CLAIM_EXPIRED = CLAIM.format(
    point="due.claim_expired",
    table="grocery_orders",
    condition="status = 'PREVIEWED' AND intent IS NULL AND expires_at <= now()",
    backoff="random()",
    also="",
)
CLAIM_SILENT = CLAIM.format(
    point="due.claim_silent",
    table="grocery_orders",
    condition="status = 'PROCESSING' AND intent IS NULL",
    backoff=SILENT_BACKOFF,
    also="",
)


class Due(Struct, frozen=True):
    """An order to look at, and for how many seconds its intent has been owed."""

    order_id: UUID
    owed_s: float


async def claim_owed(db: Db) -> list[Due]:
    """Claim orders that owe inventory a call."""
    return found_due(await db.rows(CLAIM_OWED, BATCH, LEASE_S))


async def claim_expired(db: Db) -> list[Due]:
    """Claim idle quotes whose time is over."""
    return found_due(await db.rows(CLAIM_EXPIRED, BATCH, LEASE_S))


async def claim_silent(db: Db, again_after_s: float) -> list[Due]:
    """Claim orders that robots have had for longer than they should; looked at again after `again_after_s` ± 20 %."""
    return found_due(await db.rows(CLAIM_SILENT, BATCH, LEASE_S, again_after_s))


def found_due(rows: Sequence[Row]) -> list[Due]:
    """Return what a claim has found."""
    return [Due(UUID(int=row["order_id"].int), row["owed_s"]) for row in rows]


HASTEN = """
-- {point}
UPDATE {table} SET due_at = now() + random() * interval '1 second'
 WHERE due_at > now() + interval '1 second' AND intent IS NOT NULL
"""
HASTEN_ORDERS = HASTEN.format(point="due.hasten", table="grocery_orders")


async def hasten(db: Db) -> int:
    """Inventory is back: make all it is owed due, spread over a second. Returns how many orders that is."""
    return await db.run(HASTEN_ORDERS)


FLAG = """
-- {point}
UPDATE {table} SET attention = $2 WHERE order_id = $1 AND finished_at IS NULL
"""
FLAG_ORDER = FLAG.format(point="due.flag", table="grocery_orders")


async def flag(db: Db, order_id: UUID, why: str) -> None:
    """Ask for a person's attention; the order itself stays as it is."""
    await db.run(FLAG_ORDER, order_id, why)


COUNT = """
-- due.count
SELECT count(*) FILTER (WHERE intent IS NOT NULL) AS owed, count(*) FILTER (WHERE attention IS NOT NULL) AS attention,
       count(*) FILTER (WHERE status = 'PREVIEWED') AS previewed, count(*) FILTER (WHERE status = 'PROCESSING') AS processing
  FROM grocery_orders WHERE due_at IS NOT NULL
"""


async def count(db: Db) -> dict[str, int]:
    """Return how many living orders there are, by what they wait for."""
    row = await db.row(COUNT)
    return dict(row.items()) if row else {}
