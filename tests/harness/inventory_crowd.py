"""What one after the other would have got, to hold against what many at once got."""

from __future__ import annotations

import asyncio
from itertools import permutations
from typing import TYPE_CHECKING
from uuid import uuid4

from msgspec import Struct

from autogrocery.inventory.actions.audit import audit
from autogrocery.inventory.actions.restock_items import restock_items
from autogrocery.inventory.core.delivery import Delivered
from autogrocery.inventory.core.stock import Line, ShortError
from autogrocery.inventory.store import holds
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


class Wish(Struct, frozen=True):
    """What one order wants."""

    lines: tuple[Line, ...]
    partial: bool = False


class Got(Struct, frozen=True):
    """What it got, or what there was of each SKU instead: None for an unknown one."""

    granted: tuple[Line, ...] = ()
    available: tuple[int | None, ...] = ()


def serve(shelf: dict[str, int], wish: Wish) -> Got:
    """Serve one order, and take what it gets from the shelf."""
    available = tuple(shelf.get(line.sku) for line in wish.lines)
    known = [have for have in available if have is not None]
    lines = tuple(
        Line(line.sku, min(line.quantity, have) if wish.partial else line.quantity)
        for line, have in zip(wish.lines, known, strict=False)
    )
    granted = tuple(line for line in lines if line.quantity)
    if len(known) < len(available) or not granted or any(shelf[line.sku] < line.quantity for line in granted):
        return Got(available=available)
    for line in granted:
        shelf[line.sku] -= line.quantity
    return Got(granted)


def serve_together(shelf: dict[str, int], wishes: Sequence[Wish]) -> Iterator[tuple[dict[str, int], list[Got]]]:
    """Serve a batch as the statement promises: in turn, but those who might have got more had others not asked come last.

    Yields a shelf and answers for each order in which these may come.
    """
    asked: dict[str, int] = {}
    left, answers, last = dict(shelf), [Got()] * len(wishes), []
    for i, wish in enumerate(wishes):
        fits = True
        for line in wish.lines:
            have = shelf.get(line.sku, 0)
            wanted = min(line.quantity, have) if wish.partial else line.quantity
            asked[line.sku] = asked.get(line.sku, 0) + wanted
            fits = fits and (wanted == 0 or asked[line.sku] <= have)
        got = serve(dict(left), wish)
        if got.granted and not fits:
            last.append(i)
        else:
            answers[i] = serve(left, wish)
    for order in permutations(last):
        rest, told = dict(left), list(answers)
        for i in order:
            told[i] = serve(rest, wishes[i])
        yield rest, told


async def hold(db: Db, order_id: UUID, wish: Wish) -> Got:
    """Ask the store for it."""
    try:
        held = await holds.hold(db, order_id, wish.lines, HOLD_S, allow_partial=wish.partial)
    except ShortError as short:
        return Got(available=tuple(found.available for found in short.found))
    assert held is not None
    return Got(held.lines)


async def violations(db: Db) -> list[str]:
    return [f"{one.name}: {one.examples}" for one in await audit(db) if one.violations]


async def stock(db: Db, quantities: Mapping[str, int], aisle: str = "dairy") -> None:
    goods = [Delivered(sku, sku, aisle, 1 + quantity, 1, None, None) for sku, quantity in sorted(quantities.items())]
    assert await restock_items(db, Silent(), uuid4(), "farm", goods, shelved=True) is None  # type: ignore[arg-type]
    for sku in quantities:  # a delivery brings at least one: a hold takes it away again
        await holds.hold(db, uuid4(), (Line(sku, 1),), HOLD_S, allow_partial=False)


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """Ask again while there was no turn, as a gateway does; a lost lock is an error."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                return await call()
            except Unavailable as trouble:
                if "Deadlock" in str(trouble) or "Deadlock" in repr(trouble.__cause__):
                    raise
            await asyncio.sleep(0.01)


class Silent:
    """Nobody listens to announcements here."""

    async def announce(self, _order_id: object, _assignment: Assignment) -> None:
        return None
