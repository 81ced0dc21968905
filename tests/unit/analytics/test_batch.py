from __future__ import annotations

from autogrocery.analytics.core import batch
from autogrocery.analytics.core.batch import BATCH_FACTS, HOUR_US, MAX_FRAME_BYTES, MAX_POISON, MAX_WAITING, Waiting
from autogrocery.analytics.core.marks import Mark
from tests.harness.fact_stores import fact


def test_batches_are_cut_in_order_of_arrival_and_no_larger_than_the_limit() -> None:
    waiting, calls = Waiting(), []
    waiting.on_full = lambda: calls.append(len(waiting))
    for number in range(1, BATCH_FACTS + 3):
        waiting.add(fact(number))
    first, second = waiting.cut(1), waiting.cut(1)
    assert first is not None
    assert second is not None
    assert [len(first.facts), len(second.facts), len(waiting)] == [BATCH_FACTS, 2, 0]
    assert [first.marks(), second.marks()] == [[Mark(1, 1, BATCH_FACTS)], [Mark(1, BATCH_FACTS + 1, BATCH_FACTS + 2)]]
    assert calls == [BATCH_FACTS]
    assert waiting.cut(1) is None


def test_no_two_batches_are_cut_at_the_same_time_even_if_the_clock_jumps() -> None:
    waiting, times = Waiting(), []
    for now_us in (10, 10, 5, 30):
        waiting.add(fact(1))
        cut = waiting.cut(now_us)
        assert cut is not None
        times.append(cut.cut_at)
    assert times == [10, 11, 12, 30]


def test_numbers_without_a_fact_are_marked() -> None:
    waiting = Waiting()
    waiting.add(fact(1))
    for number in (3, 2):
        waiting.close(1, number)
    cut = waiting.cut(1)
    assert cut is not None
    assert cut.marks() == [Mark(1, 1, 1), Mark(1, 2, 3)]


def test_poison_is_bounded_in_number_and_bytes_and_counted_beyond() -> None:
    waiting = Waiting()
    for _ in range(MAX_POISON + 50):
        waiting.set_aside(b"x" * (MAX_FRAME_BYTES + 1), "garbage", 7)
    cut = waiting.cut(1)
    waiting.set_aside(b"", "in the same hour", 8)
    assert waiting.cut(1) is None
    waiting.set_aside(b"", "in the next one", 8 + HOUR_US)
    assert len(waiting) == 1
    assert cut is not None
    assert (len(cut.poison), waiting.poisoned) == (MAX_POISON, MAX_POISON + 52)
    assert (len(cut.poison[0].frame), cut.poison[0].size) == (MAX_FRAME_BYTES, MAX_FRAME_BYTES + 1)


def test_there_is_no_room_once_max_waiting_is_reached() -> None:
    waiting = Waiting()
    one = fact(1)
    for _ in range(batch.MAX_WAITING):
        assert waiting.has_room
        waiting.add(one)
    assert not waiting.has_room
    waiting.cut(1)
    assert len(waiting) == MAX_WAITING - BATCH_FACTS
    assert waiting.has_room
