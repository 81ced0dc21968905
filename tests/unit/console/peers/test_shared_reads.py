from __future__ import annotations

import asyncio

import pytest

from autogrocery.client.problems import Problem, Unanswered
from autogrocery.console.peers.shared_reads import MAX_ENTRIES, SessionEndedError, SharedReads


async def test_ten_concurrent_readers_cost_one_request() -> None:
    reads, calls = SharedReads(), []

    async def fetch() -> int:
        calls.append(1)
        await asyncio.sleep(0.01)
        return len(calls)

    found = await asyncio.gather(*(reads.read("overview", fetch) for _ in range(10)))
    assert [one.value for one in found] == [1] * 10
    assert len(calls) == 1


async def test_silence_keeps_the_last_value_and_says_so() -> None:
    reads = SharedReads()
    answers = iter((7, Unanswered("GET overview", 4.0, None)))

    async def fetch() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    await reads.read("overview", fetch)
    reads.forget()
    found = await reads.read("overview", fetch)
    assert (found.value, found.away) == (7, True)
    assert found.error == "no answer"


async def test_refused_token_ends_the_session() -> None:
    async def fetch() -> int:
        raise Problem(401, "invalid_token", "The token has expired.")

    with pytest.raises(SessionEndedError):
        await SharedReads().read("overview", fetch)


async def test_missing_path_is_told_and_is_not_an_absence() -> None:
    async def fetch() -> int:
        raise Problem(501, "not_told", "Inventory does not tell.")

    found = await SharedReads().read("robots", fetch)
    assert (found.value, found.error, found.away) == (None, "Inventory does not tell.", False)


async def test_keys_are_bounded() -> None:
    reads = SharedReads()
    calls = []

    async def fetch() -> int:
        calls.append(1)
        return 0

    for number in range(MAX_ENTRIES + 1):
        await reads.read(str(number), fetch)
    await reads.read("0", fetch)
    assert len(calls) == MAX_ENTRIES + 2
