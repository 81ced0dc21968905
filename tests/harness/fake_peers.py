"""Fake inventory and pricing: in memory, on real gRPC; for one order at a time they keep the promises of
docs/PROTOCOL.md#what-a-peer-promises."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from msgspec.structs import replace

from autogrocery.contracts.inventory.v1 import inventory_pb2 as inv
from autogrocery.contracts.pricing.v1 import pricing_pb2 as pri
from autogrocery.kit.rpc.server import serve, server_methods
from autogrocery.kit.rpc.status import Code, RpcError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    import grpc

    from autogrocery.kit.rpc.server_call import ServerCall, ServerMethod

Reply = TypeVar("Reply")
PRICES = {"milk": 129, "bread": 249, "apple": 45}
State = inv.GetOrderResponse
RestockState = inv.GetRestockResponse


class FakeInventory:
    """Keeps `stock` by SKU and each order's `state` and `items`; `dispatches` counts the dispatches of an order,
    `calls` those of a method.

    Faults by method: `abort_with` is the status to abort with, a method in `silent` never replies; both take place
    before the effect, or after it if `after_effect`. `rewrite_reply` maps a method to a function of its reply,
    `raw_reply` to the bytes that are sent after the effect instead of a reply.
    """

    def __init__(self) -> None:
        self.stock = Counter(dict.fromkeys(PRICES, 1_000))
        self.state: dict[str, int] = {}
        self.requested: dict[str, dict[str, int]] = {}
        self.items: dict[str, dict[str, int]] = {}
        self.picked: dict[str, dict[str, int]] = {}
        self.dispatches: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.refuse_robots = False
        self.started: set[str] = set()
        self.abort_with: dict[str, grpc.StatusCode] = {}
        self.after_effect = False
        self.gate: asyncio.Event | None = None
        self.stopped = asyncio.Event()
        self.silent: set[str] = set()
        self.rewrite_reply: dict[str, Callable[[Any], Any]] = {}
        self.raw_reply: dict[str, bytes] = {}
        self.restocks: dict[str, int] = {}
        self.manifests: dict[str, inv.RestockRequest] = {}
        self.received: dict[str, dict[str, tuple[int, int]]] = {}
        self.arrivals: Counter[str] = Counter()
        self.refuse_restocks = ""
        self.refused_suppliers: set[str] = set()

    def clear_faults(self) -> None:
        """Answer every call again; refuse nothing."""
        self.abort_with, self.silent, self.after_effect, self.rewrite_reply, self.raw_reply = {}, set(), False, {}, {}
        self.gate, self.refuse_robots, self.refuse_restocks = None, False, ""

    def finish(self, order_id: str, picked: Mapping[str, int] | None = None) -> None:
        """End the picking of an assigned order with the units `picked` by SKU: None is all, no unit makes it FAILED."""
        counts = self.items[order_id] if picked is None else dict(picked)
        self.started.add(order_id)
        self.state[order_id] = State.COMPLETED if any(counts.values()) else State.FAILED
        self.picked[order_id] = counts

    async def ReserveItems(self, request: inv.ReserveItemsRequest, _call: ServerCall) -> inv.ReserveItemsResponse:
        await self._before("ReserveItems")
        answer = self._reserve(request)
        await self._after("ReserveItems")
        return self._rewritten("ReserveItems", answer)

    def _reserve(self, request: inv.ReserveItemsRequest) -> inv.ReserveItemsResponse:
        oid, wanted = request.order_id, {item.sku: item.quantity for item in request.items}
        no = lambda refusal, **more: inv.ReserveItemsResponse(order_id=oid, refusal=refusal, **more)  # noqa: E731
        if unknown := wanted.keys() - self.stock.keys():
            return no(inv.UNKNOWN_SKU, message=str(unknown))
        state = self.state.get(oid, State.UNKNOWN)
        if state == State.RELEASED:
            return no(inv.RELEASED)
        if state != State.UNKNOWN:
            alike = wanted == self.requested[oid] and (request.allow_partial or wanted == self.items[oid])
            if not alike:
                return no(inv.ITEMS_DIFFER)
            return inv.ReserveItemsResponse(order_id=oid, success=True, items=self._granted(oid))
        short = [
            inv.Shortage(sku=sku, requested=n, available=self.stock[sku])
            for sku, n in wanted.items()
            if self.stock[sku] < n
        ]
        granted = {sku: min(n, self.stock[sku]) for sku, n in wanted.items() if self.stock[sku]}
        if (short and not request.allow_partial) or not granted:
            return no(inv.SHORTAGE, shortages=short)
        self.stock.subtract(granted)
        self.state[oid], self.requested[oid], self.items[oid] = State.HELD, wanted, granted
        return inv.ReserveItemsResponse(order_id=oid, success=True, items=self._granted(oid), shortages=short)

    def _granted(self, order_id: str) -> list[inv.Item]:
        return [inv.Item(sku=sku, quantity=n) for sku, n in self.items[order_id].items()]

    async def AssignRobots(self, request: inv.RobotRequest, _call: ServerCall) -> inv.RobotResponse:
        await self._before("AssignRobots")
        oid = request.order_id
        state = self.state.get(oid, State.UNKNOWN)
        refused = state == State.RELEASED
        if state in {State.UNKNOWN, State.HELD, State.LAPSED}:
            wanted, held = {item.sku: item.quantity for item in request.items}, self.items.get(oid, {})
            short = any(n > self.stock[sku] + held.get(sku, 0) for sku, n in wanted.items())
            refused = self.refuse_robots or short
            if not refused:
                self.stock.update(held)
                self.stock.subtract(wanted)
                if wanted != held:
                    self.requested[oid] = wanted
                self.state[oid], self.items[oid] = State.ASSIGNED, wanted
                self.dispatches[oid] += 1
        await self._after("AssignRobots")
        if refused:
            return self._rewritten("AssignRobots", inv.RobotResponse(order_id=oid, message="no robots"))
        share = inv.Assignment(assignment_id=f"{oid}-dairy", robot_id="r1", robot_class="dairy", items=request.items)
        return self._rewritten("AssignRobots", inv.RobotResponse(order_id=oid, success=True, assignments=[share]))

    async def ReleaseItems(self, request: inv.ReleaseItemsRequest, _call: ServerCall) -> inv.ReleaseItemsResponse:
        await self._before("ReleaseItems")
        oid = request.order_id
        state = self.state.get(oid, State.UNKNOWN)
        withdrawn = state == State.ASSIGNED and request.reason == inv.CANCEL and oid not in self.started
        kept = state in {State.ASSIGNED, State.COMPLETED, State.FAILED} and not withdrawn
        if not kept and state != State.RELEASED:
            self.stock.update(self.items.get(oid, {}))
            self.dispatches[oid] -= withdrawn
            self.state[oid] = State.RELEASED
        await self._after("ReleaseItems")
        result = inv.ReleaseItemsResponse.ALREADY_ASSIGNED if kept else inv.ReleaseItemsResponse.RELEASED
        return self._rewritten("ReleaseItems", inv.ReleaseItemsResponse(order_id=oid, result=result))

    async def GetOrder(self, request: inv.GetOrderRequest, _call: ServerCall) -> inv.GetOrderResponse:
        await self._before("GetOrder")
        oid = request.order_id
        items = [inv.PickedItem(sku=sku, picked=n) for sku, n in self.picked.get(oid, {}).items()]
        answer = inv.GetOrderResponse(order_id=oid, state=self.state.get(oid, State.UNKNOWN), items=items)
        await self._after("GetOrder")
        return self._rewritten("GetOrder", answer)

    async def CheckAvailability(
        self, request: inv.CheckAvailabilityRequest, _call: ServerCall
    ) -> inv.CheckAvailabilityResponse:
        await self._before("CheckAvailability")
        answer = inv.CheckAvailabilityResponse(
            items=[inv.StockLevel(sku=sku, available=self.stock[sku]) for sku in request.skus if sku in self.stock]
        )
        return self._rewritten("CheckAvailability", answer)

    async def RestockItems(self, request: inv.RestockRequest, _call: ServerCall) -> inv.RestockResponse:
        await self._before("RestockItems")
        oid, refusal = request.order_id, ""
        if self.manifests.setdefault(oid, request) != request:
            refusal = "another delivery has this id"
        elif self.restocks.setdefault(oid, self._accepts(request)) == RestockState.REJECTED:
            refusal = self.refuse_restocks or "refused before"
        self.arrivals[oid] = int(self.restocks[oid] != RestockState.REJECTED)
        await self._after("RestockItems")
        return self._rewritten("RestockItems", inv.RestockResponse(order_id=oid, success=not refusal, message=refusal))

    def _accepts(self, request: inv.RestockRequest) -> int:
        refused = self.refuse_restocks or request.supplier_id in self.refused_suppliers
        return RestockState.REJECTED if refused else RestockState.RECEIVING

    def put_away(
        self, order_id: str, counts: Mapping[str, tuple[int, int]] | None = None, *, done: bool = True
    ) -> None:
        """Set the units put away so far, (received, damaged) by SKU; None is all that was announced."""
        announced = {item.sku: (item.quantity, 0) for item in self.manifests[order_id].items}
        self.received[order_id] = announced if counts is None else dict(counts)
        self.restocks[order_id] = RestockState.RECEIVED if done else RestockState.RECEIVING

    async def GetRestock(self, request: inv.GetRestockRequest, _call: ServerCall) -> inv.GetRestockResponse:
        await self._before("GetRestock")
        oid = request.order_id
        counts = self.received.get(oid, {})
        items = [inv.RestockedItem(sku=sku, received=n, damaged=bad) for sku, (n, bad) in counts.items()]
        answer = inv.GetRestockResponse(order_id=oid, state=self.restocks.get(oid, RestockState.UNKNOWN), items=items)
        await self._after("GetRestock")
        return self._rewritten("GetRestock", answer)

    async def _before(self, method: str) -> None:
        self.calls[method] += 1
        if self.gate is not None:
            await self.gate.wait()
        if method in self.silent and not self.after_effect:
            await silence(self.stopped)
        if method in self.abort_with and not self.after_effect:
            raise injected(self.abort_with[method])

    async def _after(self, method: str) -> None:
        if method in self.silent and self.after_effect:
            await silence(self.stopped)
        if method in self.abort_with and self.after_effect:
            raise injected(self.abort_with[method])

    def _rewritten(self, method: str, reply: Reply) -> Reply:
        rewritten: Reply = self.rewrite_reply.get(method, _unchanged)(reply)
        return rewritten


def _unchanged(reply: Reply) -> Reply:
    return reply


class FakePricing:
    """Quotes PRICES; or aborts with `abort_with`, or never replies while `silent`; `rewrite_reply` is a function of the
    quote, `rewrite_replies` and `raw_reply` are as in FakeInventory, for other methods too."""

    def __init__(self) -> None:
        self.abort_with: grpc.StatusCode | None = None
        self.calls: Counter[str] = Counter()
        self.silent = False
        self.rewrite_reply: Callable[[Any], Any] = _unchanged
        self.rewrite_replies: dict[str, Callable[[Any], Any]] = {}
        self.raw_reply: dict[str, bytes] = {}
        self.costs: dict[str, int] = {}
        self.after_effect = False
        self.stopped = asyncio.Event()

    def clear_faults(self) -> None:
        """Answer every call again, and forget the reported costs."""
        self.abort_with, self.silent, self.after_effect, self.rewrite_reply = None, False, False, _unchanged
        self.rewrite_replies, self.raw_reply = {}, {}
        self.costs = {}

    async def Quote(self, request: pri.QuoteRequest, _call: ServerCall) -> pri.QuoteResponse:
        self.calls["Quote"] += 1
        if self.silent:
            await silence(self.stopped)
        if self.abort_with:
            raise injected(self.abort_with)
        lines = [
            pri.QuoteLine(
                sku=item.sku,
                name=item.sku.title(),
                quantity=item.quantity,
                unit_price_cents=PRICES[item.sku],
                line_total_cents=PRICES[item.sku] * item.quantity,
            )
            for item in request.items
            if item.sku in PRICES
        ]
        unknown = [item.sku for item in request.items if item.sku not in PRICES]
        total = sum(line.line_total_cents for line in lines)
        answer = pri.QuoteResponse(
            order_id=request.order_id, currency="USD", lines=lines, total_cents=total, unknown_skus=unknown
        )
        rewritten: pri.QuoteResponse = self.rewrite_reply(answer)
        return rewritten

    async def UpdateStockMetrics(
        self, request: pri.UpdateStockMetricsRequest, _call: ServerCall
    ) -> pri.UpdateStockMetricsResponse:
        """`abort_with` takes place after the effect if `after_effect`."""
        self.calls["UpdateStockMetrics"] += 1
        if self.silent:
            await silence(self.stopped)
        if not (self.abort_with and not self.after_effect):
            self.costs |= {update.sku: update.unit_cost_cents for update in request.updates}
        if self.abort_with:
            raise injected(self.abort_with)
        answer = pri.UpdateStockMetricsResponse(updated=len(request.updates))
        updated: pri.UpdateStockMetricsResponse = self.rewrite_replies.get("UpdateStockMetrics", _unchanged)(answer)
        return updated

    async def ListProducts(self, request: pri.ListProductsRequest, _call: ServerCall) -> pri.ListProductsResponse:
        if self.abort_with:
            raise injected(self.abort_with)
        found = [
            pri.Product(sku=sku, name=sku.title(), aisle_type="dairy", unit_price_cents=price, currency="USD")
            for sku, price in sorted(PRICES.items())
            if request.query in sku and sku > request.cursor
        ]
        page = found[: request.limit]
        answer = pri.ListProductsResponse(products=page, next_cursor=page[-1].sku if 0 < len(page) < len(found) else "")
        rewritten: pri.ListProductsResponse = self.rewrite_replies.get("ListProducts", _unchanged)(answer)
        return rewritten


class RawReply(bytes):
    """A reply that is these bytes."""

    def SerializeToString(self) -> bytes:
        return self


def with_raw_replies(fake: FakeInventory | FakePricing, contract: Any, service: str) -> dict[str, ServerMethod]:
    """Return the fake's methods; those in its `raw_reply` send these bytes, after their effect."""

    def wrapped(method: ServerMethod) -> ServerMethod:
        async def act(request: Any, call: ServerCall) -> Any:
            reply = await method.act(request, call)
            raw = fake.raw_reply.get(method.act.__name__)
            return reply if raw is None else RawReply(raw)

        return replace(method, act=act)

    found = server_methods(contract.DESCRIPTOR.services_by_name[service], fake)
    return {path: wrapped(method) for path, method in found.items()}


async def silence(stopped: asyncio.Event) -> NoReturn:
    """Keep a call without an answer until the peer stops, and without its effect for ever."""
    await stopped.wait()
    raise RpcError(Code.UNAVAILABLE, "the peer stops")


def injected(status: Any) -> RpcError:
    """Return the error that ends a call with a status of gRPC's or of ours."""
    return RpcError(Code[status.name], "injected by the test")


@asynccontextmanager
async def serve_peers() -> AsyncIterator[tuple[FakeInventory, FakePricing, str]]:
    """Serve both on one free port of loopback; yields them and the address `host:port`."""
    inventory, pricing = FakeInventory(), FakePricing()
    methods = with_raw_replies(inventory, inv, "InventoryService") | with_raw_replies(pricing, pri, "PricingService")
    async with serve("FAKE_ADDR", "127.0.0.1", 0, methods) as port:
        try:
            yield inventory, pricing, f"127.0.0.1:{port}"
        finally:
            inventory.stopped.set()
            pricing.stopped.set()
