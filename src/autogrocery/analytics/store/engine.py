"""What both engines have in common: statements one after the other in one thread, rows as JSON lines."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from autogrocery.kit.errors import Unavailable
from autogrocery.kit.process import faults

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from msgspec import Struct

T = TypeVar("T")
MAX_REASON_CHARACTERS: Final = 300
CODE: Final = re.compile(r"Code: (\d+)", re.IGNORECASE)
DAMAGED: Final = frozenset({33, 40, 99, 226, 228, 246, 271})  # codes of what a damaged file makes of a read
PLACE: Final = re.compile(r"\{(\w+)\}")
ENCODER: Final = msgspec.json.Encoder()


class StoreDamaged(Unavailable):
    """A part of a table can't be read: it is damaged."""


class Engine:
    """Runs statements of ClickHouse's SQL, one at a time, in a thread of its own: the event loop stays free.

    Every method raises Unavailable if the engine refuses or does not answer; the statement may have had its effect.
    A statement's first line is `-- point`, its fault point.
    """

    repairs = False  # whether damaged parts are this process's to set aside: a cluster has replicas and an operator

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")

    async def run(self, sql: str, **values: object) -> None:
        """Run a statement, with `{name}` replaced by `values`."""
        await self._through(sql, lambda: self.execute(filled(sql, values)))

    async def rows(self, sql: str, shape: type[T], **values: object) -> list[T]:
        """Run a query and return its rows, decoded as `shape`."""
        body = await self._through(sql, lambda: self.query(filled(sql, values)))
        decoder = msgspec.json.Decoder(shape, strict=False)  # servers may quote 64-bit integers
        return decoder.decode_lines(body)

    async def insert(self, sql: str, rows: Sequence[Struct]) -> None:
        """Insert rows whose fields are columns of the table; `sql` is INSERT INTO … without a format."""
        if rows:
            await self._through(sql, lambda: self.execute_insert(sql, ENCODER.encode_lines(rows)))

    def execute(self, sql: str) -> None:
        """Run a statement in this thread."""
        raise NotImplementedError

    def query(self, sql: str) -> bytes:
        """Run a query in this thread; return its rows as JSON lines."""
        raise NotImplementedError

    def execute_insert(self, sql: str, lines: bytes) -> None:
        """Insert JSON lines, in this thread."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close the engine once the running statement has ended."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self.disconnect)
        self._thread.shutdown(wait=False)

    def disconnect(self) -> None:
        """Give back what the thread holds."""
        raise NotImplementedError

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Run `call` in the engine's thread, after what it is doing."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def _through(self, sql: str, call: Callable[[], T]) -> T:
        point = sql.split("\n", 2)[1].removeprefix("-- ")
        return await faults.through(point, lambda: self.in_thread(call))


def quoted(text: str) -> str:
    """Return `text` as a literal of ClickHouse's SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def filled(sql: str, values: dict[str, object]) -> str:
    """Return `sql` with `{name}` replaced by `values`, once: what is filled in is not looked at again."""
    return PLACE.sub(lambda found: str(values[found[1]]), sql) if values else sql


def translated(error: Exception) -> Unavailable:
    """Return an engine's error as Unavailable, or as StoreDamaged, in one line for the log."""
    found = CODE.search(str(error))
    kind = StoreDamaged if found and int(found[1]) in DAMAGED else Unavailable
    reason = " ".join(str(error).split())[:MAX_REASON_CHARACTERS]
    return kind("store_unavailable", f"the store refused a statement: {reason}")
