"""Frames of any size, type and content: each is counted or set aside, and nothing else happens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from autogrocery.analytics.actions.count_metrics import count_metrics
from autogrocery.analytics.core.batch import MAX_FRAME_BYTES, Batch, Waiting
from autogrocery.analytics.core.counters import Counters
from autogrocery.analytics.store.engine import ENCODER
from autogrocery.contracts.analytics.metric import encode
from tests.harness.fact_stores import change

if TYPE_CHECKING:
    from autogrocery.analytics.peers.subscription import Subscription

GOOD: Final = [encode(change(number)) for number in range(1, 4)]


class Frames:
    """A subscription that has received these frames."""

    def __init__(self, frames: list[bytes]) -> None:
        self._frames = frames

    async def receive(self, limit: int) -> list[bytes]:
        assert len(self._frames) <= limit
        return self._frames


def spoilt(one: bytes, changes: list[tuple[int, int]], end: int) -> bytes:
    frame = bytearray(one)
    for place, byte in changes:
        frame[place % len(frame)] = byte
    return bytes(frame[: end % (len(frame) + 1)])


SPOILT: Final = st.builds(
    spoilt,
    st.sampled_from(GOOD),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
    st.one_of(st.just(-1), st.integers(0, 400)),
)
LARGE: Final = st.builds(lambda part, times: part * times, st.binary(min_size=1, max_size=64), st.integers(1, 20_000))


def received(frames: list[bytes]) -> tuple[Counters, Waiting]:
    counters, waiting = Counters(), Waiting()
    subscription: Subscription = Frames(frames)  # type: ignore[assignment]
    assert asyncio.run(count_metrics(subscription, counters, waiting))
    return counters, waiting


@given(st.lists(st.one_of(SPOILT, LARGE, st.binary(max_size=300)), max_size=12))
def test_frames_are_counted_or_set_aside(frames: list[bytes]) -> None:
    counters, waiting = received(frames)
    assert counters.received == len(frames)
    assert counters.unique + counters.duplicates + counters.invalid == len(frames)
    assert counters.invalid == waiting.poisoned
    batch = waiting.cut(1) or Batch(1)
    assert [one.size for one in batch.poison] == [len(one) for one in frames if one[:MAX_FRAME_BYTES] in kept(batch)]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(batch), type=Batch) == batch
    assert len(ENCODER.encode_lines(batch.facts).splitlines()) == len(batch.facts)


def kept(batch: Batch) -> set[bytes]:
    return {one.frame for one in batch.poison}


@given(st.lists(st.binary(max_size=200).filter(lambda frame: len(frame) < 60), max_size=8))
def test_poison_between_metrics_changes_none_of_them(poison: list[bytes]) -> None:
    counters, waiting = received([*poison, *GOOD, *poison])
    assert (counters.unique, counters.invalid) == (len(GOOD), 2 * len(poison))
    batch = waiting.cut(1)
    assert batch is not None
    assert [fact.sequence for fact in batch.facts] == [1, 2, 3]
