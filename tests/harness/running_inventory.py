"""An inventory for one test: real PostgreSQL, gRPC and ZeroMQ, and a stub of the gateway with preset responses."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from aiohttp import web
from msgspec.structs import replace
from standardwebhooks import Webhook

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.inventory.actions.audit import audit
from autogrocery.inventory.actions.lapse_holds import lapse_holds
from autogrocery.inventory.app import serving
from autogrocery.inventory.settings import Settings
from autogrocery.kit.pg.db import Db, open_db
from autogrocery.kit.rpc.channel import open_channel
from autogrocery.kit.rpc.status import RpcError
from autogrocery.kit.security import tokens
from autogrocery.lab.ports import free_ports
from tests.harness.grpc_client import DEADLINE_S, INVENTORY, code_of, patient_stub
from tests.harness.web_site import serving_web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

ROBOT_SECRET = "robots-" + "r" * 32
WEBHOOK_SECRET = "webhooks-" + "w" * 32
LEASE_S = 60.0  # longer than a test: `end_lease` and `mark_unseen` end what a test needs ended
SEEN_S = 60.0
PRODUCTS = {"baguette": "bread", "milk": "dairy", "yoghurt": "dairy", "apple": "produce", "steak": "meat"}
FLEET = {"bread-1": "bread", "dairy-1": "dairy", "produce-1": "produce"}
Picked = pb.ReportPickRequest
State = pb.GetOrderResponse


class GatewayStub:
    """The gateway's internal listener: records webhooks and responds with the next status of `responses`, then 200."""

    def __init__(self) -> None:
        self.order_webhooks: list[tuple[dict[str, str], bytes]] = []
        self.restock_webhooks: list[tuple[dict[str, str], bytes]] = []
        self.responses: list[int] = []
        self.disabled: set[int] = set()
        self.url = ""

    async def update_order(self, request: web.Request) -> web.Response:
        return await self._receive(request, self.order_webhooks)

    async def update_restock(self, request: web.Request) -> web.Response:
        return await self._receive(request, self.restock_webhooks)

    async def _receive(self, request: web.Request, into: list[tuple[dict[str, str], bytes]]) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        Webhook(WEBHOOK_SECRET.encode()).verify(body, headers)  # raises, and so answers 500, on a wrong signature
        into.append((headers, body))
        return web.Response(status=self.responses.pop(0) if self.responses else 200)

    async def list_disabled(self, _request: web.Request) -> web.Response:
        return web.json_response({"user_ids": sorted(self.disabled)})


@asynccontextmanager
async def run_gateway_stub() -> AsyncIterator[GatewayStub]:
    stub = GatewayStub()
    app = web.Application()
    app.router.add_get("/internal/disabled", stub.list_disabled)
    app.router.add_post("/internal/webhook/update-order", stub.update_order)
    app.router.add_post("/internal/webhook/update-restock", stub.update_restock)
    async with serving_web(app) as port:
        stub.url = f"http://127.0.0.1:{port}"
        yield stub


