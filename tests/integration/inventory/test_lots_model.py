"""Restocks, holds, picks, expiries and recalls in random order: stock and lots equal a model in Python."""

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
from autogrocery.inventory.actions.write_off_lots import write_off_due_lots
from autogrocery.inventory.core.picking import Outcome
from autogrocery.kit.pg.db import open_db
from tests.harness.inventory_batches import violations
from tests.harness.inventory_lots import assign, deliver, expire, free, picked, picked_lots, report, reserve, robot

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from autogrocery.kit.pg.db import Db

APART_H = 0.01  # between the expiries of two lots: more than a step takes
STEP = st.one_of(
    st.tuples(st.just("deliver"), st.integers(1, 6), st.integers(1, 9)),
    st.tuples(st.just("reserve"), st.integers(1, 5), st.booleans()),
    st.tuples(st.sampled_from(["expire", "recall", "release", "loop"]), st.integers(0, 5), st.none()),
    st.tuples(st.just("pick"), st.integers(0, 5), st.tuples(st.sampled_from(Outcome), st.none() | st.integers(0, 5))),
)


class OnShelf(Struct):
    """A lot on sale; `hours` until it expires."""

    hours: float
    lot: str
    units: int


class Store(Struct):
    """The model: good units by lot, units off sale still on the shelf, and promised units by order."""

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
        order, granted = await reserve(self.db, units, self.sku, partial=partial)
        assert granted == (min(units, self.free) if partial else units if units <= self.free else 0)
        if granted:
            self.promised[order] = granted

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
        await write_off_due_lots(self.db)

    async def pick(self, which: int, how: tuple[Outcome, int | None]) -> None:
        if not self.promised:
            return
        order = list(self.promised)[which % len(self.promised)]
        quantity, (outcome, reported) = self.promised[order], how
        assert await assign(self.db, order, quantity, self.sku)
        await report(self.db, order, None if reported is None else min(reported, quantity), self.sku, outcome)
        self.off_sale = min(self.off_sale, max(0, sum(self.promised.values()) - self.good))
        del self.promised[order]
        claimed = min(reported, quantity) if reported is not None else quantity if outcome is Outcome.PICKED else 0
        expected = min(claimed, self.good)
        assert await picked(self.db, order) == expected
        assert await picked_lots(self.db, order) == self.draw(expected)
        if outcome is not Outcome.FAILED:
            left = min(quantity - expected, self.off_sale)
            self.off_sale -= left
            self.draw(quantity - expected - left)  # missing units


def test_lots_equal_the_model_in_any_sequence_of_steps(inventory_dsn: str) -> None:
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
        def check_steps(steps: list[tuple[str, int, object]]) -> None:
            runner.run(play(db, steps))

        check_steps()
        assert runner.run(violations(db)) == []
        assert moved["off sale under a promise"]
        runner.run(stack.aclose())
