"""The outbox relay: rows written in the transaction of a change are delivered after it, each at least once.

An outbox table has key columns, `attempts int`, `next_attempt_at timestamptz`, `done_at timestamptz`, `dead_at
timestamptz`, `last_error text` and, if deliveries are given up by age, `created_at timestamptz`. Rows are claimed by a
lease (next_attempt_at is moved on) with SKIP LOCKED and never by "id > last", which would skip a row for ever if its
transaction commits late.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from prometheus_client import Counter

from autogrocery.kit.backoff import equal_jitter_s
from autogrocery.kit.errors import InDoubt, Refused, Unavailable
from autogrocery.kit.pg.batch import BatchStatement
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from autogrocery.kit.pg.db import Db, Row

LEASE_S = 30.0
BATCH = 64
AT_ONCE = 8
FIRST_BACKOFF_S = 0.5
DELIVERIES = Counter("outbox_deliveries", "Attempts at rows of an outbox, by what came of them", ["outbox", "result"])


class NotBefore(Unavailable):
    """Retry, but not earlier than `retry_after_s` seconds from now: the receiver or the quiet hours ask for it."""


class Outbox:
    """One outbox table and the function that delivers a row of it."""

    def __init__(
        self,
        db: Db,
        table: str,
        key: Sequence[str],
        deliver: Callable[[Row], Awaitable[str | None]],
        *,
        cap_s: float = 60.0,
        give_up_after_s: float | None = None,
        batch: int = BATCH,
        at_once: int = AT_ONCE,
        types: Sequence[str] = ("uuid",),
        lease_s: float = LEASE_S,
    ) -> None:
        """Deliver the rows of `table`, whose primary key is the columns `key` of the SQL types `types`.

        `deliver` returns None, or the reason why there was nothing to deliver, which is kept in `last_error`. It raises
        Refused to give up, Unavailable or InDoubt to retry, NotBefore to retry not earlier than at a time. Retries wait
        from half a second up to `cap_s` seconds, and end when the row is `give_up_after_s` seconds old (None: never).

        `relay` claims up to `batch` rows and delivers `at_once` of them concurrently; rows delivered at the same time
        are marked done in one statement. If the process dies, its rows are claimed again after `lease_s` seconds, which
        must be longer than the delivery of one batch.
        """
        self._db = db
        self._deliver = deliver
        self._key = tuple(key)
        self._cap_s = cap_s
        self._batch = batch
        self._at_once = at_once
        self._lease_s = lease_s
        self._give_up_after_s = give_up_after_s
        match = " AND ".join(f"o.{name} = due.{name}" for name in self._key)
        name = table.rpartition(".")[2]
        self._claim = f"""
        -- {name}.claim
        WITH due AS (
          SELECT {", ".join(self._key)} FROM {table}
           WHERE done_at IS NULL AND dead_at IS NULL AND next_attempt_at <= now()
           ORDER BY next_attempt_at LIMIT $1 FOR UPDATE SKIP LOCKED)
        UPDATE {table} o SET next_attempt_at = now() + $2 * interval '1 second', attempts = o.attempts + 1
          FROM due WHERE {match} RETURNING o.*
        """  # noqa: S608 - table and columns are ours
        where = " AND ".join(f"{name} = ${i}" for i, name in enumerate(self._key, start=1))
        after = len(self._key)
        self._name = name
        self._settled_at = f"{name}.settle"
        self._settle = BatchStatement(
            _settle(table, name, dict(zip(self._key, types, strict=True))), (len(self._key) + 1,)
        )
        self._bury = (
            f"-- {name}.bury\nUPDATE {table} SET dead_at = now(), last_error = ${after + 1} WHERE {where}"
            f" AND attempts = ${after + 2}"
        )
        self._defer = (
            f"-- {name}.defer\nUPDATE {table} SET next_attempt_at = now() + ${after + 2} * interval '1 second',"
            f" last_error = ${after + 1} WHERE {where} AND done_at IS NULL"
        )

    async def relay(self) -> bool:
        """Deliver one batch of due rows; returns True if there may be more."""
        due = await self._db.rows(self._claim, self._batch, self._lease_s)
        room = asyncio.Semaphore(self._at_once)

        async def one(row: Row) -> None:
            async with room:
                await self._attempt(row)

        await asyncio.gather(*(one(row) for row in due))
        return len(due) == self._batch

    async def _attempt(self, row: Row) -> None:
        key = [row[name] for name in self._key]
        try:
            needless = await self._deliver(row)
        except Refused as refusal:
            await self._give_up(row, refusal.code)
        except (Unavailable, InDoubt) as trouble:
            if self._give_up_after_s is not None and await self._too_old(row):
                await self._give_up(row, "gave_up")
                return
            backoff_s = equal_jitter_s(row["attempts"], FIRST_BACKOFF_S, self._cap_s)
            if isinstance(trouble, NotBefore):
                backoff_s += trouble.retry_after_s
            self._count("deferred")
            await self._db.run(self._defer, *key, str(trouble), backoff_s)
        else:
            self._count("needless" if needless else "delivered")
            await self._db.run_batched(self._settle, self._settled_at, (*key, needless))

    async def _give_up(self, row: Row, code: str) -> None:
        """Make a row dead, unless it was claimed or made due again since this attempt began."""
        key = [row[name] for name in self._key]
        if not await self._db.run(self._bury, *key, code, row["attempts"]):
            self._count("deferred")
            return
        self._count("buried")
        log.error("delivery_dead_lettered", outbox=self._name, key=[str(part) for part in key], code=code)

    def _count(self, result: str) -> None:
        DELIVERIES.labels(self._name, result).inc()

    async def _too_old(self, row: Row) -> bool:
        found = await self._db.row(
            "-- outbox.age\nSELECT extract(epoch FROM now() - $1::timestamptz) AS age_s", row["created_at"]
        )
        return found is not None and found["age_s"] > (self._give_up_after_s or 0)


def _settle(table: str, name: str, types: Mapping[str, str]) -> str:
    """Return the statement that marks many rows done; it locks them in the order of their keys, against deadlocks."""
    columns = ", ".join([*types, "note"])
    arrays = ", ".join(f"${i}::{column_type}[]" for i, column_type in enumerate([*types.values(), "text"], start=1))
    match = " AND ".join(f"o.{column} = d.{column}" for column in types)
    return f"""
    -- {name}.settled
    WITH delivered AS MATERIALIZED (
      SELECT {", ".join(f"o.{column}" for column in types)}, d.note
        FROM unnest({arrays}) AS d ({columns}) JOIN {table} o ON {match}
       ORDER BY {", ".join(f"o.{column}" for column in types)} FOR NO KEY UPDATE OF o)
    UPDATE {table} o SET done_at = now(), last_error = d.note
      FROM delivered d WHERE {match} RETURNING o.{next(iter(types))}
    """  # noqa: S608 - table and columns are ours
