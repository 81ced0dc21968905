"""The outbox relay: rows written in the transaction of a change are delivered after it, each at least once.

An outbox table has key columns, `created_at timestamptz`, `attempts int`, `next_attempt_at timestamptz`, `done_at
timestamptz`, `dead_at timestamptz` and `last_error text`. Rows are claimed by a lease (next_attempt_at is moved on)
with SKIP LOCKED and never by "id > last", which would skip a row for ever if its transaction commits late.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct
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
SETTLE_WITHIN_S = 1.0  # of a slow batch, what has ended is settled so often
DELIVERIES = Counter("outbox_deliveries", "Attempts at rows of an outbox, by what came of them", ["outbox", "result"])
READ_CLAIMED = "SELECT * FROM claimed"


class NotBefore(Unavailable):
    """Retry, but not earlier than `retry_after_s` seconds from now: the receiver or the quiet hours ask for it."""


class Attempt(Struct, frozen=True):
    """What came of a row: `result` is delivered, needless, deferred for `wait_s` seconds, or buried."""

    key: tuple[object, ...]
    result: str
    note: str | None
    wait_s: float
    attempts: int


class Outbox:
    """One outbox table and the function that delivers a row of it."""

    def __init__(
        self,
        db: Db,
        table: str,
        key: Sequence[str],
        deliver: Callable[[Row], Awaitable[str | None]],
        *,
        read: str = READ_CLAIMED,
        cap_s: float = 60.0,
        give_up_after_s: float | None = None,
        batch: int = BATCH,
        at_once: int = AT_ONCE,
        types: Sequence[str] = ("uuid",),
        lease_s: float = LEASE_S,
        begin_within_s: float | None = None,
    ) -> None:
        """Deliver the rows of `table`, whose primary key is the columns `key` of the SQL types `types`.

        `read` is a SELECT from `claimed`, the claimed rows: it may add what their delivery needs from other tables. It
        returns one row for each, with at least the key, `attempts` and `age_s`, the row's age in seconds.

        `deliver` returns None, or the reason why there was nothing to deliver, which is kept in `last_error`. It raises
        Refused to give up, Unavailable or InDoubt to retry, NotBefore to retry not earlier than at a time. Retries wait
        from half a second up to `cap_s` seconds, and end when the row is `give_up_after_s` seconds old (None: never).

        `relay` claims and reads up to `batch` rows in one statement, delivers `at_once` of them concurrently, and
        settles them in one. If the process dies, its rows are claimed again after `lease_s` seconds, which must be
        longer than the delivery of one row; a row whose delivery has not begun `begin_within_s` seconds after its claim
        (None: `lease_s`) is given back.
        """
        self._db = db
        self._deliver = deliver
        self._key = tuple(key)
        self._cap_s = cap_s
        self._batch = batch
        self._at_once = at_once
        self._lease_s = lease_s
        self._begin_within_s = lease_s if begin_within_s is None else begin_within_s
        self._give_up_after_s = give_up_after_s
        self._name = table.rpartition(".")[2]
        self._claim = _claim(self._name, table, self._key, read)
        self.settle = BatchStatement(
            _settle(self._name, table, dict(zip(self._key, types, strict=True))), (len(self._key) + 4,)
        )
        self._ended: list[Attempt] = []  # and not yet settled

    async def relay(self) -> int:
        """Deliver one batch of due rows; returns how many were claimed: `batch` if there may be more.

        What an earlier call delivered and could not settle is settled first. Raises Unavailable.
        """
        await self._settle_ended()
        due = await self._db.rows_by_key(self._claim, self._batch, self._lease_s)
        begin_until = time.monotonic() + self._begin_within_s
        room = asyncio.Semaphore(self._at_once)

        async def one(row: Row) -> Attempt:
            async with room:
                if time.monotonic() > begin_until:
                    return self._attempt(row, "deferred", "not_begun")
                return await self._try(row)

        tasks = [asyncio.ensure_future(one(row)) for row in due]
        pending = set(tasks)
        try:
            while pending:
                ended, pending = await asyncio.wait(pending, timeout=SETTLE_WITHIN_S)
                self._ended += [task.result() for task in tasks if task in ended]  # in the order of their claim
                try:
                    await self._settle_ended()
                except Unavailable:
                    if not pending:
                        raise
        except asyncio.CancelledError:
            await self._stop(pending)
            raise
        return len(due)

    async def _try(self, row: Row) -> Attempt:
        try:
            needless = await self._deliver(row)
        except Refused as refusal:
            return self._attempt(row, "buried", refusal.code)
        except (Unavailable, InDoubt) as trouble:
            return self._failed(row, str(trouble), trouble.retry_after_s if isinstance(trouble, NotBefore) else 0.0)
        except Exception:  # noqa: BLE001 - a bug with one row must not keep the others
            log.exception("delivery_failed", outbox=self._name, key=self._printed(row))
            return self._failed(row, "internal_error", 0.0)
        return self._attempt(row, "needless" if needless else "delivered", needless)

    def _failed(self, row: Row, why: str, not_before_s: float) -> Attempt:
        if self._give_up_after_s is not None and row["age_s"] > self._give_up_after_s:
            return self._attempt(row, "buried", "gave_up")
        wait_s = equal_jitter_s(row["attempts"], FIRST_BACKOFF_S, self._cap_s) + not_before_s
        return self._attempt(row, "deferred", why, wait_s)

    def _attempt(self, row: Row, result: str, note: str | None, wait_s: float = 0.0) -> Attempt:
        return Attempt(tuple(row[name] for name in self._key), result, note, wait_s, row["attempts"])

    async def _settle_ended(self) -> None:
        """Write what came of the attempts that have ended, in one statement; raises Unavailable, and keeps them."""
        if not self._ended:
            return
        items = [((*one.key, one.result, one.note, one.wait_s, one.attempts),) for one in self._ended]
        rows = await self._db.rows_by_key(self.settle.sql, *self.settle.columns(items))
        written = {tuple(row[name] for name in self._key) for row in rows}
        for one in self._ended:
            known = one.key in written
            self._count("deferred" if one.result == "buried" and not known else one.result)
            if one.result == "buried" and known:
                log.error(
                    "delivery_dead_lettered", outbox=self._name, key=[str(part) for part in one.key], code=one.note
                )
        self._ended = []

    async def _stop(self, pending: set[asyncio.Task[Attempt]]) -> None:
        """Cancel what is under way, and settle what has ended."""
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)
        self._ended += [task.result() for task in pending if not task.cancelled() and task.exception() is None]
        with suppress(Unavailable):
            await self._settle_ended()

    def _count(self, result: str) -> None:
        DELIVERIES.labels(self._name, result).inc()

    def _printed(self, row: Row) -> list[str]:
        return [str(row[name]) for name in self._key]


def _claim(name: str, table: str, key: Sequence[str], read: str) -> str:
    """Return the statement that leases due rows and reads them."""
    match = " AND ".join(f"o.{column} = due.{column}" for column in key)
    return f"""
    -- {name}.claim
    WITH due AS MATERIALIZED (
      SELECT {", ".join(key)} FROM {table}
       WHERE done_at IS NULL AND dead_at IS NULL AND next_attempt_at <= now()
       ORDER BY next_attempt_at LIMIT $1 FOR UPDATE SKIP LOCKED),
    claimed AS (
      UPDATE {table} o SET next_attempt_at = now() + $2 * interval '1 second', attempts = o.attempts + 1
        FROM due WHERE {match} RETURNING o.*, extract(epoch FROM now() - o.created_at)::float8 AS age_s)
    {read}
    """  # noqa: S608 - table and columns are ours


def _settle(name: str, table: str, types: Mapping[str, str]) -> str:
    """Return the statement that writes what came of many rows; it locks them in the order of their keys.

    What was delivered is done, even if another process has claimed the row since. Any other result counts only if the
    row was neither claimed nor made due again since this attempt began.
    """
    given = {**types, "result": "text", "note": "text", "wait_s": "float8", "attempts": "int"}
    arrays = ", ".join(f"${i}::{column_type}[]" for i, column_type in enumerate(given.values(), start=1))
    keys = ", ".join(f"o.{column}" for column in types)
    match = " AND ".join(f"o.{column} = e.{column}" for column in types)
    return f"""
    -- {name}.settle
    WITH ended AS MATERIALIZED (
      SELECT {keys}, e.result, e.note, e.wait_s
        FROM unnest({arrays}) AS e ({", ".join(given)}) JOIN {table} o ON {match}
       WHERE e.result IN ('delivered', 'needless') OR (o.attempts = e.attempts AND o.done_at IS NULL)
       ORDER BY {keys} FOR NO KEY UPDATE OF o)
    UPDATE {table} o
       SET done_at = CASE WHEN e.result IN ('delivered', 'needless') THEN now() ELSE o.done_at END,
           dead_at = CASE WHEN e.result = 'buried' THEN now() ELSE o.dead_at END,
           next_attempt_at = CASE WHEN e.result = 'deferred' THEN now() + e.wait_s * interval '1 second'
                                  ELSE o.next_attempt_at END,
           last_error = e.note
      FROM ended e WHERE {match} RETURNING {keys}
    """  # noqa: S608 - table and columns are ours
