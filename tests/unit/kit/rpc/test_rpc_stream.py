"""Many calls on one stream, without network faults: each behaves as a unary call."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import pytest

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.contracts.inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from autogrocery.kit.errors import Denied, InDoubt, Invalid, Unauthenticated, Unavailable
from autogrocery.kit.process import faults
from autogrocery.kit.process.faults import Fault, Mode
from autogrocery.kit.rpc.client import Peer, open_channel
from autogrocery.kit.rpc.status import BATCH_CALLS
from autogrocery.kit.rpc.stream_client import Stream
from autogrocery.kit.rpc.stream_method import StreamMethod
from tests.harness.streaming_peer import (
    PATIENCE_S,
    POINT,
    SERVICE,
    SHORT_S,
    StreamingPeer,
    UnaryPeer,
    ask_all,
    calls_of,
    connected,
    count_in_doubt,
    ids,
    serve_peer,
)
from tests.harness.waiting import until


async def test_concurrent_calls_share_a_message_and_get_their_own_answers() -> None:
    async with connected() as (_, caller):
        assert await ask_all(caller, ids(200)) == ids(200)
        assert (caller.stream.opened, caller.stream.carried) == (1, 200)
        assert caller.stream.messages <= 2


async def test_lone_call_is_written_at_once() -> None:
    async with connected() as (_, caller):
        for order_id in ids(20):
            assert await caller.ask(order_id) == order_id
        assert (caller.stream.opened, caller.stream.messages, caller.stream.carried) == (1, 20, 20)


async def test_a_message_carries_no_more_than_is_promised() -> None:
    async with connected() as (_, caller):
        assert await ask_all(caller, ids(3 * BATCH_CALLS)) == ids(3 * BATCH_CALLS)
        assert caller.stream.messages >= 3
        messages = caller.stream.messages
        large = [f"{number:02}" + "x" * 50_000 for number in range(20)]  # a megabyte, in pieces of a quarter
        assert await ask_all(caller, large) == large
        assert caller.stream.messages - messages >= 4


async def test_answers_ready_at_once_share_a_message() -> None:
    async with connected() as (desk, caller):
        gate = asyncio.Event()
        desk.gates = dict.fromkeys(ids(100), gate)
        call = caller.stream._open()
        await call.write(calls_of(ids(100)))
        await until(lambda: len(desk.begun) == 100)
        gate.set()
        answers = await call.read()
        assert sorted(answer.id for answer in answers.answers) == list(range(1, 101))
        call.cancel()


async def test_large_answers_that_are_ready_together_do_not_make_too_large_a_message() -> None:
    async with connected() as (desk, caller):
        desk.gates = dict.fromkeys(ids(12), asyncio.Event())
        desk.large = dict.fromkeys(ids(12), 100_000)  # more in all than a message may have
        asked = asyncio.create_task(ask_all(caller, ids(12)))
        await until(lambda: len(desk.begun) == 12)
        desk.gates["order-0"].set()
        assert await asked == ids(12)


async def test_a_late_answer_is_not_sent() -> None:
    async with connected() as (desk, caller):
        desk.gates = dict.fromkeys(["late"], asyncio.Event())
        call = caller.stream._open()
        await call.write(calls_of(["late"], timeout_ms=50))
        await until(lambda: desk.begun == ["late"])
        await asyncio.sleep(0.1)
        desk.gates["late"].set()
        await until(lambda: desk.finished == ["late"])
        await call.write(calls_of(["one", "two"]))
        answers = await call.read()
        assert [answer.get_order.order_id for answer in answers.answers] == ["one", "two"]
        call.cancel()


async def test_an_answer_overtakes_another() -> None:
    async with connected() as (desk, caller):
        desk.gates["slow"] = asyncio.Event()
        slow = asyncio.create_task(caller.ask("slow"))
        assert await caller.ask("fast") == "fast"
        assert not slow.done()
        desk.gates["slow"].set()
        assert await slow == "slow"


async def test_a_deadline_ends_one_call_and_its_late_answer_goes_nowhere() -> None:
    async with connected() as (desk, caller):
        desk.gates = {"late": asyncio.Event(), "slow": asyncio.Event()}
        slow = asyncio.create_task(caller.ask("slow"))
        begun = time.monotonic()
        with pytest.raises(InDoubt):
            await caller.ask("late", timeout_s=SHORT_S)
        assert time.monotonic() - begun >= SHORT_S
        for gate in desk.gates.values():
            gate.set()
        assert await slow == "slow"
        assert await caller.ask("next") == "next"
        assert caller.stream.opened == 1
        assert desk.finished.count("late") == 1  # what was begun is carried to its end


async def test_cancelled_call_does_not_affect_others() -> None:
    async with connected() as (desk, caller):
        desk.gates = dict.fromkeys(("left", "stays"), asyncio.Event())
        left, stays = asyncio.create_task(caller.ask("left")), asyncio.create_task(caller.ask("stays"))
        await until(lambda: len(desk.begun) == 2)
        left.cancel()
        desk.gates["stays"].set()
        assert await stays == "stays"
        assert left.cancelled()
        assert not caller.stream._asked
        assert "left" in desk.finished


async def test_a_call_given_up_before_it_is_written_is_never_written() -> None:
    async with connected() as (desk, caller):
        task = asyncio.create_task(caller.ask("never"))
        await asyncio.sleep(0)  # it is queued; the writer has its turn after us
        task.cancel()
        assert await caller.ask("next") == "next"
        assert desk.begun == ["next"]


@pytest.mark.parametrize("what", ["unknown error", "large reply", "large request"])
async def test_a_poisoned_call_fails_alone(what: str) -> None:
    async with connected() as (desk, caller):
        poisoned = "y" * 1_100_000 if what == "large request" else "poisoned"
        if what == "unknown error":
            desk.fails["poisoned"] = RuntimeError("a bug")
        if what == "large reply":
            desk.large["poisoned"] = 2_000_000
        outcomes = await asyncio.gather(caller.ask(poisoned), *map(caller.ask, ids(9)), return_exceptions=True)
        assert isinstance(outcomes[0], InDoubt)
        assert outcomes[1:] == ids(9)
        assert caller.stream.opened == 1


@pytest.mark.parametrize("refusal", [Denied("d", ""), Invalid("i", ""), Unavailable("u", "")])
async def test_a_refusal_is_in_doubt_and_of_one_call_only(refusal: Exception) -> None:
    async with connected() as (desk, caller):
        desk.fails["refused"] = refusal
        outcomes = await asyncio.gather(caller.ask("refused"), caller.ask("well"), return_exceptions=True)
        assert isinstance(outcomes[0], InDoubt)
        assert outcomes[1] == "well"


async def test_a_call_without_a_token_of_its_own_is_in_doubt_if_the_peer_refuses_its_token() -> None:
    async with connected() as (desk, caller):
        desk.fails["refused"] = Unauthenticated("invalid_token", "")
        with pytest.raises(InDoubt):
            await caller.ask("refused")


async def test_each_call_shows_its_own_token_and_none_borrows_anothers() -> None:
    desk = StreamingPeer()
    async with serve_peer(desk) as port, open_channel(f"127.0.0.1:{port}") as channel:
        stream = Stream(
            channel, f"{SERVICE}/ConverseRobots", pb.RobotCalls, pb.RobotAnswers.FromString, probe="heartbeat"
        )
        list_work: StreamMethod[Any] = StreamMethod(stream, "list_work", InventoryServiceStub(channel).ListWork)
        peer = Peer("desk")
        tokens = {f"robot-{number}": f"token-{number}" for number in range(100)}

        async def ask(robot_id: str, token: str | None) -> None:
            request = pb.ListWorkRequest(robot_id=robot_id)
            await peer.call(list_work, request, timeout_s=PATIENCE_S, point="desk.list_work", token=token)

        await until(stream.ready)
        carried = stream.carried
        await asyncio.gather(*(ask(robot_id, token) for robot_id, token in tokens.items()))
        assert desk.shown == tokens
        assert (stream.opened, stream.carried - carried) == (1, 100)
        outcomes = await asyncio.gather(ask("robot-1", "another"), ask("robot-2", None), return_exceptions=True)
        assert isinstance(outcomes[1], InDoubt)
        desk.fails["wrong"] = Unauthenticated("invalid_token", "")
        with pytest.raises(Unauthenticated):
            await ask("robot-3", "wrong")
        del desk.shown["robot-3"]
        tokens.pop("robot-3")
        assert desk.shown == {**tokens, "robot-1": "another"}


@pytest.mark.parametrize(
    ("mode", "begun", "answered"),
    [
        (Mode.DUPLICATE, 2, True),
        (Mode.DELAY, 1, True),
        (Mode.LATE, 1, True),
        (Mode.ERROR_BEFORE, 0, False),
        (Mode.EFFECT_THEN_ERROR, 1, False),
        (Mode.HANG, 0, False),
    ],
)
async def test_a_fault_point_is_passed_once_a_call(mode: Mode, begun: int, answered: bool) -> None:
    async with connected() as (desk, caller):
        with faults.arm(Fault(POINT, mode)) as calls:
            doubted = await count_in_doubt(caller, ["one"], timeout_s=0.5)
        assert (len(desk.begun), doubted, calls[POINT]) == (begun, int(not answered), 1)
        assert caller.stream.carried == begun  # by stream, and two sendings are two calls


async def test_death_at_a_fault_point_answers_no_call() -> None:
    async with connected() as (desk, caller):
        with faults.arm(Fault(POINT, Mode.KILL_AFTER), simulated=True):
            with pytest.raises(faults.SimulatedDeath):
                await caller.ask("one")
            with pytest.raises(faults.SimulatedDeath):
                await caller.ask("two")
        assert desk.begun == ["one"]


async def test_malformed_message_ends_its_stream_only() -> None:
    async with connected() as (_, caller):
        call = caller.stream._open()
        await call.write(b"\xff\xff\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError):
            await call.read()
        assert await caller.ask("well") == "well"


class Saying(UnaryPeer):
    """Says one thing to whatever it is asked first, and nothing more."""

    def __init__(self, words: bytes) -> None:
        super().__init__()
        self.words = words

    async def Converse(self, _conversations: object, context: grpc.aio.ServicerContext) -> None:
        await context.read()
        await context.write(self.words)
        await asyncio.Event().wait()


HELD = pb.GetOrderResponse(order_id="one")
RIGHT = pb.Answer(id=1, get_order=HELD)


@pytest.mark.parametrize(
    "words",
    [
        b"\xff\xff\xff\xff",
        pb.Answers(answers=[pb.Answer(id=1, check_availability=pb.CheckAvailabilityResponse())]).SerializeToString(),
        pb.Answers(answers=[pb.Answer(id=1)]).SerializeToString(),
        pb.Answers(answers=[pb.Answer(id=1, failure=pb.Failure(code=4711))]).SerializeToString(),
    ],
    ids=["no message", "another question's answer", "no answer", "no status of gRPC"],
)
async def test_malformed_answer_is_in_doubt_at_once(words: bytes) -> None:
    async with connected(Saying(words)) as (_, caller):
        async with asyncio.timeout(PATIENCE_S / 2):
            assert await count_in_doubt(caller, ["one"]) == 1


async def test_unknown_and_repeated_answers_are_ignored() -> None:
    answers = [pb.Answer(id=999, get_order=HELD), RIGHT, pb.Answer(id=1, failure=pb.Failure(code=2))]
    async with connected(Saying(pb.Answers(answers=answers).SerializeToString())) as (_, caller):
        assert await caller.ask("one") == "one"