class RunningInventory:
    """The service's calls in short form. `down` and `up` stop and start it on the same database."""

    def __init__(self, settings: Settings, db: Db, gateway: GatewayStub) -> None:
        self.settings = settings
        self.db = db
        self.gateway = gateway
        self._open = AsyncExitStack()

    async def up(self) -> None:
        port = await self._open.enter_async_context(serving(self.settings))
        self.target = f"127.0.0.1:{port}"
        self.channel = await self._open.enter_async_context(open_channel(self.target))
        self.stub = patient_stub(self.channel, INVENTORY)

    async def down(self) -> None:
        await self._open.aclose()

    async def restart(self, **changed: Any) -> None:
        await self.down()
        self.settings = replace(self.settings, **changed)
        await self.up()

    async def stock(self, **quantities: int) -> None:
        """Put goods on the shelves without putaways."""
        answer = await self.stub.RestockItems(delivery(new(), shelved=True, **quantities))
        assert answer.success, answer.message

    async def deliver(self, **quantities: int) -> tuple[str, dict[str, str]]:
        """Enter a restock order; return its id and its putaways by aisle."""
        restock_id = new()
        answer = await retry_timeouts(lambda: self.stub.RestockItems(delivery(restock_id, **quantities)))
        assert answer.success, answer.message
        rows = await self.db.rows(
            "SELECT aisle, assignment_id FROM inventory.putaways WHERE order_id = $1::text::uuid", restock_id
        )
        return restock_id, {row["aisle"]: str(row["assignment_id"]) for row in rows}

    async def put_away(
        self, robot_id: str, assignment_id: str, fence: int, *, done: bool = False, damaged: int = 0, **received: int
    ) -> int:
        """Report totals by SKU, each line with `damaged` units damaged."""
        items = [pb.RestockedItem(sku=sku, received=units, damaged=damaged) for sku, units in received.items()]
        request = pb.ReportPutawayRequest(
            assignment_id=assignment_id, robot_id=robot_id, sequence=1, items=items, done=done, fence=fence
        )
        token = robot_token(robot_id, robot_id.split("-", maxsplit=1)[0])
        answer = await retry_timeouts(lambda: self.stub.ReportPutaway(request, token=token))
        return int(answer.result)

    async def restock(self, restock_id: str) -> tuple[int, dict[str, tuple[int, int]]]:
        """Return a restock order's state, and the units received and damaged so far by SKU."""
        response = await self.stub.GetRestock(pb.GetRestockRequest(order_id=restock_id))
        return int(response.state), {item.sku: (item.received, item.damaged) for item in response.items}

    async def reserve(self, order_id: str, hold_s: int = 60, *, partial: bool = False, **items: int) -> Any:
        request = pb.ReserveItemsRequest(
            order_id=order_id, items=lines(items), hold_seconds=hold_s, allow_partial=partial
        )
        return await retry_timeouts(lambda: self.stub.ReserveItems(request))

    async def assign(self, order_id: str, **items: int) -> Any:
        request = pb.RobotRequest(order_id=order_id, items=lines(items))
        return await retry_timeouts(lambda: self.stub.AssignRobots(request))

    async def release(self, order_id: str, reason: int = pb.CANCEL) -> int:
        request = pb.ReleaseItemsRequest(order_id=order_id, reason=reason)
        answer = await retry_timeouts(lambda: self.stub.ReleaseItems(request))
        return int(answer.result)

    async def state(self, order_id: str) -> int:
        return int((await self.stub.GetOrder(pb.GetOrderRequest(order_id=order_id))).state)

    async def picked(self, order_id: str) -> dict[str, int]:
        answer = await self.stub.GetOrder(pb.GetOrderRequest(order_id=order_id))
        return {item.sku: item.picked for item in answer.items}

    async def available(self, *skus: str) -> list[int]:
        answer = await self.stub.CheckAvailability(pb.CheckAvailabilityRequest(skus=skus))
        return [item.available for item in answer.items]

    async def work(self, robot_id: str, robot_class: str | None = None, **extra: Any) -> list[Any]:
        wanted = robot_class or robot_id.split("-", maxsplit=1)[0]
        request = pb.ListWorkRequest(robot_id=robot_id, robot_class=wanted, limit=100)
        return list((await self.stub.ListWork(request, token=robot_token(robot_id, wanted, **extra))).assignments)

    async def fleet(self, **robots: str) -> None:
        for robot_id, robot_class in (robots or FLEET).items():
            await self.work(robot_id, robot_class)

    async def start(self, robot_id: str, assignment_id: str) -> Any:
        request = pb.StartPickRequest(assignment_id=assignment_id, robot_id=robot_id)
        token = robot_token(robot_id, robot_id.split("-", maxsplit=1)[0])
        return await retry_timeouts(lambda: self.stub.StartPick(request, token=token))

    async def beat(self, robot_id: str, *fences: int) -> list[int]:
        request = pb.HeartbeatRequest(robot_id=robot_id, fences=fences)
        answer = await self.stub.Heartbeat(request, token=robot_token(robot_id, robot_id.split("-", maxsplit=1)[0]))
        return list(answer.lost_fences)

    async def report(
        self,
        robot_id: str,
        assignment_id: str,
        fence: int,
        status: int = Picked.PICKED,
        sequence: int = 1,
        **picks: int,
    ) -> int:
        request = pb.ReportPickRequest(
            assignment_id=assignment_id,
            robot_id=robot_id,
            sequence=sequence,
            items=[pb.PickedItem(sku=sku, picked=picked) for sku, picked in picks.items()],
            status=status,
            fence=fence,
        )
        answer = await self.stub.ReportPick(request, token=robot_token(robot_id, robot_id.split("-", maxsplit=1)[0]))
        return int(answer.result)

    async def status_of(self, call: str, request: Any, token: str | None) -> str:
        """Make a call with a token or without, and return the name of its gRPC status."""
        return (await code_of(getattr(self.stub, call)(request, token=token))).name

    async def dispatch(self, **items: int) -> tuple[str, list[Any]]:
        """Reserve and dispatch a new order; return its id and its assignments."""
        order_id = new()
        assert (await self.reserve(order_id, **items)).success
        answer = await self.assign(order_id, **items)
        assert answer.success, answer.message
        return order_id, list(answer.assignments)

    async def pick(self, assignment: Any, status: int = Picked.PICKED, **picks: int) -> int:
        """Start and report as the assigned robot."""
        lease = await self.start(assignment.robot_id, assignment.assignment_id)
        assert lease.granted
        return await self.report(assignment.robot_id, assignment.assignment_id, lease.fence, status, **picks)

    async def lapse(self, *order_ids: str) -> None:
        """Let the holds of orders expire now, and free their stock as the loop does."""
        await self.db.run("UPDATE inventory.orders SET expires_at = now() WHERE order_id = ANY ($1::uuid[])", order_ids)
        await lapse_holds(self.db)

    async def end_lease(self, assignment_id: str) -> None:
        """Let the lease of an assignment or a putaway end now."""
        for table in ("assignments", "putaways"):
            await self.db.run(
                f"UPDATE inventory.{table} SET lease_until = now() WHERE assignment_id = $1::text::uuid", assignment_id
            )

    async def mark_unseen(self, robot_id: str) -> None:
        """Let a robot's last call be an hour ago."""
        await self.db.run(
            "UPDATE inventory.robots SET last_seen_at = now() - interval '1 hour' WHERE robot_id = $1", robot_id
        )

    async def violations(self) -> list[str]:
        return [f"{one.name}: {one.examples}" for one in await audit(self.db) if one.violations]


