"""ClickHouse's engine in this process (chdb): its tables are files below a directory that one process may open."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from autogrocery.analytics.store.engine import Engine, translated
from autogrocery.kit.process.lock_file import exclusive_lock
from autogrocery.kit.process.run import StartError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

LINES: Final = "JSONEachRow"
SETTINGS: Final = (
    "async_insert = 0, max_threads = 2, max_insert_threads = 1, max_memory_usage = 2000000000,"
    " max_bytes_before_external_group_by = 500000000, max_partitions_per_insert_block = 0"
)


class Embedded(Engine):
    """An open directory."""

    repairs = True

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory
        self._session: Any = None

    def connect(self) -> None:
        """Open the directory, in the engine's thread. Raises StartError."""
        try:
            self._session = _load(self._directory)
            self._session.query("CREATE DATABASE IF NOT EXISTS analytics")
            self._session.query("USE analytics")
            self._session.query(f"SET {SETTINGS}")
        except RuntimeError as error:
            raise StartError(f"the store in {self._directory} can't be opened: {translated(error).detail}") from None

    def execute(self, sql: str) -> None:
        """Run a statement in this thread."""
        self.query(sql)

    def query(self, sql: str) -> bytes:
        """Run a query in this thread; return its rows as JSON lines."""
        return self.query_as(sql, LINES)

    def query_as(self, sql: str, output_format: str) -> bytes:
        """Run a query in this thread; return its result in one of ClickHouse's formats."""
        try:
            result = self._session.query(sql, output_format)
        except RuntimeError as error:
            raise translated(error) from None
        return bytes(result.bytes() or b"") if result is not None else b""

    def execute_insert(self, sql: str, lines: bytes) -> None:
        """Insert JSON lines, in this thread."""
        self.execute(f"{sql} FORMAT {LINES}\n{lines.decode()}")

    def disconnect(self) -> None:
        """Close the directory."""
        if self._session is not None:
            self._session.close()


def _load(directory: Path) -> Any:
    """Return a session of the library, 51 MB that only this engine loads; raises RuntimeError.

    The library asks at once for the current folder, which may be gone, and for the time zone, which may be none: it
    gets the store's folder, and UTC, in which all times of its tables are.
    """
    try:
        Path.cwd()
    except FileNotFoundError:
        os.chdir(directory.parent)
    zone = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    try:
        from chdb.session import Session  # noqa: PLC0415

        return Session(str(directory))  # type: ignore[no-untyped-call]
    finally:
        if zone is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = zone


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Create `directory` if it is missing, and hold it. Raises LockHeldError while another process has it."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with exclusive_lock(directory / "lock"):
        yield


def is_installed() -> bool:
    """Return whether the extra `analytics` is installed."""
    return find_spec("chdb") is not None


@asynccontextmanager
async def open_embedded(directory: Path) -> AsyncIterator[Embedded]:
    """Open the store in `directory`, created if it is missing. Raises LockHeldError while another process has it."""
    with locked(directory):
        engine = Embedded(directory / "store")
        try:
            await engine.in_thread(engine.connect)
            yield engine
        finally:
            await engine.close()
