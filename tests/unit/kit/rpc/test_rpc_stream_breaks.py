"""Broken streams: every unanswered call ends in doubt, and the next call is answered on a new stream."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc
import pytest

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.contracts.inventory.v1.inventory_pb2_grpc import add_InventoryServiceServicer_to_server
from autogrocery.kit.errors import InDoubt
from autogrocery.kit.rpc.client import BREAKER_MIN_CALLS
from autogrocery.kit.rpc.status import DRAIN_S
from autogrocery.kit.rpc.stream_client import SILENT_CALLS, SILENT_S
from autogrocery.kit.rpc.stream_server import Conversations
from autogrocery.lab.fault_proxy import NO_FAULTS, FaultProxy, NetworkFaults, open_proxy
from autogrocery.lab.ports import free_ports
from tests.harness.streaming_peer import (
    PATIENCE_S,
    PeerClient,
    StreamingPeer,
    connected,
    open_client,
    serve_peer,
)
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

AT_ONCE_S = 2.0  # far below PATIENCE_S, the calls' own deadline


@asynccontextmanager
async def behind_a_proxy() -> AsyncIterator[tuple[StreamingPeer, PeerClient, FaultProxy]]:
    desk = StreamingPeer()
    async with (
        serve_peer(desk) as port,
        open_proxy(("127.0.0.1", port)) as proxy,
        open_client(proxy.port) as caller,
    ):
        yield desk, caller, proxy
        for gate in desk.gates.values():
            gate.set()


@asynccontextmanager
async def desk_process(port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """A desk in a process of its own; killed at the end if it is alive."""
    desk = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.harness.streaming_peer", str(port), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert desk.stdout is not None
        await desk.stdout.readline()
        yield desk
    finally:
        if desk.returncode is None:
            desk.kill()
        await desk.wait()


def asked(caller: PeerClient, *order_ids: str, timeout_s: float = PATIENCE_S) -> list[asyncio.Task[str]]:
    return [asyncio.create_task(caller.ask(order_id, timeout_s=timeout_s)) for order_id in order_ids]


async def answered(caller: PeerClient) -> None:
    """Ask until there is an answer, as those do who settle a doubt."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await caller.ask("settled", timeout_s=0.5)
            except InDoubt:
                await asyncio.sleep(0.02)
            else:
                return


async def test_a_broken_stream_leaves_all_its_calls_in_doubt_at_once_and_the_next_call_is_answered() -> None:
    async with behind_a_proxy() as (desk, caller, proxy):
        assert await caller.ask("first") == "first"
        desk.gates = {f"held-{number}": asyncio.Event() for number in range(5)}
        calls = asked(caller, *desk.gates)
        await until(lambda: len(desk.begun) == 6)
        proxy.reset_all()
        async with asyncio.timeout(AT_ONCE_S):
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(one, InDoubt) for one in outcomes)
        await answered(caller)
        assert caller.stream.opened >= 2


async def test_a_call_in_work_is_carried_to_its_end_when_its_stream_breaks() -> None:
    async with behind_a_proxy() as (desk, caller, proxy):
        desk.gates["held"] = asyncio.Event()
        (call,) = asked(caller, "held")
        await until(lambda: desk.begun == ["held"])
        proxy.reset_all()
        with pytest.raises(InDoubt):
            await call
        await answered(caller)
        desk.gates["held"].set()
        await until(lambda: "held" in desk.finished)


async def test_a_server_killed_amid_calls_leaves_them_in_doubt_and_its_successor_answers() -> None:
    (port,) = free_ports(1)
    async with open_client(port) as caller:
        async with desk_process(port) as desk:
            await answered(caller)
            calls = asked(caller, "stuck-1", "stuck-2", "stuck-3")
            assert await caller.ask("behind them") == "behind them"
            desk.send_signal(signal.SIGKILL)
            async with asyncio.timeout(AT_ONCE_S):
                outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(one, InDoubt) for one in outcomes)
            with pytest.raises(InDoubt):
                await caller.ask("no peer", timeout_s=AT_ONCE_S)
        async with desk_process(port):
            await answered(caller)


async def test_a_peer_that_is_not_there_is_in_doubt_at_once_and_not_asked_without_pause() -> None:
    (port,) = free_ports(1)
    async with open_client(port) as caller:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        tries = 0
        while loop.time() - begun < 1.0:
            tries += 1
            with pytest.raises(grpc.aio.AioRpcError) as error:  # past the breaker, which would spare the peer too
                await caller.stream.ask("get_order", pb.GetOrderRequest(order_id="one"), loop.time() + PATIENCE_S)
            assert error.value.code() is grpc.StatusCode.UNAVAILABLE
            await asyncio.sleep(0.002)
        assert tries > caller.stream.opened
        assert 2 <= caller.stream.opened <= 8  # after 25 to 50 ms, twice that, four times, …
        async with serve_peer(StreamingPeer(), port):
            await answered(caller)


async def test_stream_whose_calls_time_out_is_replaced() -> None:
    async with behind_a_proxy() as (desk, caller, proxy):
        assert await caller.ask("first") == "first"
        proxy.faults = NetworkFaults(black_hole=True)
        begun = time.monotonic()
        while caller.stream._link is not None:
            with pytest.raises(InDoubt):
                await caller.ask("lost", timeout_s=0.3)
            assert time.monotonic() - begun < SILENT_S + 3.0
        assert time.monotonic() - begun >= SILENT_S
        proxy.faults = NO_FAULTS
        await answered(caller)
        assert caller.stream.opened >= 2
        assert len(desk.begun) >= 2


