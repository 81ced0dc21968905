"""The memory database against PostgreSQL: random lists of store operations must return the same and leave the same
tables.

Test functions shadow PostgreSQL's now() and random(), so that both databases use the same values. A list runs in a
transaction that is rolled back. `python -m tests.proofs.simulation.differential --lists 5000` is the long form.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import asyncpg
import msgspec

from autogrocery.kit.pg.db import Db, open_db
from autogrocery.kit.pg.migrate import migrate
from autogrocery.kit.process.log import configure
from autogrocery.lab.postgres.binaries import find_binaries
from autogrocery.lab.postgres.embedded import EmbeddedPostgres
from tests.harness.figures import record
from tests.harness.homes import temporary_home
from tests.proofs.simulation.memory_db import MemoryDb, name_of
from tests.proofs.simulation.operations import USERS, OperationSource
from tests.proofs.simulation.report import print_line
from tests.proofs.simulation.tables import BEGINNING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Iterator

    from autogrocery.kit.pg.batch import BatchStatement
    from autogrocery.kit.pg.db import DbConnection
    from tests.proofs.simulation.operations import Operation
    from tests.proofs.simulation.tables import Row

T = TypeVar("T")
LENGTH = 25
PROGRESS_EVERY = 250
TEST_CLOCK = (
    "CREATE SCHEMA sim",
    "CREATE FUNCTION sim.now() RETURNS timestamptz LANGUAGE sql STABLE RETURN current_setting('sim.now')::timestamptz",
    "CREATE FUNCTION sim.random() RETURNS float8 LANGUAGE sql VOLATILE RETURN current_setting('sim.random')::float8",
    "ALTER TABLE grocery_orders ALTER created_at SET DEFAULT sim.now()",
    "ALTER TABLE order_history ALTER at SET DEFAULT sim.now()",
    "ALTER TABLE metric_epochs ALTER started_at SET DEFAULT sim.now()",
    "ALTER TABLE webhook_inbox ALTER received_at SET DEFAULT sim.now()",
    "ALTER TABLE receipt_outbox ALTER created_at SET DEFAULT sim.now(), ALTER next_attempt_at SET DEFAULT sim.now()",
)
SET_CLOCK = "SELECT set_config('sim.now', $1, true), set_config('sim.random', $2, true)"
ADD_DEVICE = (
    "INSERT INTO smart_devices (id, device_id, password, email) VALUES ($1, $2, '$2b$10$' || repeat('x', 53), $3)"
)
TABLES = {
    "grocery_orders": "order_id",
    "order_lines": "order_id, line_no",
    "short_picks": "order_id, line_no",
    "order_history": "order_id, version",
    "metric_epochs": "epoch",
    "webhook_inbox": "order_id, webhook_id",
    "receipt_outbox": "order_id",
}


class Edited:
    """A database whose statements are edited before they run, to show that the comparison notices."""

    def __init__(self, inner: DbConnection, old: str, new: str) -> None:
        self._inner = inner
        self._old = old
        self._new = new

    async def rows_by_key(self, sql: str, *args: Any) -> Any:
        return await self.rows(sql, *args)

    async def rows(self, sql: str, *args: Any) -> Any:
        return await self._inner.rows(self._edited(sql), *args)

    async def row(self, sql: str, *args: Any) -> Any:
        return await self._inner.row(self._edited(sql), *args)

    async def run(self, sql: str, *args: Any) -> int:
        return await self._inner.run(self._edited(sql), *args)

    async def run_batched(self, many: BatchStatement, point: str, row: Any, *lists: Any) -> Any:
        texts = {name: text for name, text in msgspec.structs.asdict(many).items() if isinstance(text, str)}
        edited = msgspec.structs.replace(many, **{name: self._edited(text) for name, text in texts.items()})
        return await self._inner.run_batched(edited, point, row, *lists)

    def _edited(self, sql: str) -> str:
        return sql.replace(self._old, self._new)


class Comparison:
    """Runs lists on both databases; `ran` counts by statement how often it returned rows and how often none."""

    def __init__(self, edit: tuple[str, str] | None = None) -> None:
        self.edit = edit
        self.ran: Counter[tuple[str, bool]] = Counter()
        self.refused: Counter[str] = Counter()

    async def prepare(self, db: Db) -> None:
        """Install the test clock in front of PostgreSQL's, and add the devices."""
        for statement in TEST_CLOCK:
            await db.rows(statement)
        for number in USERS:
            await db.rows(ADD_DEVICE, number, f"device-{number}", _email(number))

    async def differ(self, connection: DbConnection, seed: int, length: int = LENGTH) -> str | None:
        """Run the list of a seed on both; returns the list up to the first difference, or None."""
        memory = self._memory()
        real = Edited(connection, *(self.edit or ("", "")))
        draw, log = OperationSource(seed, BEGINNING), []
        await connection.rows("SET search_path = sim, pg_catalog, public")
        await connection.rows("BEGIN")
        try:
            for _ in range(length):
                operation = draw.next()
                log.append(str(operation))
                mine = await self._in_memory(memory, operation)
                theirs = await self._for_real(connection, real, operation, refused=mine[0] == "refused")
                if mine != theirs:
                    return "\n".join([f"list {seed}:", *log, f"memory:     {mine}", f"PostgreSQL: {theirs}"])
            return await self._tables_differ(connection, memory, seed)
        finally:
            with suppress(asyncpg.PostgresError):
                await connection.rows("ROLLBACK")

    def _memory(self) -> MemoryDb:
        memory = MemoryDb(lambda: 0.0)
        memory.tables.devices.update({number: _email(number) for number in USERS})
        return memory

    async def _in_memory(self, memory: MemoryDb, operation: Operation) -> tuple[str, Any]:
        memory.now = operation.at
        memory.random = lambda: operation.chance
        return await self._outcome(operation.call(Counted(memory, self.ran)))

    async def _for_real(
        self, connection: DbConnection, real: Any, operation: Operation, *, refused: bool
    ) -> tuple[str, Any]:
        await connection.rows(SET_CLOCK, operation.at.isoformat(), str(operation.chance))
        if not refused:
            return await self._outcome(operation.call(real))
        await connection.rows("SAVEPOINT before")
        outcome = await self._outcome(operation.call(real))
        if outcome[0] == "refused":
            await connection.rows("ROLLBACK TO before")
        return outcome

    async def _outcome(self, call: Awaitable[Any]) -> tuple[str, Any]:
        try:
            return "answer", msgspec.to_builtins(await call)
        except asyncpg.PostgresError as error:
            self.refused[type(error).__name__] += 1
            return "refused", type(error).__name__

    async def _tables_differ(self, connection: DbConnection, memory: MemoryDb, seed: int) -> str | None:
        for table, key in TABLES.items():
            theirs = [_plain(dict(row)) for row in await connection.rows(f"SELECT * FROM {table} ORDER BY {key}")]
            mine = [_plain(row) for row in _rows(memory, table)]
            if mine != theirs:
                pairs = [(one, two) for one, two in zip(mine, theirs, strict=False) if one != two]
                return f"list {seed}: {table} has {len(mine)} and {len(theirs)} rows; first difference {pairs[:1]}"
        return None


