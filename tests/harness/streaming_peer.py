"""A scripted peer that answers GetOrder on streams, or as an older version by unary calls only, and a client of it."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.contracts.inventory.v1.inventory_pb2_grpc import (
    InventoryServiceServicer,
    InventoryServiceStub,
    add_InventoryServiceServicer_to_server,
)
from autogrocery.kit.errors import InDoubt
from autogrocery.kit.rpc.client import Peer, open_channel
from autogrocery.kit.rpc.server import bearer, serve
from autogrocery.kit.rpc.stream_client import Stream
from autogrocery.kit.rpc.stream_method import StreamMethod
from tests.harness.fake_peers import by_stream
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc

    from autogrocery.kit.rpc.stream_server import Conversations

SERVICE = "/autogrocery.inventory.v1.InventoryService"
PATH = f"{SERVICE}/Converse"
POINT = "peer.get_order"
PATIENCE_S = 10.0
SHORT_S = 0.15


class UnaryPeer(InventoryServiceServicer):
    """Serves unary calls only. A call with an id in `gates` waits there, one in `fails` raises; others are answered."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.finished: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.fails: dict[str, Exception] = {}
        self.large: dict[str, int] = {}  # extra bytes in the reply
        self.cancelled = asyncio.Event()
        self.by_stream = 0

    async def GetOrder(self, request: pb.GetOrderRequest, context: Any) -> pb.GetOrderResponse:
        order_id = request.order_id
        self.by_stream += by_stream(context)
        self.begun.append(order_id)
        if order_id in self.gates:
            try:
                await self.gates[order_id].wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        self.finished.append(order_id)
        if order_id in self.fails:
            raise self.fails[order_id]
        items = [pb.PickedItem(sku="x" * self.large[order_id])] if order_id in self.large else []
        return pb.GetOrderResponse(order_id=order_id, state=pb.GetOrderResponse.HELD, items=items)

    async def CheckAvailability(self, request: pb.CheckAvailabilityRequest, _: Any) -> pb.CheckAvailabilityResponse:
        return pb.CheckAvailabilityResponse(items=[pb.StockLevel(sku=sku, available=1) for sku in request.skus])


class StreamingPeer(UnaryPeer):
    """Serves streams too."""

    def __init__(self) -> None:
        super().__init__()
        self.streamed: dict[str, Any] = {"get_order": self.GetOrder, "check_availability": self.CheckAvailability}
        self.shown: dict[str, str] = {}  # tokens by robot

    async def Converse(self, conversations: Conversations, context: Any) -> None:
        await conversations.hold(context, self.streamed, pb.Answers)

    async def ConverseRobots(self, conversations: Conversations, context: Any) -> None:
        await conversations.hold(context, {"list_work": self.ListWork}, pb.RobotAnswers)

    async def ListWork(self, request: pb.ListWorkRequest, context: Any) -> pb.ListWorkResponse:
        self.shown[request.robot_id] = bearer(context)
        if self.shown[request.robot_id] in self.fails:
            raise self.fails[self.shown[request.robot_id]]
        return pb.ListWorkResponse()


@asynccontextmanager
async def serve_peer(desk: UnaryPeer, port: int = 0) -> AsyncIterator[int]:
    def add(server: grpc.aio.Server) -> None:
        add_InventoryServiceServicer_to_server(desk, server)

    async with serve("PEER_ADDR", "127.0.0.1", port, add, ()) as bound:
        yield bound


class StreamOnly(StreamMethod[Any]):
    """A method whose calls are made on the stream, proven or not, with no unary call beside or after them."""

    async def __call__(self, request: Any, *, timeout: float, metadata: Any = None) -> Any:  # noqa: ASYNC109
        until = asyncio.get_running_loop().time() + timeout
        return await self._stream.ask(self._kind, request, until, dict(metadata or ()).get("authorization", ""))


class PeerClient:
    """A client with one stream; `ask` and `check` use only that, `ask_either` the stream if it works or unary calls."""

    def __init__(self, channel: grpc.aio.Channel, **how: Any) -> None:
        stub = InventoryServiceStub(channel)
        self.stub = stub
        self.stream = Stream(channel, PATH, pb.Calls, pb.Answers.FromString, probe="check_availability", **how)
        self.peer = Peer("peer")
        self._get_order = StreamOnly(self.stream, "get_order", stub.GetOrder)
        self._check = StreamOnly(self.stream, "check_availability", stub.CheckAvailability)
        self._either: StreamMethod[Any] = StreamMethod(self.stream, "get_order", stub.GetOrder)

    async def ask(self, order_id: str, timeout_s: float = PATIENCE_S) -> str:
        request = pb.GetOrderRequest(order_id=order_id)
        reply = await self.peer.call(self._get_order, request, timeout_s=timeout_s, point=POINT)
        return str(reply.order_id)

    async def ask_either(self, order_id: str, timeout_s: float = PATIENCE_S) -> str:
        request = pb.GetOrderRequest(order_id=order_id)
        reply = await self.peer.call(self._either, request, timeout_s=timeout_s, point=POINT)
        return str(reply.order_id)

    async def prove(self) -> None:
        """Wait until the stream is known to work."""
        await until(self.stream.ready, PATIENCE_S)

    async def check(self, *skus: str) -> list[int]:
        request = pb.CheckAvailabilityRequest(skus=skus)
        reply = await self.peer.call(self._check, request, timeout_s=PATIENCE_S, point="peer.check")
        return [item.available for item in reply.items]


@asynccontextmanager
async def open_client(port: int, **how: Any) -> AsyncIterator[PeerClient]:
    async with open_channel(f"127.0.0.1:{port}") as channel:
        yield PeerClient(channel, **how)


@asynccontextmanager
async def connected(desk: UnaryPeer | None = None, **how: Any) -> AsyncIterator[tuple[Any, PeerClient]]:
    """Yield a peer and a client connected to it."""
    desk = desk or StreamingPeer()
    async with serve_peer(desk) as port, open_client(port, **how) as caller:
        yield desk, caller
        for gate in desk.gates.values():
            gate.set()


def ids(count: int) -> list[str]:
    return [f"order-{number}" for number in range(count)]


async def ask_all(caller: PeerClient, order_ids: list[str], **how: float) -> list[str]:
    return list(await asyncio.gather(*(caller.ask(order_id, **how) for order_id in order_ids)))


async def count_in_doubt(caller: PeerClient, order_ids: list[str], **how: float) -> int:
    outcomes = await asyncio.gather(*(caller.ask(order_id, **how) for order_id in order_ids), return_exceptions=True)
    return sum(isinstance(one, InDoubt) for one in outcomes)


def calls_of(order_ids: list[str], timeout_ms: int = 10_000) -> bytes:
    return pb.Calls(
        calls=[
            pb.Call(id=number, timeout_ms=timeout_ms, get_order=pb.GetOrderRequest(order_id=order_id))
            for number, order_id in enumerate(order_ids, 1)
        ]
    ).SerializeToString()


async def main(port: int) -> None:
    """Serve until killed; calls with the ids stuck-0 to stuck-99 are never answered."""
    desk = StreamingPeer()
    desk.gates = {f"stuck-{number}": asyncio.Event() for number in range(100)}
    async with serve_peer(desk, port) as bound:
        print(bound, flush=True)  # noqa: T201 - for the test that started it
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
