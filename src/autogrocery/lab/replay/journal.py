"""The journal of 2xx responses: the load driver's own record, independent of the gateway's crashes."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedWriter
    from pathlib import Path

    from autogrocery.client import OrderResponse


class Entry(Struct, frozen=True):
    """One 2xx response about an order; `lines_cents` sums its lines, `finished_at` is when it ended, if it has."""

    at: datetime
    device_id: str
    order_id: str
    step: str
    http_status: int
    status: str
    dispatch: str | None
    total_cents: int
    quoted_total_cents: int
    lines_cents: int
    finished_at: datetime | None = None


class Journal:
    """Appends entries in the order of the responses, also to a file of JSON lines if there is one."""

    def __init__(self, file: BufferedWriter | None) -> None:
        self.entries: list[Entry] = []
        self._file = file

    def write(self, device_id: str, response: OrderResponse) -> None:
        """Append a response; it is in the file before the device acts on it."""
        order = response.order
        entry = Entry(
            datetime.now(UTC),
            device_id,
            order.order_id,
            response.step,
            response.http_status,
            order.status,
            order.dispatch,
            order.total_cents,
            order.quoted_total_cents,
            sum(line.line_total_cents for line in order.items),
            order.finished_at,
        )
        self.entries.append(entry)
        if self._file is not None:
            self._file.write(msgspec.json.encode(entry) + b"\n")
            self._file.flush()


@contextmanager
def open_journal(path: Path | None) -> Iterator[Journal]:
    """Open a journal; an existing file is appended to."""
    if path is None:
        yield Journal(None)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        yield Journal(file)


def read_journal(path: Path) -> list[Entry]:
    """Read a journal; an incomplete last line, left by a killed load driver, is left out."""
    lines = path.read_bytes().split(b"\n")
    return [msgspec.json.decode(line, type=Entry) for line in lines[:-1] if line]
