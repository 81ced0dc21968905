"""A stream is an option: whatever goes wrong on it, every call is answered, and the breaker hears nothing of it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.kit.errors import InDoubt
from autogrocery.kit.rpc.client import BREAKER_MIN_CALLS
from autogrocery.kit.rpc.status import BULKHEAD
from autogrocery.lab.ports import free_ports
from tests.harness.streaming_peer import (
    StreamingPeer,
    UnaryPeer,
    connected,
    ids,
    open_client,
    serve_peer,
)
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.harness.streaming_peer import PeerClient

DEADLINE_S = 1.0
SOON_S = 0.5  # no call waits for a stream nearly that long


class OddPeer(UnaryPeer):
    """Answers unary calls; its stream answers `honest` calls, then does what `how` says."""

    def __init__(self, how: str, honest: int = 0) -> None:
        super().__init__()
        self.how = how
        self.honest = honest
        self.streams = 0

    async def Converse(self, _conversations: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self.streams += 1
        for _ in range(self.honest):
            calls = await context.read()
            await context.write(pb.Answers(answers=[answer_to(call) for call in calls.calls]).SerializeToString())
        match self.how:
            case "unimplemented":
                await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such thing")
            case "ends":
                await context.read()
            case "ends at once":
                return
            case "fails":
                await context.read()
                await context.abort(grpc.StatusCode.INTERNAL, "reset")
            case "refuses":
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not for you")
            case "swallows":
                await asyncio.Event().wait()
            case "fails each call":
                await fail_each(context)
            case "nonsense":
                await context.read()
                await context.write(b"\xff\xff\xff\xff")
                await asyncio.Event().wait()


async def fail_each(context: grpc.aio.ServicerContext[Any, Any]) -> None:
    while (calls := await context.read()) is not grpc.aio.EOF:
        failures = [pb.Answer(id=call.id, failure=pb.Failure(code=13)) for call in calls.calls]
        await context.write(pb.Answers(answers=failures).SerializeToString())


def answer_to(call: pb.Call) -> pb.Answer:
    kind = call.WhichOneof("request")
    answer = pb.Answer(id=call.id)
    getattr(answer, str(kind)).SetInParent()
    if kind == "get_order":
        answer.get_order.order_id = call.get_order.order_id
    return answer


HOW = ["unimplemented", "ends", "ends at once", "fails", "refuses", "swallows", "fails each call", "nonsense"]


async def slowest(caller: PeerClient, order_ids: list[str]) -> float:
    """Ask for each order at once; all must be answered. Returns how long the slowest answer took."""
    begun = time.monotonic()
    assert await asyncio.gather(*(caller.ask_either(one, DEADLINE_S) for one in order_ids)) == order_ids
    return time.monotonic() - begun


@pytest.mark.parametrize("honest", [0, 1, 3])
@pytest.mark.parametrize("how", HOW)
async def test_a_stream_that_goes_wrong_costs_no_call_its_answer(how: str, honest: int) -> None:
    async with connected(OddPeer(how, honest), unary_for_s=0.2) as (desk, caller):
        for number in range(2 * BREAKER_MIN_CALLS):
            assert await slowest(caller, [f"{number}-{one}" for one in ids(8)]) < SOON_S
            await asyncio.sleep(0.01)
        assert caller.peer.available
        assert all(ok for _, ok in caller.peer._outcomes)
        assert desk.streams >= (1 if how in {"swallows", "fails each call"} else 2)  # it was tried, and tried again


async def test_calls_use_the_stream_once_it_has_answered() -> None:
    async with connected() as (desk, caller):
        assert await caller.ask_either("first") == "first"
        assert desk.by_stream == 0
        await caller.prove()
        assert await slowest(caller, ids(50)) < SOON_S
        assert desk.by_stream == 50


async def test_calls_on_a_stream_that_breaks_are_answered_by_unary_calls() -> None:
    """The connection stays: only the stream is cancelled below the calls."""
    async with connected() as (desk, caller):
        await caller.prove()
        desk.gates = {order_id: asyncio.Event() for order_id in ids(5)}
        calls = asyncio.gather(*(caller.ask_either(order_id, 10.0) for order_id in ids(5)))
        await until(lambda: len(desk.begun) == 5)
        caller.stream._link.cancel()
        await until(lambda: len(desk.begun) == 10)
        for gate in desk.gates.values():
            gate.set()
        assert await calls == ids(5)
        assert caller.peer.available


async def test_a_peer_without_streams_is_asked_for_one_now_and_then_and_keeps_the_unary_bound() -> None:
    async with connected(UnaryPeer(), unary_for_s=0.3) as (desk, caller):
        await slowest(caller, ids(10))
        await until(lambda: not caller.stream.spoken)
        await slowest(caller, ids(10))
        assert (caller.stream.opened, desk.by_stream) == (1, 0)
        gate = asyncio.Event()
        desk.gates = dict.fromkeys(ids(100), gate)
        desk.begun.clear()
        many = asyncio.gather(*(caller.ask_either(one) for one in ids(100)))
        await until(lambda: len(desk.begun) == BULKHEAD)
        await asyncio.sleep(0.05)
        assert len(desk.begun) == BULKHEAD
        gate.set()
        assert await many == ids(100)
        await until(lambda: caller.stream.spoken)
        assert await caller.ask_either("again") == "again"
        await until(lambda: caller.stream.opened == 2)


async def test_a_peer_that_was_upgraded_is_asked_by_stream_again() -> None:
    (port,) = free_ports(1)
    async with open_client(port, unary_for_s=0.2) as caller:
        async with serve_peer(UnaryPeer(), port):
            assert await caller.ask_either("old") == "old"
            await until(lambda: not caller.stream.spoken)
        with pytest.raises(InDoubt):
            await caller.ask_either("no peer")
        async with serve_peer(upgraded := StreamingPeer(), port):
            await caller.prove()
            assert await caller.ask_either("new") == "new"
            assert upgraded.by_stream == 1


async def test_a_kind_unknown_to_the_stream_is_asked_by_unary_calls() -> None:
    desk = StreamingPeer()
    del desk.streamed["get_order"]
    async with connected(desk) as (_, caller):
        await caller.prove()
        assert await caller.ask_either("alone") == "alone"
        assert (desk.by_stream, caller.stream.spoken) == (0, True)


async def test_a_slow_answer_on_the_stream_is_taken_if_it_comes_first() -> None:
    async with connected() as (desk, caller):
        await caller.prove()
        desk.gates["slow"] = asyncio.Event()
        slow = asyncio.create_task(caller.ask_either("slow", 5.0))
        await until(lambda: desk.begun == ["slow", "slow"])  # by stream, and beside it by a unary call
        desk.gates["slow"].set()
        assert await slow == "slow"


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    """Fail if a call leaves a task of its own behind."""
    before = asyncio.all_tasks()
    yield
    await until(lambda: not {task for task in asyncio.all_tasks() - before if "StreamMethod" in repr(task.get_coro())})
