"""The bounds of a stream, and the ways of a peer that does not know it."""

from __future__ import annotations

import asyncio

from autogrocery.kit.rpc.status import BULKHEAD, STREAM_BULKHEAD
from autogrocery.lab.ports import free_ports
from tests.harness.streaming_peer import (
    PATIENCE_S,
    SHORT_S,
    Desk,
    OldDesk,
    all_of,
    calls_of,
    doubts,
    ids,
    open_caller,
    open_desk,
    talking,
    until,
)


async def test_calls_beyond_the_bound_wait_for_room_or_for_their_deadline() -> None:
    async with talking(in_flight=4) as (desk, caller):
        gate = asyncio.Event()
        desk.gates = dict.fromkeys(ids(4), gate)
        held = asyncio.create_task(all_of(caller, ids(4)))
        await until(lambda: len(desk.begun) == 4)
        waiting = [f"waiting-{number}" for number in range(6)]
        assert await doubts(caller, waiting[:3], timeout_s=SHORT_S) == 3
        patient = asyncio.create_task(all_of(caller, waiting[3:]))
        await asyncio.sleep(0.05)
        assert sorted(desk.begun) == ids(4)
        gate.set()
        assert await held == ids(4)
        assert await patient == waiting[3:]
        assert not set(waiting[:3]) & set(desk.begun)


async def test_a_server_reads_no_further_than_it_has_room() -> None:
    async with talking() as (desk, caller):
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
    async with talking() as (desk, caller):
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


async def test_an_old_peer_is_asked_by_unary_calls_within_their_bound_and_once_in_a_while_by_stream() -> None:
    async with talking(OldDesk(), unary_for_s=0.3) as (desk, caller):
        assert await all_of(caller, ids(10)) == ids(10)
        assert await all_of(caller, ids(10)) == ids(10)
        assert (caller.stream.opened, desk.by_stream) == (1, 0)
        gate = asyncio.Event()
        desk.gates = dict.fromkeys(ids(100), gate)
        desk.begun.clear()
        many = asyncio.create_task(all_of(caller, ids(100)))
        await until(lambda: len(desk.begun) == BULKHEAD)
        await asyncio.sleep(0.05)
        assert len(desk.begun) == BULKHEAD
        gate.set()
        assert await many == ids(100)
        await until(lambda: caller.stream.spoken)
        assert await caller.ask("again") == "again"
        assert caller.stream.opened == 2


async def test_a_peer_that_was_upgraded_is_asked_by_stream_again() -> None:
    (port,) = free_ports(1)
    async with open_caller(port) as caller:
        async with open_desk(OldDesk(), port):
            assert await caller.ask("old") == "old"
            assert not caller.stream.spoken
        assert await doubts(caller, ["nobody is there"]) == 1
        async with open_desk(upgraded := Desk(), port):
            async with asyncio.timeout(PATIENCE_S):
                while await doubts(caller, ["new"]):  # noqa: ASYNC110 - the server comes up
                    await asyncio.sleep(0.02)
            assert await caller.ask("newer") == "newer"
            assert upgraded.by_stream >= 1


async def test_a_stream_that_nobody_uses_is_let_go_and_opened_again() -> None:
    async with talking(idle_s=0.1) as (desk, caller):
        desk.gates["held"] = asyncio.Event()
        held = asyncio.create_task(caller.ask("held"))
        await asyncio.sleep(0.3)
        assert caller.stream._link is not None  # somebody waits
        desk.gates["held"].set()
        assert await held == "held"
        await until(lambda: caller.stream._link is None)
        assert await all_of(caller, ids(3)) == ids(3)
        assert caller.stream.opened == 2


async def test_a_kind_that_the_peer_does_not_stream_goes_alone() -> None:
    desk = Desk()
    del desk.streamed["get_order"]
    async with talking(desk) as (_, caller):
        assert await caller.ask("alone") == "alone"
        assert await caller.check("milk") == [1]
        assert (desk.by_stream, caller.stream.carried, caller.stream.spoken) == (0, 2, True)
