"""A model of the results of sequential holds, to compare with those of concurrent ones."""

from __future__ import annotations

import asyncio
from itertools import permutations
from typing import TYPE_CHECKING
from uuid import uuid4

from msgspec import Struct

from autogrocery.inventory.actions.audit import audit
from autogrocery.inventory.actions.restock_items import restock_items
from autogrocery.inventory.core.restock import RestockLine
from autogrocery.inventory.core.stock import Line, ShortageError
from autogrocery.inventory.store import holds
from autogrocery.inventory.store.poll_cache import PollCache
from autogrocery.kit.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
    from typing import TypeVar
    from uuid import UUID

    from autogrocery.inventory.core.picking import Assignment
    from autogrocery.kit.pg.db import Db

    T = TypeVar("T")

HOLD_S = 60
SEEN_S = 3_600.0
DEADLINE_S = 30.0


class HoldRequest(Struct, frozen=True):
    """The lines that one order requests."""

    lines: tuple[Line, ...]
    partial: bool = False


class HoldResult(Struct, frozen=True):
    """The granted lines, or the available units of each SKU if nothing was granted; None is an unknown SKU."""

    granted: tuple[Line, ...] = ()
    available: tuple[int | None, ...] = ()


def expected_hold(shelf: dict[str, int], request: HoldRequest) -> HoldResult:
    """Return the result for one order, and take the granted units from the shelf."""
    available = tuple(shelf.get(line.sku) for line in request.lines)
    known = [have for have in available if have is not None]
    lines = tuple(
        Line(line.sku, min(line.quantity, have) if request.partial else line.quantity)
        for line, have in zip(request.lines, known, strict=False)
    )
    granted = tuple(line for line in lines if line.quantity)
    if len(known) < len(available) or not granted or any(shelf[line.sku] < line.quantity for line in granted):
        return HoldResult(available=available)
    for line in granted:
        shelf[line.sku] -= line.quantity
    return HoldResult(granted)


def expected_batches(
    shelf: dict[str, int], requests: Sequence[HoldRequest]
) -> Iterator[tuple[dict[str, int], list[HoldResult]]]:
    """Yield each allowed outcome of a batch: the stock left, and the result of each request.

    Requests are served in turn, but those that fit alone and not behind the others come last, in any order.
    """
    requested: dict[str, int] = {}
    left, results, last = dict(shelf), [HoldResult()] * len(requests), []
    for i, request in enumerate(requests):
        fits = True
        for line in request.lines:
            have = shelf.get(line.sku, 0)
            wanted = min(line.quantity, have) if request.partial else line.quantity
            requested[line.sku] = requested.get(line.sku, 0) + wanted
            fits = fits and (wanted == 0 or requested[line.sku] <= have)
        result = expected_hold(dict(left), request)
        if result.granted and not fits:
            last.append(i)
        else:
            results[i] = expected_hold(left, request)
    for order in permutations(last):
        rest, final = dict(left), list(results)
        for i in order:
            final[i] = expected_hold(rest, requests[i])
        yield rest, final


async def hold(db: Db, order_id: UUID, request: HoldRequest) -> HoldResult:
    """Hold stock through the store."""
    try:
        held = await holds.hold(db, order_id, request.lines, HOLD_S, allow_partial=request.partial)
    except ShortageError as error:
        return HoldResult(available=tuple(found.available for found in error.lines))
    assert held is not None
    return HoldResult(held.lines)


async def violations(db: Db) -> list[str]:
    return [f"{one.name}: {one.examples}" for one in await audit(db) if one.violations]


async def stock(db: Db, quantities: Mapping[str, int], aisle: str = "dairy") -> None:
    goods = [RestockLine(sku, sku, aisle, 1 + quantity, 1, None, None) for sku, quantity in sorted(quantities.items())]
    assert await restock_items(db, PollCache(), NullAnnouncer(), uuid4(), "farm", goods, shelved=True) is None  # type: ignore[arg-type]
    for sku in quantities:  # a restock line has at least one unit: a hold takes it away again
        await holds.hold(db, uuid4(), (Line(sku, 1),), HOLD_S, allow_partial=False)


async def retry_unavailable(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a call while it is Unavailable, as the gateway does; a deadlock is raised."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                return await call()
            except Unavailable as error:
                if "Deadlock" in str(error) or "Deadlock" in repr(error.__cause__):
                    raise
            await asyncio.sleep(0.01)


class NullAnnouncer:
    """An announcer that publishes nothing."""

    async def announce(self, _order_id: object, _assignment: Assignment) -> None:
        return None
