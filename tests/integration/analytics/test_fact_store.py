"""The store on the embedded engine: repeated, interrupted and late writes count once."""

from __future__ import annotations

import random
from hashlib import md5
from typing import TYPE_CHECKING

import pytest

from autogrocery.analytics.core.batch import Batch, PoisonFrame
from autogrocery.analytics.core.facts import END_US
from autogrocery.analytics.core.marks import Mark
from autogrocery.analytics.store import damage
from autogrocery.analytics.store.census import count_facts
from autogrocery.kit.process import faults
from autogrocery.kit.process.faults import Fault, Mode
from autogrocery.kit.process.lock_file import LockHeldError
from tests.harness.fact_stores import Totals, batch, fact, fact_store, totals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from autogrocery.analytics.store.fact_store import FactStore

NOW_US = 1_800_000_000_000_000


@pytest.fixture
async def store(home: Path) -> AsyncIterator[FactStore]:
    async with fact_store(home) as opened:
        yield opened


async def test_repeated_batch_counts_once(store: FactStore) -> None:
    facts = [fact(number) for number in range(1, 301)]
    for repeat in range(3):
        await store.write(batch(facts), NOW_US + repeat)
        await store.compute_minutes()
    assert await totals(store.engine) == Totals(300, 300, 30_000, 30_000)
    assert store.changes == {"COMPLETED": 300}
    assert list(store.marks) == [Mark(1, 1, 300)]


async def test_facts_repeated_in_other_batches_in_any_order_count_once(store: FactStore) -> None:
    facts = [fact(number) for number in range(1, 201)]
    generator = random.Random(7)
    for _ in range(6):
        await store.write(batch(generator.sample(facts, 120)), NOW_US)
        if generator.random() < 0.5:
            await store.compute_minutes()
    await store.write(batch(facts), NOW_US)
    await store.compute_minutes()
    assert await totals(store.engine) == Totals(200, 200, 20_000, 20_000)
    assert store.changes == {"COMPLETED": 200}


async def test_late_fact_is_added_to_its_minute(store: FactStore) -> None:
    await store.write(batch([fact(1), fact(3)]), NOW_US)
    await store.compute_minutes()
    await store.write(batch([fact(2)]), NOW_US)
    await store.compute_minutes()
    assert await totals(store.engine) == Totals(3, 3, 300, 300)
    assert list(store.marks) == [Mark(1, 1, 3)]


async def test_changes_without_version_are_told_apart_by_status(store: FactStore) -> None:
    order = {"order_id": str(fact(1).order_id), "version": 0, "occurred_at_us": NOW_US}
    for status in ("PREVIEWED", "PROCESSING", "PREVIEWED"):
        await store.write(batch([fact(0, epoch=0, status=status, **order)]), NOW_US)
    await store.compute_minutes()
    assert store.changes == {"PREVIEWED": 1, "PROCESSING": 1}
    assert list(store.marks) == []


async def test_store_opened_again_knows_its_numbers_and_totals(home: Path) -> None:
    async with fact_store(home) as store:
        await store.write(batch([fact(1), fact(2), fact(5)], closed=[Mark(1, 7, 7)]), NOW_US)
        await store.compute_minutes()
    async with fact_store(home) as store:
        assert list(store.marks) == [Mark(1, 1, 2), Mark(1, 5, 5), Mark(1, 7, 7)]
        assert store.changes == {"COMPLETED": 3}
        assert not store.has_uncomputed_minutes
        assert store.newest_us == fact(5).occurred_at


async def test_minutes_not_computed_by_one_process_are_computed_by_the_next(home: Path) -> None:
    async with fact_store(home) as store:
        await store.write(batch([fact(1)]), NOW_US)
        await store.compute_minutes()
        await store.write(batch([fact(2), fact(90)]), NOW_US)
    async with fact_store(home) as store:
        assert store.changes == {"COMPLETED": 1}
        await store.compute_minutes()
        assert store.changes == {"COMPLETED": 3}
        assert await totals(store.engine) == Totals(3, 3, 300, 300)


async def test_clock_that_jumps_back_leaves_no_minute_uncomputed(home: Path) -> None:
    async with fact_store(home) as store:
        await store.write(batch([fact(1)]), NOW_US)
        await store.compute_minutes()
    async with fact_store(home) as store:
        await store.write(batch([fact(2)]), NOW_US - 3_600_000_000)
    async with fact_store(home) as store:
        assert store.has_uncomputed_minutes
        await store.compute_minutes()
        assert store.changes == {"COMPLETED": 2}


async def test_clock_that_jumps_ahead_and_back_loses_no_minute(home: Path) -> None:
    year_us = 365 * 86_400 * 1_000_000
    async with fact_store(home) as store:
        for number, now_us in enumerate((NOW_US, NOW_US + year_us, NOW_US, 1), start=1):
            await store.write(batch([fact(number)], number), now_us)
            await store.compute_minutes()
    async with fact_store(home) as store:
        assert not store.has_uncomputed_minutes
        assert store.changes == {"COMPLETED": 4}
        assert await totals(store.engine) == Totals(4, 4, 400, 400)