@asynccontextmanager
async def run_inventory(dsn: str, **changed: Any) -> AsyncIterator[RunningInventory]:
    async with run_gateway_stub() as gateway, open_db(dsn, application="tests") as db:
        settings = Settings(
            webhook_secret=WEBHOOK_SECRET,
            robot_jwt_secret=ROBOT_SECRET,
            inventory_grpc_addr="127.0.0.1:0",
            robots_zmq_addr=f"tcp://127.0.0.1:{free_ports(1)[0]}",
            gateway_webhook_url=gateway.url,
            database_url=dsn,
            pick_lease_s=LEASE_S,
            robot_seen_s=SEEN_S,
        )
        running = RunningInventory(replace(settings, **changed), db, gateway)
        await running.up()
        try:
            yield running
        finally:
            await running.down()


def new() -> str:
    return str(uuid4())


def delivery(restock_id: str, *, shelved: bool = False, **quantities: int) -> pb.RestockRequest:
    items = [
        pb.RestockItem(sku=sku, name=sku.title(), aisle_type=PRODUCTS[sku], quantity=quantity, unit_cost_cents=100)
        for sku, quantity in quantities.items()
    ]
    return pb.RestockRequest(order_id=restock_id, supplier_id="farm", items=items, shelved=shelved)


def lines(items: dict[str, int]) -> list[pb.Item]:
    return [pb.Item(sku=sku, quantity=quantity) for sku, quantity in items.items()]


def robot_token(robot_id: str, robot_class: str, *, audience: str = "inventory", key: str = ROBOT_SECRET) -> str:
    return tokens.issue(
        key.encode(),
        issuer="autogrocery",
        audience=audience,
        user_id=7,
        principal=robot_id,
        scopes=[f"robot:pick:{robot_class}"],
        ttl_s=60,
    )


def operator_token(*scopes: str) -> str:
    """Return a token as the gateway makes it for an operator."""
    return tokens.issue(
        ROBOT_SECRET.encode(),
        issuer="autogrocery",
        audience="inventory",
        user_id=3,
        principal="operator-1",
        scopes=scopes or ("ops:read",),
        ttl_s=60,
    )


async def retry_timeouts(call: Callable[[], Awaitable[Any]]) -> Any:
    """Repeat a call while it fails for waiting too long, as the gateway does; other errors are raised."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                return await call()
            except RpcError as error:
                if not any(words in error.detail for words in ("(TimeoutError)", "waited too long")):
                    raise
            await asyncio.sleep(0.05)