class Counted:
    """The memory database, counting its statements."""

    def __init__(self, memory: MemoryDb, ran: Counter[tuple[str, bool]]) -> None:
        self._memory = memory
        self._ran = ran

    async def rows_by_key(self, sql: str, *args: Any) -> Any:
        return await self.rows(sql, *args)

    async def rows(self, sql: str, *args: Any) -> list[Row]:
        found = await self._memory.rows(sql, *args)
        self._ran[name_of(sql), bool(found)] += 1
        return found

    async def run_batched(self, many: BatchStatement, point: str, row: Any, *lists: Any) -> list[Row]:
        found = await self._memory.run_batched(many, point, row, *lists)
        self._ran[point, bool(found)] += 1
        return found

    async def row(self, sql: str, *args: Any) -> Row | None:
        found = await self.rows(sql, *args)
        return found[0] if found else None

    async def run(self, sql: str, *args: Any) -> int:
        return len(await self.rows(sql, *args))


def _email(number: int) -> str | None:
    return f"d{number}@example.org" if number == USERS[0] else None


def _rows(memory: MemoryDb, table: str) -> list[Row]:
    """Return a table's rows in the order of its key."""
    tables = memory.tables
    by_table: dict[str, Iterable[Row]] = {
        "grocery_orders": _by_key(tables.orders),
        "order_lines": (line for lines in _by_key(tables.lines) for line in lines),
        "short_picks": (
            {"order_id": of, "line_no": line_no, "picked": n} for (of, line_no), n in sorted(tables.short_picks.items())
        ),
        "order_history": (row for steps in _by_key(tables.history) for row in _by_key(steps)),
        "metric_epochs": ({"epoch": epoch, "started_at": at} for epoch, at in sorted(tables.epochs.items())),
        "webhook_inbox": _by_key(tables.inbox),
        "receipt_outbox": _by_key(tables.receipts),
    }
    return list(by_table[table])


def _by_key(table: dict[Any, T]) -> Iterator[T]:
    return (table[key] for key in sorted(table))


def _plain(row: Row) -> Row:
    """Return a row with comparable values: ids as numbers, robots decoded."""
    plain = {name: value.int if isinstance(value, UUID) else value for name, value in sorted(row.items())}
    if robots := row.get("robots"):
        plain["robots"] = msgspec.json.decode(robots)
    return plain


async def compare(db: Db, seeds: range, comparison: Comparison, *, show_progress: bool = False) -> str | None:
    """Run the lists of all seeds; returns the first difference."""
    started = time.perf_counter()
    async with db.connection() as connection:
        for count, seed in enumerate(seeds, 1):
            if difference := await comparison.differ(connection, seed):
                return difference
            if show_progress and count % PROGRESS_EVERY == 0:
                print_line(f"{count} of {len(seeds)} lists, no difference, {time.perf_counter() - started:.0f} s")
    return None


async def _long_run(dsn: str, seeds: range) -> int:
    await migrate(dsn, "autogrocery.gateway.store.migrations", "public")
    comparison = Comparison()
    async with open_db(dsn, application="differential") as db:
        await comparison.prepare(db)
        difference = await compare(db, seeds, comparison, show_progress=True)
    for (name, found), count in sorted(comparison.ran.items()):
        print_line(f"{count:>8}  {name} {'found rows' if found else 'found none'}")
    print_line(f"refusals: {dict(comparison.refused)}")
    record(lists=len(seeds), operations=sum(comparison.ran.values()), differences=int(bool(difference)))
    print_line(difference or f"{len(seeds)} lists of {LENGTH} operations: no difference")
    return int(bool(difference))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.simulation.differential", description=__doc__)
    parser.add_argument("--lists", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    args = parser.parse_args()
    configure("differential", logging.CRITICAL)  # buried receipts are intended here
    with temporary_home() as home:
        server = EmbeddedPostgres(home, find_binaries(os.environ))
        server.start()
        try:
            return asyncio.run(_long_run(server.dsn(), range(args.first, args.first + args.lists)))
        finally:
            server.stop()


if __name__ == "__main__":
    sys.exit(main())
