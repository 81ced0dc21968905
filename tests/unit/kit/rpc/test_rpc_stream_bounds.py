"""Limits of a stream, and fallbacks for a peer that does not support streams."""

from __future__ import annotations

import asyncio

from autogrocery.kit.rpc.status import BULKHEAD, STREAM_BULKHEAD
from autogrocery.lab.ports import free_ports
from tests.harness.streaming_peer import (
    PATIENCE_S,
    SHORT_S,
    StreamingPeer,
    UnaryPeer,
    ask_all,
    calls_of,
    connected,
    count_in_doubt,
    ids,
    open_client,
    serve_peer,
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


async def test_old_peer_gets_unary_calls_and_now_and_then_a_stream() -> None:
    async with connected(UnaryPeer(), unary_for_s=0.3) as (desk, caller):
        assert await ask_all(caller, ids(10)) == ids(10)
        assert await ask_all(caller, ids(10)) == ids(10)
        assert (caller.stream.opened, desk.by_stream) == (1, 0)
        gate = asyncio.Event()
        desk.gates = dict.fromkeys(ids(100), gate)
        desk.begun.clear()
        many = asyncio.create_task(ask_all(caller, ids(100)))
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
    async with open_client(port) as caller:
        async with serve_peer(UnaryPeer(), port):
            assert await caller.ask("old") == "old"
            assert not caller.stream.spoken
        assert await count_in_doubt(caller, ["no peer"]) == 1
        async with serve_peer(upgraded := StreamingPeer(), port):
            async with asyncio.timeout(PATIENCE_S):
                while await count_in_doubt(caller, ["new"]):  # noqa: ASYNC110 - the server comes up
                    await asyncio.sleep(0.02)
            assert await caller.ask("newer") == "newer"
            assert upgraded.by_stream >= 1


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


async def test_kind_unknown_to_the_stream_falls_back_to_unary() -> None:
    desk = StreamingPeer()
    del desk.streamed["get_order"]
    async with connected(desk) as (_, caller):
        assert await caller.ask("alone") == "alone"
        assert await caller.check("milk") == [1]
        assert (desk.by_stream, caller.stream.carried, caller.stream.spoken) == (0, 2, True)
