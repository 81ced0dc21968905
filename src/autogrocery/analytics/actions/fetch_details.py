"""Ask for the details of orders that have ended, once their facts are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import msgspec

from autogrocery.analytics.core.details import DeliveredAisle, Details, RobotPick, ShortLine
from autogrocery.analytics.store.details import DetailCursor
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from autogrocery.analytics.core.details import Ended
    from autogrocery.analytics.store.backlog import Backlog

Row = TypeVar("Row", ShortLine, DeliveredAisle, RobotPick)
AT_ONCE: Final = 100  # orders in one question: if every line of theirs is short, the reply still has less than 1 MiB
ASK_AGAIN_RUNS: Final = 30  # after a source that does not tell: a minute
RETRY_RUNS: Final = 5  # after one that did not answer


class DetailSource(Protocol):
    """A peer that is asked by order ids."""

    @property
    def name(self) -> str:
        """Return what its cursor is called."""

    async def ask(self, order_ids: Sequence[UUID]) -> Details | None:
        """Return the details; None if the peer does not tell them at all. Raises Unavailable."""


class DetailFetcher:
    """Asks one source; a source that does not tell is asked again a minute later, from where it stopped."""

    def __init__(self, backlog: Backlog, source: DetailSource) -> None:
        self._backlog = backlog
        self._source = source
        self._cursor = DetailCursor(backlog.store, source.name)
        self._pause_runs = 0

    async def fetch_details(self) -> bool:
        """Store the details of the next orders; True if more can be asked for at once."""
        if not self._backlog.keeps_up:
            return False
        if self._pause_runs:
            self._pause_runs -= 1
            return False
        try:
            page = await self._cursor.next_page()
            if not page:
                return False
            details = await self._ask(page)
            if details is None:
                log.warning("details_not_told", source=self._source.name)
                self._pause_runs = ASK_AGAIN_RUNS
                return False
            await self._cursor.keep(page, details)
        except Unavailable as error:
            log.warning("details_deferred", source=self._source.name, reason=error.detail)
            self._pause_runs = RETRY_RUNS
            return False
        return True

    async def _ask(self, page: list[Ended]) -> Details | None:
        store_of = {one.order_id: one.store_id for one in page}
        found = Details([], [], [])
        for start in range(0, len(page), AT_ONCE):
            part = await self._source.ask([one.order_id for one in page[start : start + AT_ONCE]])
            if part is None:
                return None
            found.short_lines.extend(_of_marts(part.short_lines, store_of))
            found.delivered.extend(_of_marts(part.delivered, store_of))
            found.picks.extend(_of_marts(part.picks, store_of))
        return found


def _of_marts(rows: Sequence[Row], store_of: Mapping[UUID, str]) -> list[Row]:
    """Return the rows with their marts; one of an order that was not asked for has none, and is dropped."""
    return [msgspec.structs.replace(row, store_id=store_of[row.order_id]) for row in rows if row.order_id in store_of]
