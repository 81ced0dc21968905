"""Orders whose `due_at` has passed: the loops claim them with SKIP LOCKED.

The claim moves `due_at` on, which is a lease: it saves two gateways the same work, and correctness does not depend on
it. Back-off (docs/PROTOCOL.md#loops): full jitter below min(5 s, 0.25 s * 2^attempts), after ten minutes below 60 s,
added to the lease.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.core.order import Due
from autogrocery.gateway.store.template import fill

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from autogrocery.kit.pg.db import Db, Row

BATCH = 64  # rows of one claim
LEASE_S = 2.5  # longer than a call's deadline of 2 s
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


NO_CLEAR_ANSWER = "inventory gives no clear answer"


def attention(why: str) -> str:
    """Return the SET clause that flags a row for an operator once its call was tried ATTENTION_AFTER times."""
    return f", attention = CASE WHEN o.attempts + 1 >= {ATTENTION_AFTER} THEN '{why}' END"


def attention_to_silence(why: str) -> str:
    """Return the same clause for a row that may be flagged for another reason already, which stays."""
    return (
        f", attention = CASE WHEN o.attempts + 1 >= {ATTENTION_AFTER} THEN coalesce(o.attention, '{why}')"
        " ELSE o.attention END"
    )


CLAIM_OWED = fill(
    CLAIM,
    point="due.claim_owed",
    table="grocery_orders",
    condition="intent IS NOT NULL",
    backoff=BACKOFF,
    also=attention(NO_CLEAR_ANSWER),
)
CLAIM_EXPIRED = fill(
    CLAIM,
    point="due.claim_expired",
    table="grocery_orders",
    condition="status = 'PREVIEWED' AND intent IS NULL AND expires_at <= now()",
    backoff="random()",
    also="",
)
CLAIM_SILENT = fill(
    CLAIM,
    point="due.claim_silent",
    table="grocery_orders",
    condition="status = 'PROCESSING' AND intent IS NULL",
    backoff=SILENT_BACKOFF,
    also=attention_to_silence(NO_CLEAR_ANSWER),
)


async def claim_owed(db: Db) -> list[Due]:
    """Claim orders that owe inventory a call."""
    return found_due(await db.rows(CLAIM_OWED, BATCH, LEASE_S))


async def claim_expired(db: Db) -> list[Due]:
    """Claim PREVIEWED orders without an intent whose `expires_at` has passed."""
    return found_due(await db.rows(CLAIM_EXPIRED, BATCH, LEASE_S))


async def claim_silent(db: Db, again_after_s: float) -> list[Due]:
    """Claim PROCESSING orders without news for too long; each is due again after `again_after_s` ± 20 %.

    `note_answer` starts the count of tries anew; after ATTENTION_AFTER tries without it an order is flagged.
    """
    return found_due(await db.rows(CLAIM_SILENT, BATCH, LEASE_S, again_after_s))


def found_due(rows: Sequence[Row]) -> list[Due]:
    """Return the rows of a claim as Due."""
    return [Due(row["order_id"], row["owed_s"]) for row in rows]


HASTEN = """
-- {point}
UPDATE {table} SET due_at = now() + random() * interval '1 second'
 WHERE due_at > now() + interval '1 second' AND intent IS NOT NULL
"""
HASTEN_ORDERS = fill(HASTEN, point="due.hasten", table="grocery_orders")


async def hasten(db: Db) -> int:
    """Make every owed call due within a second, because inventory answers again. Returns how many orders that is."""
    return await db.run(HASTEN_ORDERS)


FLAG = """
-- {point}
UPDATE {table} SET attention = $2 WHERE order_id = $1 AND finished_at IS NULL
"""
FLAG_ORDER = fill(FLAG, point="due.flag", table="grocery_orders")


async def flag(db: Db, order_id: UUID, why: str) -> None:
    """Flag the order for an operator; its status and intent stay as they are."""
    await db.run(FLAG_ORDER, order_id, why)


NOTE_ANSWER = """
-- {point}
UPDATE {table} SET attempts = 0, attention = nullif(attention, $2)
 WHERE order_id = $1 AND intent IS NULL AND finished_at IS NULL
"""
NOTE_ORDER_ANSWER = fill(NOTE_ANSWER, point="due.note_answer", table="grocery_orders")


async def note_answer(db: Db, order_id: UUID) -> None:
    """Note that inventory has answered clearly about an order that goes on: the count of tries starts anew."""
    await db.run(NOTE_ORDER_ANSWER, order_id, NO_CLEAR_ANSWER)


COUNT = """
-- due.count
SELECT count(*) FILTER (WHERE intent IS NOT NULL) AS owed, count(*) FILTER (WHERE attention IS NOT NULL) AS attention,
       count(*) FILTER (WHERE status = 'PREVIEWED') AS previewed,
       count(*) FILTER (WHERE status = 'PROCESSING') AS processing
  FROM grocery_orders WHERE due_at IS NOT NULL
"""


async def count(db: Db) -> dict[str, int]:
    """Return the number of orders that are not terminal, by what they wait for."""
    row = await db.row(COUNT)
    return dict(row.items()) if row else {}
