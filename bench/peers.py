"""Minimal inventory and pricing with real gRPC, each its own process: they grant everything, at one price.

So the measured cost is that of the gateway and PostgreSQL; the reference peers are measured with the whole network.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import deque
from typing import TYPE_CHECKING

import uvloop

from autogrocery.contracts.inventory.v1 import inventory_pb2 as inv
from autogrocery.contracts.pricing.v1 import pricing_pb2 as pri
from autogrocery.kit.process import ready
from autogrocery.kit.rpc import server

if TYPE_CHECKING:
    from autogrocery.kit.rpc.server_call import ServerCall

UNIT_PRICE_CENTS = 129
REMEMBERED = 1_000_000  # assigned orders that GetOrder still knows


class UnlimitedStock:
    """An inventory with unlimited stock and robots."""

    def __init__(self) -> None:
        self._assigned: set[str] = set()
        self._oldest: deque[str] = deque()

    async def ReserveItems(self, request: inv.ReserveItemsRequest, _call: ServerCall) -> inv.ReserveItemsResponse:  # noqa: N802 - name in the .proto
        """Grant all items."""
        return inv.ReserveItemsResponse(order_id=request.order_id, success=True, items=request.items)

    async def AssignRobots(self, request: inv.RobotRequest, _call: ServerCall) -> inv.RobotResponse:  # noqa: N802
        """Assign the whole order to one robot; a repeated call returns the same assignment."""
        order_id = request.order_id
        if order_id not in self._assigned:
            self._assigned.add(order_id)
            self._oldest.append(order_id)
            if len(self._oldest) > REMEMBERED:
                self._assigned.discard(self._oldest.popleft())
        share = inv.Assignment(assignment_id=f"{order_id}-1", robot_id="robot-dairy-1", robot_class="dairy")
        return inv.RobotResponse(order_id=order_id, success=True, assignments=[share])

    async def ReleaseItems(self, request: inv.ReleaseItemsRequest, _call: ServerCall) -> inv.ReleaseItemsResponse:  # noqa: N802
        """Release an order unless it was assigned."""
        known = request.order_id in self._assigned
        result = inv.ReleaseItemsResponse.ALREADY_ASSIGNED if known else inv.ReleaseItemsResponse.RELEASED
        return inv.ReleaseItemsResponse(order_id=request.order_id, result=result)

    async def GetOrder(self, request: inv.GetOrderRequest, _call: ServerCall) -> inv.GetOrderResponse:  # noqa: N802
        """Return ASSIGNED or UNKNOWN."""
        known = request.order_id in self._assigned
        state = inv.GetOrderResponse.ASSIGNED if known else inv.GetOrderResponse.UNKNOWN
        return inv.GetOrderResponse(order_id=request.order_id, state=state)


class Prices:
    """A pricing that knows every SKU, at one price."""

    async def Quote(self, request: pri.QuoteRequest, _call: ServerCall) -> pri.QuoteResponse:  # noqa: N802
        """Price every SKU at UNIT_PRICE_CENTS."""
        lines = [
            pri.QuoteLine(
                sku=item.sku,
                name=item.sku,
                quantity=item.quantity,
                unit_price_cents=UNIT_PRICE_CENTS,
                line_total_cents=UNIT_PRICE_CENTS * item.quantity,
            )
            for item in request.items
        ]
        total = sum(line.line_total_cents for line in lines)
        return pri.QuoteResponse(order_id=request.order_id, currency="USD", lines=lines, total_cents=total)


async def serve(role: str, port: int) -> None:
    """Serve on a port of loopback until SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    file, servicer = (inv, UnlimitedStock()) if role == "inventory" else (pri, Prices())
    (service,) = file.DESCRIPTOR.services_by_name.values()
    async with server.serve("PEER_ADDR", "127.0.0.1", port, server.server_methods(service, servicer)):
        ready.notify()
        await stop.wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
