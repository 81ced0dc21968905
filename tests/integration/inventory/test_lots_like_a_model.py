"""Deliveries, holds, picks, expiries and recalls in any order: stock and lots are what a few lines of Python say they are."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import count
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from autogrocery.inventory.actions.recall_lot import recall_lot
from autogrocery.inventory.actions.release_items import release_items
from autogrocery.inventory.actions.settle_lots import settle_due_lots
from autogrocery.inventory.core.picking import Outcome
from autogrocery.kit.pg.db import open_db
from tests.harness.inventory_crowd import violations
from tests.harness.inventory_dated import assign, deliver, expire, free, lots_got, picked, report, reserve, robot

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from autogrocery.kit.pg.db import Db

APART_H = 0.01  # no two lots expire together, however long a step takes
STEP = st.one_of(
    st.tuples(st.just("deliver"), st.integers(1, 6), st.integers(1, 9)),
    st.tuples(st.just("reserve"), st.integers(1, 5), st.booleans()),
    st.tuples(st.sampled_from(["expire", "recall", "release", "loop"]), st.integers(0, 5), st.none()),
    st.tuples(st.just("pick"), st.integers(0, 5), st.tuples(st.sampled_from(Outcome), st.none() | st.integers(0, 5))),
)


class OnShelf(Struct):
    """A lot that is sold."""

    hours: float
    lot: str
    units: int


class Store(Struct):
    """The model: good units by lot, units off sale that are still there, and what is promised to whom."""

    db: Db
    sku: str
    lots: list[OnShelf] = []
    off_sale: int = 0
    promised: dict[UUID, int] = {}
    known: list[str] = []

    @property
    def good(self) -> int:
        return sum(one.units for one in self.lots)

    @property
    def free(self) -> int:
        return max(0, self.good - sum(self.promised.values()))

    def draw(self, units: int) -> dict[str, int]:
        drawn = {}
        for one in sorted(self.lots, key=lambda one: one.hours):
            took = min(units, one.units)
            one.units, units = one.units - took, units - took
            if took:
                drawn[one.lot] = took
        assert not units
        return drawn

    async def deliver(self, units: int, hours: int) -> None:
        at = hours + len(self.known) * APART_H
        lot = await deliver(self.db, self.sku, units, hours=at)
        self.lots.append(OnShelf(at, lot, units))
        self.known.append(lot)

    async def reserve(self, units: int, partial: bool) -> None:
        order, got = await reserve(self.db, units, self.sku, partial=partial)
        assert got == (min(units, self.free) if partial else units if units <= self.free else 0)
        if got:
            self.promised[order] = got

    async def expire(self, which: int, _: None) -> None:
        if self.lots:
            chosen = self.lots[which % len(self.lots)]
            await expire(self.db, chosen.lot)
            passed = chosen.hours
            for one in self.lots:
                one.hours -= passed
            self._off_sale(one for one in self.lots if one.hours <= 0)

    async def recall(self, which: int, _: None) -> None:
        lot = self.known[which % len(self.known)]
        await recall_lot(self.db, lot)
        self._off_sale(one for one in self.lots if one.lot == lot)

    def _off_sale(self, gone: Iterable[OnShelf]) -> None:
        for one in list(gone):
            self.off_sale += one.units
            self.lots.remove(one)

    async def release(self, which: int, _: None) -> None:
        if self.promised:
            order = list(self.promised)[which % len(self.promised)]
            assert await release_items(self.db, order, cancel=True)
            del self.promised[order]

    async def loop(self, *_: object) -> None:
        await settle_due_lots(self.db)

    async def pick(self, which: int, how: tuple[Outcome, int | None]) -> None:
        if not self.promised:
            return
        order = list(self.promised)[which % len(self.promised)]
        quantity, (outcome, said) = self.promised[order], how
        assert await assign(self.db, order, quantity, self.sku)
        await report(self.db, order, None if said is None else min(said, quantity), self.sku, outcome)
        self.off_sale = min(self.off_sale, max(0, sum(self.promised.values()) - self.good))
        del self.promised[order]
        asked = min(said, quantity) if said is not None else quantity if outcome is Outcome.PICKED else 0
        expected = min(asked, self.good)
        assert await picked(self.db, order) == expected
        assert await lots_got(self.db, order) == self.draw(expected)
        if outcome is not Outcome.FAILED:
            left = min(quantity - expected, self.off_sale)
            self.off_sale -= left
            self.draw(quantity - expected - left)  # is missing


def test_lots_are_drawn_and_taken_away_as_a_model_says(inventory_dsn: str) -> None:
    numbers, moved = count(), {"off sale under a promise": 0}

    async def play(db: Db, steps: list[tuple[str, int, object]]) -> None:
        store = Store(db, f"milk-{next(numbers)}")
        await store.deliver(4, 5)
        for verb, first, second in steps:
            await getattr(store, verb)(first, second)
            assert await free(db, store.sku) == store.free
            moved["off sale under a promise"] += store.good < sum(store.promised.values())

    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        db = runner.run(stack.enter_async_context(open_db(inventory_dsn, application="tests")))
        runner.run(robot(db))

        @settings(max_examples=40, deadline=None, database=None, derandomize=True)
        @given(st.lists(STEP, min_size=4, max_size=14))
        def sells_like_the_model(steps: list[tuple[str, int, object]]) -> None:
            runner.run(play(db, steps))

        sells_like_the_model()
        assert runner.run(violations(db)) == []
        assert moved["off sale under a promise"]
        runner.run(stack.aclose())