async def test_epoch_that_never_ends_needs_one_mark(home: Path) -> None:
    first = 1 << 53
    async with fact_store(home) as store:
        for start in range(first, first + 60, 3):
            await store.write(batch(fact(number) for number in range(start, start + 3)), NOW_US)
        assert list(store.marks) == [Mark(1, first, first + 59)]
    async with fact_store(home) as store:
        assert list(store.marks) == [Mark(1, first, first + 59)]


async def test_census_is_of_the_changes_and_not_of_their_number(store: FactStore) -> None:
    await store.write(batch(fact(number) for number in range(1, 4)), NOW_US)
    before = await count_facts(store.engine, 0)
    await store.write(batch([fact(2)], 2), NOW_US)  # again
    assert await count_facts(store.engine, 0) == before
    await store.write(batch([fact(4)], 3), NOW_US)
    after = await count_facts(store.engine, 0)
    assert (before.changes, after.changes) == (3, 4)
    parts = [f"{one.order_id}/{one.version}/{one.status}" for one in map(fact, range(1, 5))]
    hashes = [int.from_bytes(md5(part.encode(), usedforsecurity=False).digest()[:8], "big") for part in parts]
    assert after.fingerprint == sum(hashes) % (1 << 64)
    assert (await count_facts(store.engine, 4_000_000_000)).changes == 0


@pytest.mark.parametrize("point", ["facts.add", "facts.add_poison", "facts.add_marks", "facts.add_minutes"])
@pytest.mark.parametrize("mode", [Mode.ERROR_BEFORE, Mode.EFFECT_THEN_ERROR])
async def test_batch_repeated_after_a_fault_at_any_point_counts_once(store: FactStore, point: str, mode: Mode) -> None:
    poison = PoisonFrame(NOW_US, "garbage", 3, b"abc")
    one = Batch(NOW_US, [fact(number) for number in range(1, 101)], [poison], [Mark(1, 101, 105)])

    async def write() -> None:
        await store.write(one, NOW_US)
        await store.compute_minutes()

    with faults.arm(Fault(point, mode, 1)), pytest.raises(faults.FaultError):
        await write()
    await write()
    assert await totals(store.engine) == Totals(100, 100, 10_000, 10_000)
    assert store.changes == {"COMPLETED": 100}
    assert list(store.marks) == [Mark(1, 1, 105)]
    assert await store.engine.rows("\n-- test.poison\nSELECT count() FROM poison FINAL", dict) == [{"count()": 1}]


async def test_batch_of_many_months_long_ago_is_stored_at_once(store: FactStore) -> None:
    month_us = 31 * 86_400_000_000
    facts = [fact(number, occurred_at_us=number * month_us) for number in range(1, 121)]
    await store.write(batch(facts), NOW_US)
    await store.compute_minutes()
    assert await totals(store.engine) == Totals(120, 120, 12_000, 12_000)


async def test_directory_in_use_is_refused_with_the_process(home: Path, store: FactStore) -> None:
    assert store.loaded
    with pytest.raises(LockHeldError, match=r"in use by process \d+: stop that one"):
        async with fact_store(home):
            pass


async def test_text_of_any_characters_is_stored_as_it_is(store: FactStore) -> None:
    names = ["mart-1", "it's", 'a "mart"', "back\\slash", "{minutes}", "ü☕", "a%b", "-- x", "';DROP TABLE facts;"]
    facts = [fact(number, store_id=name) for number, name in enumerate(names, start=1)]
    await store.write(batch(facts, poison=[PoisonFrame(NOW_US, "it's", 2, bytes(range(256)))]), NOW_US)
    await store.compute_minutes()
    assert store.changes == {"COMPLETED": len(names)}
    found = await store.engine.rows("\n-- test.names\nSELECT DISTINCT store_id AS name FROM facts", dict)
    assert {row["name"] for row in found} == set(names)


async def test_largest_and_smallest_numbers_of_the_schema_are_stored(store: FactStore) -> None:
    extremes = {"item_count": 0xFFFF, "line_count": 0xFFFF, "version": (1 << 32) - 1, "duration_seconds": 1e300}
    facts = [
        fact((1 << 64) - 1, epoch=(1 << 64) - 1, total_cents=(1 << 63) - 1, occurred_at_us=END_US - 1, **extremes),
        fact(1, epoch=(1 << 64) - 1, total_cents=-(1 << 63), occurred_at_us=1, store_id="m" * 64, **extremes),
    ]
    await store.write(batch(facts), NOW_US)
    await store.compute_minutes()
    rows = await store.engine.rows("\n-- test.all\nSELECT total_cents, duration_ms FROM facts ORDER BY 1", dict)
    assert [(int(row["total_cents"]), row["duration_ms"]) for row in rows] == [
        (-(1 << 63), (1 << 32) - 1),
        ((1 << 63) - 1, (1 << 32) - 1),
    ]
    assert list(store.marks) == [Mark((1 << 64) - 1, 1, 1), Mark((1 << 64) - 1, (1 << 64) - 1, (1 << 64) - 1)]
    await damage.mark_facts_again(store.engine)
    await store.load()
    assert list(store.marks) == [Mark((1 << 64) - 1, 1, 1), Mark((1 << 64) - 1, (1 << 64) - 1, (1 << 64) - 1)]
