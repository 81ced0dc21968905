"""The server's end of unary gRPC with gRPC's own client."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.kit.errors import Denied, InDoubt, Invalid, Unauthenticated, Unavailable
from autogrocery.kit.process.log import capture
from autogrocery.kit.rpc.server import bearer, serve, server_methods
from autogrocery.kit.rpc.server_call import ServerCall
from autogrocery.kit.rpc.status import DRAIN_S, MAX_MESSAGE_BYTES, Code, RpcError
from autogrocery.lab.ports import free_ports
from tests.harness.raw_http2_client import GET_ORDER, PATIENCE_S, SERVICE, Desk
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def served(desk: Desk, port: int = 0) -> AsyncIterator[int]:
    async with serve("ADDR", "127.0.0.1", port, server_methods(SERVICE, desk)) as bound:
        yield bound


@asynccontextmanager
async def connected(**options: Any) -> AsyncIterator[tuple[Desk, Any, Any]]:
    """Yield a desk, its GetOrder as gRPC's client calls it, and the client's channel."""
    desk = Desk()
    async with served(desk) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}", **options) as channel:
        try:
            yield desk, method(channel), channel
        finally:
            for gate in desk.gates.values():
                gate.set()


def method(channel: grpc.aio.Channel) -> Any:
    get_order: Any = channel.unary_unary(
        GET_ORDER,
        request_serializer=pb.GetOrderRequest.SerializeToString,
        response_deserializer=pb.GetOrderResponse.FromString,
    )
    return lambda order_id, timeout=PATIENCE_S, **how: get_order(
        pb.GetOrderRequest(order_id=order_id), timeout=timeout, **how
    )


async def failure_of(call: Any) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value.code().name, error.value.details() or ""


async def test_many_calls_at_once_each_get_their_own_answer() -> None:
    async with connected() as (_, get_order, _channel):
        asked = [f"order-{number}" for number in range(1_000)]
        replies = await asyncio.gather(*(get_order(order_id) for order_id in asked))
        assert [reply.order_id for reply in replies] == asked


async def test_an_answer_overtakes_another() -> None:
    async with connected() as (desk, get_order, _):
        gate = desk.gates["slow"] = asyncio.Event()
        slow = asyncio.ensure_future(get_order("slow"))
        await until(lambda: desk.begun == ["slow"])
        assert (await get_order("quick")).order_id == "quick"
        assert not slow.done()
        gate.set()
        assert (await slow).order_id == "slow"


@pytest.mark.parametrize("size", [0, 10, 16_000, 70_000, MAX_MESSAGE_BYTES - 200])
async def test_messages_of_any_size_up_to_the_limit_pass_both_ways(size: int) -> None:
    async with connected() as (desk, get_order, _):
        order_id = "x" * size
        desk.large[order_id] = 100
        replies = await asyncio.gather(*(get_order(order_id) for _ in range(5)))
        assert {reply.order_id for reply in replies} == {order_id}


async def test_messages_beyond_the_limit_end_resource_exhausted_and_no_other_call() -> None:
    async with connected() as (desk, get_order, _):
        desk.large["large"] = MAX_MESSAGE_BYTES
        assert await failure_of(get_order("large")) == ("RESOURCE_EXHAUSTED", "the reply is too large")
        assert await failure_of(get_order("x" * MAX_MESSAGE_BYTES)) == (
            "RESOURCE_EXHAUSTED",
            "the request is too large",
        )
        assert (await get_order("next")).order_id == "next"


ERRORS = {
    "UNAUTHENTICATED": Unauthenticated("invalid_token", "no"),
    "PERMISSION_DENIED": Denied("insufficient_scope", "no"),
    "INVALID_ARGUMENT": Invalid("validation_failed", "no"),
    "UNAVAILABLE": Unavailable("database_down", "no"),
    "ABORTED": RpcError(Code.ABORTED, "no"),
}


@pytest.mark.parametrize("status", ERRORS)
async def test_errors_end_a_call_with_their_status(status: str) -> None:
    async with connected() as (desk, get_order, _):
        desk.fails["one"] = ERRORS[status]
        assert await failure_of(get_order("one")) == (status, "no")
        assert (await get_order("next")).order_id == "next"


async def test_in_doubt_is_unavailable() -> None:
    async with connected() as (desk, get_order, _):
        desk.fails["one"] = InDoubt("peer", "lost")
        assert (await failure_of(get_order("one")))[0] == "UNAVAILABLE"


async def test_an_unexpected_error_is_unknown_and_logged_and_tells_nothing_more() -> None:
    events: list[str] = []
    async with connected() as (desk, get_order, _):
        desk.fails["one"] = KeyError("secret")
        with capture(lambda _level, event, _fields: events.append(event)):
            assert await failure_of(get_order("one")) == ("UNKNOWN", "KeyError")
        assert events == ["call_failed"]


@pytest.mark.parametrize("detail", ["100 % of Ärger\n\t☃", "", "%41", "x" * 1_000])
async def test_any_text_of_a_status_arrives(detail: str) -> None:
    async with connected() as (desk, get_order, _):
        desk.fails["one"] = RpcError(Code.ABORTED, detail)
        assert await failure_of(get_order("one")) == ("ABORTED", detail)


async def test_an_unknown_method_is_unimplemented() -> None:
    async with connected() as (_, _get_order, channel):
        for path in (f"/{SERVICE.full_name}/ReserveItems", "/a.B/C", "/grpc.health.v1.Health/Watch"):
            assert (await failure_of(channel.unary_unary(path)(b"", timeout=PATIENCE_S)))[0] == "UNIMPLEMENTED"


async def test_a_stream_is_unimplemented() -> None:
    async with connected() as (_, get_order, channel):
        call: Any = channel.stream_stream("/a.B/C")(timeout=PATIENCE_S)
        with pytest.raises(grpc.aio.AioRpcError, match="UNIMPLEMENTED"):
            await call.read()
        assert (await get_order("next")).order_id == "next"


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_a_compressed_message_is_unimplemented(compression: grpc.Compression) -> None:
    async with connected() as (desk, get_order, _):
        assert await failure_of(get_order("x" * 10_000, compression=compression)) == (
            "UNIMPLEMENTED",
            "the message is compressed",
        )
        assert desk.begun == []


async def test_junk_is_internal() -> None:
    async with connected() as (desk, _, channel):
        junk = channel.unary_unary(GET_ORDER)(b"\xff" * 9, timeout=PATIENCE_S)
        assert await failure_of(junk) == ("INTERNAL", "the request can't be decoded")
        assert desk.begun == []


async def test_each_call_shows_its_own_token() -> None:
    async with connected() as (desk, get_order, _):
        await asyncio.gather(
            *(get_order(name, metadata=(("authorization", f"Bearer {name}"),)) for name in ("a", "b" * 2_000)),
            get_order("none"),
        )
        assert desk.tokens == {"a": b"Bearer a", "b" * 2_000: b"Bearer " + b"b" * 2_000, "none": b""}


@pytest.mark.parametrize("field", [None, b"Basic x", b"bearer x", b"Bearer"])
def test_without_a_bearer_token_a_call_is_unauthenticated(field: bytes | None) -> None:
    fields = {} if field is None else {b"authorization": field}
    if field == b"Bearer":
        assert bearer(ServerCall(fields, {})) == ""
        return
    with pytest.raises(Unauthenticated):
        bearer(ServerCall(fields, {}))


async def test_work_goes_on_after_deadline_and_cancellation() -> None:
    async with connected() as (desk, get_order, _):
        gate = asyncio.Event()
        desk.gates = {"late": gate, "gone": gate}
        late, gone = asyncio.ensure_future(get_order("late", timeout=0.2)), get_order("gone")
        await until(lambda: len(desk.begun) == 2)
        gone.cancel()
        assert (await failure_of(late))[0] == "DEADLINE_EXCEEDED"
        assert (await get_order("next")).order_id == "next"
        assert desk.finished == ["next"]
        gate.set()
        await until(lambda: sorted(desk.finished) == ["gone", "late", "next"])
        assert desk.cancelled == []


async def test_health_is_checked_by_service() -> None:
    async with connected() as (_, _get_order, channel):
        stub: Any = health_pb2_grpc.HealthStub(channel)
        for service in ("", SERVICE.full_name):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE_S)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        unknown = stub.Check(health_pb2.HealthCheckRequest(service="a.B"), timeout=PATIENCE_S)
        assert (await failure_of(unknown))[0] == "NOT_FOUND"


async def test_a_stop_answers_what_is_in_flight_and_sends_later_calls_elsewhere() -> None:
    desk, other = Desk(), Desk()
    gate = desk.gates["held"] = asyncio.Event()
    (port,) = free_ports(1)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        async with served(desk, port):
            held = asyncio.ensure_future(method(channel)("held"))
            await until(lambda: desk.begun == ["held"])
            asyncio.get_running_loop().call_later(0.1, gate.set)
        assert (await held).order_id == "held"
        async with served(other, port):
            assert (await method(channel)("next", wait_for_ready=True)).order_id == "next"
    assert other.begun == ["next"]


async def test_a_stop_waits_for_stuck_work_no_longer_than_promised() -> None:
    desk = Desk()
    desk.gates["stuck"] = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with served(desk) as port:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        stuck = asyncio.ensure_future(method(channel)("stuck"))
        await until(lambda: desk.begun == ["stuck"])
        began = loop.time()
    assert DRAIN_S <= loop.time() - began < DRAIN_S + 2
    assert desk.cancelled == ["stuck"]
    assert (await failure_of(stuck))[0] == "UNAVAILABLE"
    await channel.close()


async def test_a_stop_without_calls_is_immediate() -> None:
    loop = asyncio.get_running_loop()
    async with connected() as (_, get_order, _channel):
        await get_order("one")
        began = loop.time()
    assert loop.time() - began < DRAIN_S / 2
