"""Which answers open a peer's breaker: those of a peer in trouble, not those to a request that it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest

from autogrocery.kit.errors import InDoubt
from autogrocery.kit.rpc.client import BREAKER_MIN_CALLS, Peer, open_channel
from autogrocery.kit.rpc.server import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

METHOD = "/kit.Echo/Ask"
Code = grpc.StatusCode
REFUSALS = (Code.INVALID_ARGUMENT, Code.OUT_OF_RANGE, Code.FAILED_PRECONDITION, Code.NOT_FOUND, Code.ALREADY_EXISTS)
TROUBLE = tuple(code for code in Code if code not in {Code.OK, *REFUSALS})


class Refusing(grpc.GenericRpcHandler):
    """Answers every call with the status whose name is its request."""

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        async def answer(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
            code = Code[request.decode()]
            if code is not Code.OK:
                await context.abort(code, "as asked")
            return b""

        return grpc.unary_unary_rpc_method_handler(answer) if details.method == METHOD else None


@pytest.fixture
async def ask() -> AsyncIterator[Any]:
    def add(server: grpc.aio.Server) -> None:
        server.add_generic_rpc_handlers((Refusing(),))

    async with serve("TEST_GRPC_ADDR", "127.0.0.1", 0, add, ()) as port, open_channel(f"127.0.0.1:{port}") as channel:
        yield channel.unary_unary(METHOD)


async def is_available_after(ask: Any, code: grpc.StatusCode) -> bool:
    peer = Peer("echo")
    for _ in range(BREAKER_MIN_CALLS + 1):
        with pytest.raises(InDoubt):
            await peer.call(ask, code.name.encode(), timeout_s=5, point="echo.ask")
    return peer.available


@pytest.mark.parametrize("code", REFUSALS, ids=lambda code: code.name)
async def test_request_that_a_peer_refuses_opens_no_breaker(ask: Any, code: grpc.StatusCode) -> None:
    assert await is_available_after(ask, code)


@pytest.mark.parametrize("code", TROUBLE, ids=lambda code: code.name)
async def test_trouble_of_a_peer_opens_the_breaker(ask: Any, code: grpc.StatusCode) -> None:
    assert not await is_available_after(ask, code)
