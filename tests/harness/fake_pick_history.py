"""An inventory that tells robots' picks and nothing else, over real gRPC."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from autogrocery.contracts.inventory.picks.v1 import picks_pb2 as pb
from autogrocery.kit.rpc.server import serve, server_methods

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from autogrocery.kit.rpc.server_call import ServerCall

SERVICE: Final = pb.DESCRIPTOR.services_by_name["PickHistoryService"]


class FakePickHistory:
    """Tells the picks of `picks`, by order id, for the orders that it is asked for; `asked` has their ids."""

    def __init__(self, *picks: pb.Pick) -> None:
        self.picks = list(picks)
        self.asked: list[str] = []

    async def ListPicks(self, request: pb.ListPicksRequest, _call: ServerCall) -> pb.ListPicksResponse:
        self.asked += request.order_ids
        return pb.ListPicksResponse(picks=[one for one in self.picks if one.order_id in request.order_ids])


@asynccontextmanager
async def pick_history(fake: FakePickHistory | None = None) -> AsyncIterator[str]:
    """Serve the fake, or None of its service; yields the target."""
    methods = server_methods(SERVICE, fake) if fake is not None else {}
    async with serve("INVENTORY_GRPC_ADDR", "127.0.0.1", 0, methods) as port:
        yield f"127.0.0.1:{port}"
