"""Limits of a stream."""

from __future__ import annotations

import asyncio

from autogrocery.kit.rpc.status import STREAM_BULKHEAD
from tests.harness.streaming_peer import (
    SHORT_S,
    ask_all,
    calls_of,
    connected,
    count_in_doubt,
    ids,
)
from tests.harness.waiting import until


async def test_calls_beyond_the_bound_wait_for_room_or_for_their_deadline() -> None:
    async with connected(in_flight=4) as (desk, caller):
        gate = asyncio.Event()
        desk.gates = dict.fromkeys(ids(4), gate)
        held = asyncio.create_task(ask_all(caller, ids(4)))
        await until(lambda: len(desk.begun) == 4)
        waiting = [f"waiting-{number}" for number in range(6)]
        assert await count_in_doubt(caller, waiting[:3], timeout_s=SHORT_S) == 3
        patient = asyncio.create_task(ask_all(caller, waiting[3:]))
        await asyncio.sleep(0.05)
        assert sorted(desk.begun) == ids(4)
        gate.set()
        assert await held == ids(4)
        assert await patient == waiting[3:]
        assert not set(waiting[:3]) & set(desk.begun)


async def test_a_server_reads_no_further_than_it_has_room() -> None:
    async with connected() as (desk, caller):
        gate = asyncio.Event()
        asked = ids(STREAM_BULKHEAD + 500)
        desk.gates = dict.fromkeys(asked, gate)
        call = caller.stream._open()
        await call.write(calls_of(asked))
        await until(lambda: len(desk.begun) >= STREAM_BULKHEAD)
        await asyncio.sleep(0.05)
        assert len(desk.begun) == STREAM_BULKHEAD
        gate.set()
        answered: set[int] = set()
        while len(answered) < len(asked):
            answered |= {answer.id for answer in (await call.read()).answers}
        call.cancel()


async def test_a_call_whose_time_is_over_before_there_is_room_is_not_begun() -> None:
    async with connected() as (desk, caller):
        gate = asyncio.Event()
        desk.gates = dict.fromkeys(ids(STREAM_BULKHEAD), gate)
        call = caller.stream._open()
        await call.write(calls_of(ids(STREAM_BULKHEAD)))
        await call.write(calls_of(["too late"], timeout_ms=50))
        await until(lambda: len(desk.begun) == STREAM_BULKHEAD)
        await asyncio.sleep(0.1)
        gate.set()
        await call.write(calls_of(["in time"]))
        await until(lambda: "in time" in desk.begun)
        assert "too late" not in desk.begun
        call.cancel()


async def test_idle_stream_is_closed_and_reopened() -> None:
    async with connected(idle_s=0.1) as (desk, caller):
        desk.gates["held"] = asyncio.Event()
        held = asyncio.create_task(caller.ask("held"))
        await asyncio.sleep(0.3)
        assert caller.stream._link is not None  # a call is waiting
        desk.gates["held"].set()
        assert await held == "held"
        await until(lambda: caller.stream._link is None)
        assert await ask_all(caller, ids(3)) == ids(3)
        assert caller.stream.opened == 2
