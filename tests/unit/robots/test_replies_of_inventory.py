"""A robot's calls: a refused token means logging in again, any other reply that is no answer is in doubt."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from autogrocery.contracts.inventory.v1 import inventory_pb2 as wire
from autogrocery.kit.errors import InDoubt, Unauthenticated
from autogrocery.kit.rpc.channel import open_channel
from autogrocery.kit.rpc.server import serve
from autogrocery.kit.rpc.server_call import ServerMethod
from autogrocery.robots.core.plan import Outcome
from autogrocery.robots.peers.inventory import Inventory
from tests.harness.fake_peers import RawReply, injected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SERVICE = "/autogrocery.inventory.v1.InventoryService/"
CALLS = {
    "ListWork": lambda peer: peer.list_work("token", "bread-1", "bread", 1),
    "StartPick": lambda peer: peer.start_pick("token", "bread-1", "a-1"),
    "Heartbeat": lambda peer: peer.heartbeat("token", "bread-1", [1]),
    "ReportPick": lambda peer: peer.report_pick("token", "bread-1", "a-1", 1, 1, [], Outcome.PICKED),
    "ReportPutaway": lambda peer: peer.report_putaway("token", "bread-1", "a-1", 1, 1, [], done=True),
}


@asynccontextmanager
async def answering(answer: bytes | grpc.StatusCode) -> AsyncIterator[Inventory]:
    """Serve an inventory that answers every call with the same bytes, or with a status."""

    async def act(_request: bytes, _call: Any) -> RawReply:
        if isinstance(answer, bytes):
            return RawReply(answer)
        raise injected(answer)

    methods = {f"{SERVICE}{call}": ServerMethod(bytes, act) for call in CALLS}
    async with serve("ADDR", "127.0.0.1", 0, methods) as port, open_channel(f"127.0.0.1:{port}") as channel:
        yield Inventory(channel)


@pytest.mark.parametrize("call", CALLS)
async def test_a_refused_token_is_unauthenticated_and_another_status_in_doubt(call: str) -> None:
    async with answering(grpc.StatusCode.UNAUTHENTICATED) as inventory:
        with pytest.raises(Unauthenticated):
            await CALLS[call](inventory)
    async with answering(grpc.StatusCode.PERMISSION_DENIED) as inventory:
        with pytest.raises(InDoubt):
            await CALLS[call](inventory)


@pytest.mark.parametrize("call", CALLS)
async def test_a_reply_that_cannot_be_decoded_is_in_doubt(call: str) -> None:
    async with answering(b"\xff\xff\xff\xff") as inventory:
        with pytest.raises(InDoubt):
            await CALLS[call](inventory)


LINE = wire.Item(sku="b1", quantity=-1)
NONSENSE = [
    ("ListWork", wire.ListWorkResponse(assignments=[wire.Assignment(assignment_id="a-1", items=[LINE])])),
    ("StartPick", wire.StartPickResponse(granted=True, lease_until=Timestamp(seconds=1 << 62))),
    ("StartPick", wire.StartPickResponse(granted=True, lease_until=Timestamp(seconds=-(1 << 62)))),
    ("StartPick", wire.StartPickResponse(granted=True, items=[wire.RestockedItem(sku="b1", received=1, damaged=2)])),
    ("ReportPick", wire.ReportPickResponse()),
    ("ReportPick", wire.ReportPickResponse(result=99)),  # type: ignore[arg-type]
    ("ReportPutaway", wire.ReportPutawayResponse(result=99)),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("call", "reply"), NONSENSE)
async def test_a_reply_that_is_nonsense_is_in_doubt(call: str, reply: Any) -> None:
    async with answering(reply.SerializeToString()) as inventory:
        with pytest.raises(InDoubt):
            await CALLS[call](inventory)