async def test_a_slow_peer_that_still_answers_others_keeps_its_stream() -> None:
    async with connected() as (desk, caller):
        desk.gates = {f"slow-{number}": asyncio.Event() for number in range(3 * SILENT_CALLS)}
        for order_id in desk.gates:
            with pytest.raises(InDoubt):
                await caller.ask(order_id, timeout_s=SILENT_S / SILENT_CALLS / 2)
            assert await caller.ask("well") == "well"
        assert caller.stream.opened == 1


async def test_a_server_that_leaves_answers_what_is_in_work_and_ends_the_stream() -> None:
    desk = StreamingPeer()
    desk.gates["held"] = asyncio.Event()
    left = asyncio.Event()

    async def serve_until_left(bound: asyncio.Future[int]) -> float:
        async with serve_peer(desk) as port:
            bound.set_result(port)
            await left.wait()
            leaving = time.monotonic()
        return time.monotonic() - leaving

    bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve_until_left(bound))
    async with open_client(await bound) as caller:
        (held,) = asked(caller, "held")
        await until(lambda: desk.begun == ["held"])
        left.set()
        await asyncio.sleep(0.1)
        assert not serving.done()
        desk.gates["held"].set()
        assert await held == "held"
        assert await serving < DRAIN_S / 2
        assert caller.stream._link is None or await until(lambda: caller.stream._link is None) is None
        with pytest.raises(InDoubt):
            await caller.ask("too late", timeout_s=AT_ONCE_S)


async def test_a_server_that_leaves_waits_for_what_a_client_that_is_gone_had_begun() -> None:
    desk = StreamingPeer()
    desk.gates["held"] = asyncio.Event()
    async with serve_peer(desk) as port:
        async with open_client(port) as caller:
            asked(caller, "held")
            await until(lambda: desk.begun == ["held"])
        asyncio.get_running_loop().call_later(0.2, desk.gates["held"].set)
    assert desk.finished == ["held"]


async def test_a_server_does_not_wait_for_an_idle_stream() -> None:
    async with serve_peer(StreamingPeer()) as port, open_client(port) as caller:
        assert await caller.ask("one") == "one"
        begun = time.monotonic()
    assert time.monotonic() - begun < DRAIN_S / 2


async def test_a_server_that_leaves_waits_no_longer_than_it_promised_and_ends_what_is_stuck() -> None:
    desk = StreamingPeer()
    desk.gates["stuck"] = asyncio.Event()
    async with asyncio.timeout(PATIENCE_S):
        async with serve_peer(desk) as port:
            caller_open = open_client(port)
            caller = await caller_open.__aenter__()
            (stuck,) = asked(caller, "stuck")
            await until(lambda: desk.begun == ["stuck"])
            begun = time.monotonic()
        assert DRAIN_S - 0.1 <= time.monotonic() - begun < DRAIN_S + 2.0
        with pytest.raises(InDoubt):
            await stuck
        assert desk.cancelled.is_set()
        assert not desk.finished
        await caller_open.__aexit__(None, None, None)


async def test_call_stuck_long_after_its_deadline_is_cancelled() -> None:
    desk = StreamingPeer()
    desk.gates["stuck"] = asyncio.Event()
    server = grpc.aio.server(interceptors=(Conversations(abandon_s=0.2),))
    add_InventoryServiceServicer_to_server(desk, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with open_client(port) as caller:
        with pytest.raises(InDoubt):
            await caller.ask("stuck", timeout_s=0.1)
        async with asyncio.timeout(PATIENCE_S):
            await desk.cancelled.wait()
        assert await caller.ask("next") == "next"
        assert caller.stream.opened == 1
    await server.stop(None)


async def test_closed_channel_ends_every_call_in_doubt() -> None:
    desk = StreamingPeer()
    async with serve_peer(desk) as port:
        async with open_client(port) as caller:
            desk.gates["held"] = asyncio.Event()
            (held,) = asked(caller, "held")
            await until(lambda: desk.begun == ["held"])
        with pytest.raises(InDoubt):
            await asyncio.wait_for(held, AT_ONCE_S)
        with pytest.raises(InDoubt):
            await caller.ask("closed")
        desk.gates["held"].set()


async def test_failures_open_the_breaker_and_the_first_answer_closes_it() -> None:
    async with behind_a_proxy() as (desk, caller, proxy):
        desk.gates = {f"held-{number}": asyncio.Event() for number in range(BREAKER_MIN_CALLS)}
        calls = asked(caller, *desk.gates)
        await until(lambda: len(desk.begun) == len(desk.gates))
        recovered = asyncio.Event()
        caller.peer.on_recovery = recovered.set
        proxy.reset_all()
        await asyncio.gather(*calls, return_exceptions=True)
        assert not caller.peer.available
        await answered(caller)
        assert caller.peer.available
        assert recovered.is_set()


@pytest.mark.parametrize("faults", [NetworkFaults(slice_bytes=3), NetworkFaults(latency_s=0.02, jitter_s=0.02)])
async def test_stream_with_mild_network_faults_loses_no_call(faults: NetworkFaults) -> None:
    async with behind_a_proxy() as (_, caller, proxy):
        proxy.faults = faults
        order_ids = [f"order-{number}" for number in range(50)]
        assert list(await asyncio.gather(*map(caller.ask, order_ids))) == order_ids
        assert (proxy.opened, proxy.broken, caller.stream.opened) == (1, 0, 1)
