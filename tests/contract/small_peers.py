"""A small inventory and a small pricing, in memory and with unary calls only, as another team would write them; each
keeps every promise. Their state is an object of its own, so that a restart can keep it or forget a part of it."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import aiohttp
import msgspec
from standardwebhooks import Webhook

from autogrocery.contracts.inventory.v1 import inventory_pb2 as inv
from autogrocery.contracts.pricing.v1 import pricing_pb2 as pri
from autogrocery.kit.errors import Invalid
from autogrocery.kit.rpc.server import bearer, serve, server_methods
from autogrocery.kit.rpc.status import Code, RpcError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from autogrocery.kit.rpc.server_call import ServerCall

State = inv.GetOrderResponse
Restocks = inv.GetRestockResponse
AISLES = {"bread", "dairy", "meat", "produce", "party"}
ROBOT_TOKEN = "the-token-of-the-one-robot"
ROBOT_ID = "robot-1"
WEBHOOK_SECRET = "webhooks-" + "w" * 32
MAX_QUANTITY = 999
WEBHOOK_TIMEOUT_S = 0.5
WEBHOOK_PAUSE_S = 0.1
DEADLINE_S = 5.0


class Order(msgspec.Struct):
    """One order of the register."""

    state: int = State.UNKNOWN
    asked: dict[str, int] = {}
    granted: dict[str, int] = {}
    until: float = 0.0
    picked: dict[str, int] = {}
    started: bool = False
    reported: bool = False


class Register(msgspec.Struct):
    """Everything that an inventory must not forget."""

    stock: dict[str, int] = {}
    orders: dict[str, Order] = {}
    deliveries: dict[str, tuple[bytes, int]] = {}
    aisles: dict[str, str] = {}
    putaways: dict[str, inv.RestockRequest] = {}
    received: dict[str, dict[str, tuple[int, int]]] = {}
    webhooks: list[tuple[str, str, str, bytes]] = []  # path, order, id, body: not yet acknowledged


class SmallInventory:
    """Keeps K1 to K5 in one thread: no call waits in the middle, so that each is one step."""

    def __init__(self, register: Register, gateway_url: str = "") -> None:
        self.register = register
        self.gateway_url = gateway_url
        self.fences = 0

    # Orders

    async def ReserveItems(self, request: inv.ReserveItemsRequest, _call: ServerCall) -> inv.ReserveItemsResponse:
        oid, wanted = uuid_of(request.order_id), basket_of(request.items)
        order = self.order(oid)
        if order.state == State.RELEASED:
            return inv.ReserveItemsResponse(order_id=oid, refusal=inv.RELEASED)
        if unknown := wanted.keys() - self.register.stock.keys():
            return inv.ReserveItemsResponse(order_id=oid, refusal=inv.UNKNOWN_SKU, message=", ".join(unknown))
        if order.state not in {State.UNKNOWN, State.LAPSED}:
            same = wanted == order.asked and (request.allow_partial or wanted == order.granted)
            if not same:
                return inv.ReserveItemsResponse(order_id=oid, refusal=inv.ITEMS_DIFFER)
            order.until = max(order.until, time.monotonic() + request.hold_seconds)
            return held(oid, order)
        short = self.short(wanted)
        granted = {sku: min(n, self.register.stock[sku]) for sku, n in wanted.items() if self.register.stock[sku]}
        if not granted or (short and not request.allow_partial):
            return inv.ReserveItemsResponse(order_id=oid, refusal=inv.SHORTAGE, shortages=short)
        self.take(granted)
        until = time.monotonic() + request.hold_seconds
        order = Order(State.HELD, asked=wanted, granted=granted, until=until)
        self.register.orders[oid] = order
        return held(oid, order)

    async def AssignRobots(self, request: inv.RobotRequest, _call: ServerCall) -> inv.RobotResponse:
        oid, wanted = uuid_of(request.order_id), basket_of(request.items)
        order = self.order(oid)
        if order.state in {State.ASSIGNED, State.COMPLETED, State.FAILED}:
            return self.repeat(oid, order, wanted)
        if order.state == State.RELEASED:
            return inv.RobotResponse(order_id=oid, message="released")
        had = order.granted if order.state == State.HELD else {}
        self.give(had)
        if self.lacks(wanted):
            self.take(had)
            return inv.RobotResponse(order_id=oid, message="not enough stock")
        order = Order(State.ASSIGNED, asked=order.asked if wanted == had else wanted, granted=wanted)
        self.take(order.granted)
        self.register.orders[oid] = order
        return dispatched(oid, order)

    def repeat(self, oid: str, order: Order, wanted: dict[str, int]) -> inv.RobotResponse:
        if wanted != order.granted:
            return inv.RobotResponse(order_id=oid, message="dispatched with other items")
        return dispatched(oid, order)

    async def ReleaseItems(self, request: inv.ReleaseItemsRequest, _call: ServerCall) -> inv.ReleaseItemsResponse:
        oid = uuid_of(request.order_id)
        order = self.order(oid)
        withdrawn = order.state == State.ASSIGNED and request.reason == inv.CANCEL and not order.started
        if order.state in {State.ASSIGNED, State.COMPLETED, State.FAILED} and not withdrawn:
            return inv.ReleaseItemsResponse(order_id=oid, result=inv.ReleaseItemsResponse.ALREADY_ASSIGNED)
        if order.state in {State.HELD, State.ASSIGNED}:
            self.give(order.granted)
        self.tombstone(oid)
        return inv.ReleaseItemsResponse(order_id=oid, result=inv.ReleaseItemsResponse.RELEASED)

    def tombstone(self, oid: str) -> None:
        self.register.orders[oid] = Order(State.RELEASED)

    async def GetOrder(self, request: inv.GetOrderRequest, _call: ServerCall) -> inv.GetOrderResponse:
        oid = uuid_of(request.order_id)
        order = self.order(oid)
        items = [inv.PickedItem(sku=sku, picked=n) for sku, n in order.picked.items()]
        return inv.GetOrderResponse(order_id=oid, state=self.state_of(order), items=items)

    def state_of(self, order: Order) -> Any:
        return order.state

    async def CheckAvailability(
        self, request: inv.CheckAvailabilityRequest, _call: ServerCall
    ) -> inv.CheckAvailabilityResponse:
        for oid in list(self.register.orders):
            self.order(oid)  # frees what has lapsed
        known = [sku for sku in request.skus if sku in self.register.stock]
        return inv.CheckAvailabilityResponse(
            items=[inv.StockLevel(sku=sku, available=self.register.stock[sku]) for sku in known]
        )

    def order(self, oid: str) -> Order:
        order = self.register.orders.get(oid, Order())
        if order.state == State.HELD and order.until <= time.monotonic():
            self.give(order.granted)
            order.state = State.LAPSED
        return order

    def short(self, wanted: dict[str, int]) -> list[inv.Shortage]:
        for oid in list(self.register.orders):
            self.order(oid)
        return [
            inv.Shortage(sku=sku, requested=n, available=self.register.stock[sku])
            for sku, n in wanted.items()
            if self.register.stock[sku] < n
        ]

    def lacks(self, wanted: dict[str, int]) -> bool:
        return bool(wanted.keys() - self.register.stock.keys() or self.short(wanted))

    def take(self, units: dict[str, int]) -> None:
        for sku, n in units.items():
            self.register.stock[sku] -= n

    def give(self, units: dict[str, int]) -> None:
        for sku, n in units.items():
            self.register.stock[sku] += n

    # Deliveries

    async def RestockItems(self, request: inv.RestockRequest, _call: ServerCall) -> inv.RestockResponse:
        oid, content = uuid_of(request.order_id), request.SerializeToString(deterministic=True)
        for item in request.items:
            sku_of(item.sku)
            if not 1 <= item.quantity <= 1_000_000 or item.aisle_type not in AISLES:
                raise Invalid("invalid_items", "a line that can't be stocked")
        if not request.items:
            raise Invalid("invalid_items", "no lines")
        if any(self.register.aisles.get(one.sku, one.aisle_type) != one.aisle_type for one in request.items):
            return inv.RestockResponse(order_id=oid, message="a product is in another aisle")
        if oid in self.register.deliveries:
            same = self.register.deliveries[oid][0] == content
            return inv.RestockResponse(order_id=oid, success=same, message="" if same else "another delivery")
        self.register.deliveries[oid] = (content, Restocks.RECEIVED if request.shelved else Restocks.RECEIVING)
        for item in request.items:
            units = item.quantity if request.shelved else 0
            self.register.aisles[item.sku] = item.aisle_type
            self.register.stock[item.sku] = self.register.stock.get(item.sku, 0) + units
        if not request.shelved:
            self.register.putaways[oid] = request
        return inv.RestockResponse(order_id=oid, success=True)

    async def GetRestock(self, request: inv.GetRestockRequest, _call: ServerCall) -> inv.GetRestockResponse:
        oid = uuid_of(request.order_id)
        _, state = self.register.deliveries.get(oid, (b"", Restocks.UNKNOWN))
        counts = self.register.received.get(oid, {})
        items = [inv.RestockedItem(sku=sku, received=n, damaged=bad) for sku, (n, bad) in counts.items()]
        return inv.GetRestockResponse(order_id=oid, state=state, items=items)

    # The one robot

    async def ListWork(self, request: inv.ListWorkRequest, call: ServerCall) -> inv.ListWorkResponse:
        authorize(call)
        picks = [
            assignment_of(oid, order)
            for oid, order in self.register.orders.items()
            if order.state == State.ASSIGNED and not order.reported
        ]
        putaways = [
            inv.Assignment(
                assignment_id=oid,
                robot_class="dairy",
                items=[inv.Item(sku=item.sku, quantity=item.quantity) for item in delivery.items],
                order_type=inv.Assignment.PUTAWAY,
            )
            for oid, delivery in self.register.putaways.items()
        ]
        return inv.ListWorkResponse(assignments=(picks + putaways)[-request.limit :])

    async def StartPick(self, request: inv.StartPickRequest, call: ServerCall) -> inv.StartPickResponse:
        authorize(call)
        oid = uuid_of(request.assignment_id)
        order = self.order(oid)
        if order.state == State.ASSIGNED and not order.reported:
            order.started = True
        elif oid not in self.register.putaways:
            return inv.StartPickResponse()
        self.fences += 1
        return inv.StartPickResponse(granted=True, fence=self.fences)

    async def ReportPick(self, request: inv.ReportPickRequest, call: ServerCall) -> inv.ReportPickResponse:
        authorize(call)
        oid = uuid_of(request.assignment_id)
        order = self.order(oid)
        if request.fence != self.fences:
            return inv.ReportPickResponse(result=inv.ReportPickResponse.STALE_FENCE)
        if order.reported:
            return inv.ReportPickResponse(result=inv.ReportPickResponse.DUPLICATE)
        order.picked = {item.sku: item.picked for item in request.items}
        order.reported = True
        order.state = State.COMPLETED if any(order.picked.values()) else State.FAILED
        body = {
            "order_id": oid,
            "status": inv.GetOrderResponse.State.Name(order.state),
            "occurred_at": datetime.now(UTC).isoformat(),
            "items": [{"sku": sku, "picked": n} for sku, n in order.picked.items()],
        }
        self.tell("update-order", oid, body)
        return inv.ReportPickResponse(result=inv.ReportPickResponse.ACCEPTED)

    async def ReportPutaway(self, request: inv.ReportPutawayRequest, call: ServerCall) -> inv.ReportPutawayResponse:
        authorize(call)
        oid = uuid_of(request.assignment_id)
        counts = self.register.received.setdefault(oid, {})
        for item in request.items:
            before, damaged = counts.get(item.sku, (0, 0))
            self.register.stock[item.sku] += (item.received - item.damaged) - (before - damaged)
            counts[item.sku] = (item.received, item.damaged)
        if request.done:
            self.register.deliveries[oid] = (self.register.deliveries[oid][0], Restocks.RECEIVED)
            self.register.putaways.pop(oid, None)
        body = {
            "order_id": oid,
            "status": "RECEIVED" if request.done else "RECEIVING",
            "occurred_at": datetime.now(UTC).isoformat(),
            "items": [{"sku": sku, "received": n, "damaged": bad} for sku, (n, bad) in counts.items()],
        }
        self.tell("update-restock", oid, body)
        return inv.ReportPutawayResponse(result=inv.ReportPickResponse.ACCEPTED)

    # Webhooks

    def tell(self, path: str, oid: str, body: dict[str, Any]) -> None:
        self.register.webhooks.append((path, oid, f"msg_{uuid4()}", msgspec.json.encode(body)))

    async def send_webhooks(self) -> None:
        """Send what is not acknowledged, one after the other for each order, until cancelled."""
        async with aiohttp.ClientSession(trust_env=False) as session:
            while True:
                for webhook in list(self.register.webhooks):
                    if self.is_settled(await self.send(session, webhook)):
                        self.register.webhooks.remove(webhook)
                await asyncio.sleep(WEBHOOK_PAUSE_S)

    def is_settled(self, status: int) -> bool:
        return 200 <= status < 300

    async def send(self, session: aiohttp.ClientSession, webhook: tuple[str, str, str, bytes]) -> int:
        path, _, webhook_id, body = webhook
        at = datetime.now(UTC)
        headers = {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": self.sign(webhook_id, at, body.decode()),
        }
        try:
            timeout = aiohttp.ClientTimeout(total=WEBHOOK_TIMEOUT_S)
            url = f"{self.gateway_url}/internal/webhook/{path}"
            async with session.post(url, data=body, headers=headers, timeout=timeout) as response:
                return response.status
        except (aiohttp.ClientError, TimeoutError):
            return 0

    def sign(self, webhook_id: str, at: datetime, body: str) -> str:
        return Webhook(WEBHOOK_SECRET.encode()).sign(webhook_id, at, body)


class SmallPricing:
    """A price list in memory."""

    def __init__(self, products: dict[str, pri.Product]) -> None:
        self.products = products

    async def Quote(self, request: pri.QuoteRequest, _call: ServerCall) -> pri.QuoteResponse:
        oid, wanted = uuid_of(request.order_id), basket_of(request.items)
        lines = [self.line(self.products[sku], n) for sku, n in wanted.items() if sku in self.products]
        return pri.QuoteResponse(
            order_id=oid,
            currency="USD",
            lines=lines,
            total_cents=self.total(lines),
            unknown_skus=[sku for sku in wanted if sku not in self.products],
        )

    def line(self, product: pri.Product, quantity: int) -> pri.QuoteLine:
        price = product.unit_price_cents
        return pri.QuoteLine(
            sku=product.sku,
            name=product.name,
            quantity=quantity,
            unit_price_cents=price,
            line_total_cents=price * quantity,
        )

    def total(self, lines: Iterable[pri.QuoteLine]) -> int:
        return sum(line.line_total_cents for line in lines)

    async def ListProducts(self, request: pri.ListProductsRequest, _call: ServerCall) -> pri.ListProductsResponse:
        found = sorted(
            (one for one in self.products.values() if request.query in one.sku or request.query in one.name),
            key=lambda one: one.sku,
        )
        rest = [one for one in found if one.sku > request.cursor]
        page = rest[: request.limit]
        return pri.ListProductsResponse(products=page, next_cursor=self.cursor(page, rest))

    def cursor(self, page: list[pri.Product], rest: list[pri.Product]) -> str:
        return page[-1].sku if len(rest) > len(page) else ""

    async def GetPrice(self, request: pri.GetPriceRequest, _call: ServerCall) -> pri.GetPriceResponse:
        return pri.GetPriceResponse(product=self.products.get(request.sku))

    async def UpdateStockMetrics(
        self, request: pri.UpdateStockMetricsRequest, _call: ServerCall
    ) -> pri.UpdateStockMetricsResponse:
        for one in request.updates:
            sku_of(one.sku)
            if one.unit_price_cents < 0 or one.unit_cost_cents < 0:
                raise Invalid("invalid_items", "a price below 0")
        for one in request.updates:
            price = one.unit_price_cents or -(-one.unit_cost_cents * 130 // 100)
            self.products[one.sku] = pri.Product(
                sku=one.sku, name=one.name, aisle_type=one.aisle_type, unit_price_cents=price, currency="USD"
            )
        return pri.UpdateStockMetricsResponse(updated=len(request.updates))


def uuid_of(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise Invalid("invalid_request", "not a UUID") from None


def sku_of(text: str) -> str:
    if not 1 <= len(text) <= 64 or not text.isprintable():
        raise Invalid("invalid_request", "not a SKU")
    return text


def basket_of(items: Iterable[Any]) -> dict[str, int]:
    basket: dict[str, int] = {}
    for item in items:
        basket[sku_of(item.sku)] = basket.get(item.sku, 0) + item.quantity
        if item.quantity < 1:
            raise Invalid("invalid_items", "a quantity below 1")
    if not 1 <= len(basket) <= 100 or max(basket.values()) > MAX_QUANTITY:
        raise Invalid("invalid_items", "no or too many lines or units")
    return basket


def held(oid: str, order: Order) -> inv.ReserveItemsResponse:
    answer = inv.ReserveItemsResponse(order_id=oid, success=True, items=items_of(order.granted))
    answer.expires_at.FromSeconds(int(time.time() + order.until - time.monotonic()) + 1)
    return answer


def dispatched(oid: str, order: Order) -> inv.RobotResponse:
    return inv.RobotResponse(order_id=oid, success=True, assignments=[assignment_of(oid, order)])


def assignment_of(oid: str, order: Order) -> inv.Assignment:
    return inv.Assignment(
        assignment_id=oid, robot_id=ROBOT_ID, robot_class="dairy", aisle="dairy", items=items_of(order.granted)
    )


def items_of(basket: dict[str, int]) -> list[inv.Item]:
    return [inv.Item(sku=sku, quantity=n) for sku, n in basket.items()]


def authorize(call: ServerCall) -> None:
    if bearer(call) != ROBOT_TOKEN:
        raise RpcError(Code.UNAUTHENTICATED, "not the robot's token")


@asynccontextmanager
async def serve_inventory(inventory: SmallInventory, port: int = 0) -> AsyncIterator[str]:
    """Serve an inventory and send its webhooks; yields host:port."""
    methods = server_methods(inv.DESCRIPTOR.services_by_name["InventoryService"], inventory)
    sending = asyncio.create_task(inventory.send_webhooks())
    try:
        async with serve("SMALL_ADDR", "127.0.0.1", port, methods) as bound:
            yield f"127.0.0.1:{bound}"
    finally:
        sending.cancel()
        await asyncio.wait([sending], timeout=DEADLINE_S)


@asynccontextmanager
async def serve_pricing(pricing: SmallPricing, port: int = 0) -> AsyncIterator[str]:
    """Serve a pricing; yields host:port."""
    methods = server_methods(pri.DESCRIPTOR.services_by_name["PricingService"], pricing)
    async with serve("SMALL_ADDR", "127.0.0.1", port, methods) as bound:
        yield f"127.0.0.1:{bound}"
