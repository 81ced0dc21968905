"""An in-memory gateway with the public API on loopback. Tests queue faults (lost responses, 503, …) for its routes."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import uuid
from collections import defaultdict, deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EXEMPT = (
    "/api/client/register",
    *(f"/api/{kind}/{action}" for kind in ("client", "truck") for action in ("login", "refresh")),
)
DEVICE = web.RequestKey("device", str)
CLASSES = ("bread", "dairy", "meat", "produce", "party")


def stamp(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def problem(status: int, code: str, errors: list[dict[str, Any]] | None = None, **headers: str) -> web.Response:
    body = {
        "errors": errors or [],
        "type": f"urn:{code}",
        "title": code,
        "status": status,
        "detail": f"because of {code}",
        "code": code,
        "retryable": status in {429, 503},
        "request_id": "r-1",
    }
    return web.json_response(body, status=status, content_type="application/problem+json", headers=headers)


@dataclass
class FakeOrder:
    device: str
    body: str
    items: list[dict[str, Any]]
    expires_at: float
    order_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created_at: float = field(default_factory=time.time)
    confirmed_at: float | None = None
    finished_at: float | None = None
    history: list[tuple[str | None, str]] = field(default_factory=lambda: [(None, "PREVIEWED")])

    @property
    def status(self) -> str:
        return self.history[-1][1]

    def move(self, status: str) -> None:
        self.history.append((self.status, status))
        if status == "PROCESSING":
            self.confirmed_at = time.time()
        else:
            self.finished_at = time.time()


@dataclass
class FakeGateway:
    prices: dict[str, int] = field(default_factory=lambda: defaultdict(lambda: 250))
    preview_ttl_s: float = 60.0
    pick_s: float = 0.1
    token_life_s: float = 900.0
    devices: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, tuple[str, float]] = field(default_factory=dict)
    refresh_tokens: dict[str, str] = field(default_factory=dict)
    orders: dict[str, FakeOrder] = field(default_factory=dict)
    keys: dict[tuple[str, str], str] = field(default_factory=dict)
    trucks: dict[str, str] = field(default_factory=dict)
    stock: dict[str, int] | None = None  # None: unlimited stock of every SKU
    restocks: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[tuple[float, str, dict[str, str]]] = field(default_factory=list)
    fault_queue: dict[str, deque[str]] = field(default_factory=lambda: defaultdict(deque))
    overrides: dict[str, Any] = field(default_factory=dict)
    goal: int = 0
    goal_reached: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        app = web.Application(middlewares=[self.inject_fault])
        app.add_routes(
            [
                web.post("/api/client/register", self.register),
                web.post("/api/client/login", self.login),
                web.post("/api/client/refresh", self.refresh),
                web.get("/api/client/me", self.me),
                web.get("/api/client/catalog", self.catalog),
                web.post("/api/client/order/preview", self.preview),
                web.post("/api/client/order/confirm", self.confirm),
                web.post("/api/client/order/cancel", self.cancel),
                web.get("/api/client/orders", self.list_orders),
                web.get("/api/client/orders/{order_id}", self.one_order),
                web.get("/api/client/orders/{order_id}/events", self.events),
                web.get("/internal/audit", self.audit),
                web.post("/api/truck/login", self.login),
                web.post("/api/truck/refresh", self.refresh),
                web.post("/api/truck/restock", self.restock),
                web.get("/api/truck/restock/status", self.restock_status),
            ]
        )
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self.runner.addresses[0][1]

    async def stop(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()
            self.runner = None

    def seen(self, path: str) -> list[tuple[float, str, dict[str, str]]]:
        return [call for call in self.calls if call[1].endswith(path)]

    @web.middleware
    async def inject_fault(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.calls.append((time.monotonic(), request.path, dict(request.headers)))
        queue = self.fault_queue[request.path]
        trick = queue.popleft() if queue else ""
        if trick.startswith("busy"):
            return problem(503, "database_unavailable", **{"Retry-After": trick.removeprefix("busy ")})
        if trick == "late":  # the request takes effect, but its response is a timeout
            await handler(request)
            return problem(503, "deadline_exceeded", **{"Retry-After": "0"})
        if trick == "too many":
            return problem(429, "too_many_requests", **{"Retry-After": "0"})
        if request.path.startswith("/api/") and request.path not in EXEMPT:
            device, expires_at = self.tokens.get(request.headers.get("Authorization", "")[7:], ("", 0.0))
            if time.time() >= expires_at or trick == "revoke":
                return problem(401, "invalid_token")
            request[DEVICE] = device
        if trick == "drop":
            request.transport.close()
        response = await handler(request) if trick != "drop" else web.Response()
        if trick == "lose":
            request.transport.close()
        if trick == "doubt":
            body = json.loads(response.body)  # type: ignore[attr-defined]
            return web.json_response(body | {"dispatch": "in_doubt"}, status=202, headers={"Retry-After": "0"})
        return response

    async def register(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["device_id"] in self.devices:
            return problem(409, "device_taken")
        self.devices[body["device_id"]] = body["password"]
        return web.json_response({"device_id": body["device_id"], "user_id": len(self.devices)}, status=201)

    async def login(self, request: web.Request) -> web.Response:
        body = await request.json()
        known = self.trucks if request.path.startswith("/api/truck") else self.devices
        if known.get(body["device_id"]) != body["password"]:
            return problem(401, "invalid_credentials")
        return self.new_tokens(body["device_id"])

    async def refresh(self, request: web.Request) -> web.Response:
        device = self.refresh_tokens.pop(request.headers.get("Authorization", "")[7:], None)
        return self.new_tokens(device) if device is not None else problem(401, "invalid_token")

    def new_tokens(self, device: str) -> web.Response:
        access, renew = secrets.token_hex(8), secrets.token_hex(8)
        self.tokens[access] = (device, time.time() + self.token_life_s)
        self.refresh_tokens[renew] = device
        pair = {"access_token": access, "refresh_token": renew, "token_type": "Bearer", "expires_in": self.token_life_s}
        return web.json_response(pair)

    async def me(self, request: web.Request) -> web.Response:
        number = list(self.devices).index(request[DEVICE]) + 1
        return web.json_response({"device_id": request[DEVICE], "user_id": number, "kind": "device"})

    async def catalog(self, request: web.Request) -> web.Response:
        found = [sku for sku in self.prices if request.query.get("q", "") in sku]
        rows = [
            {"sku": sku, "name": sku, "aisle_type": "bread", "unit_price_cents": 1, "available": 3} for sku in found
        ]
        return web.json_response({"data": rows, "next_cursor": None})

    async def preview(self, request: web.Request) -> web.Response:
        text = await request.text()
        key = (request[DEVICE], request.headers.get("Idempotency-Key") or secrets.token_hex(8))
        if key in self.keys:
            order = self.orders[self.keys[key]]
            return self.order_response(order, 201) if order.body == text else problem(422, "idempotency_mismatch")
        items = json.loads(text)["items"]
        if any(item["sku"].startswith("gone") for item in items):
            return problem(409, "insufficient_stock")
        if short := self.take_stock(items):
            return short
        order = FakeOrder(request[DEVICE], text, items, time.time() + self.preview_ttl_s)
        self.orders[order.order_id] = order
        self.keys[key] = order.order_id
        if len(self.orders) == self.goal:
            self.goal_reached.set()
        return self.order_response(order, 201)

    def take_stock(self, items: list[dict[str, Any]]) -> web.Response | None:
        """Return the refusal of items that are not in stock; else take them from it and return None."""
        if self.stock is None:
            return None
        unknown = [{"sku": item["sku"]} for item in items if item["sku"] not in self.stock]
        if unknown:
            return problem(422, "unknown_sku", unknown)
        short = [
            {"sku": item["sku"], "requested": item["quantity"], "available": self.stock[item["sku"]]}
            for item in items
            if item["quantity"] > self.stock[item["sku"]]
        ]
        if short:
            return problem(409, "insufficient_stock", short)
        for item in items:
            self.stock[item["sku"]] -= item["quantity"]
        return None

    async def confirm(self, request: web.Request) -> web.Response:
        order = self.own_order(request, (await request.json())["order_id"])
        refusals = {"EXPIRED": (410, "hold_expired"), "CANCELLED": (409, "order_cancelled")}
        if order.status in refusals:
            return problem(*refusals[order.status])
        if order.status == "PREVIEWED":
            order.move("PROCESSING")
        return self.order_response(order, 200)

    async def cancel(self, request: web.Request) -> web.Response:
        order = self.own_order(request, (await request.json())["order_id"])
        if order.status in {"COMPLETED", "EXPIRED"}:
            return problem(409, "too_late_to_cancel")
        if order.status != "CANCELLED":
            order.move("CANCELLED")
        return self.order_response(order, 200)

    async def list_orders(self, request: web.Request) -> web.Response:
        rows = [self.order_body(order) for order in self.orders.values() if order.device == request[DEVICE]]
        return web.json_response({"data": rows[::-1], "next_cursor": None})

    async def one_order(self, request: web.Request) -> web.Response:
        return self.order_response(self.own_order(request, request.match_info["order_id"]), 200)

    async def events(self, request: web.Request) -> web.Response:
        order = self.own_order(request, request.match_info["order_id"])
        rows = [
            {"version": number, "from": old, "to": new, "cause": "test", "at": stamp(time.time())}
            for number, (old, new) in enumerate(order.history, start=1)
        ]
        return web.json_response({"data": rows})

    async def restock(self, request: web.Request) -> web.Response:
        body = await request.json()
        name = body["manifest_no"] or request.headers.get("Idempotency-Key")
        if name is None:
            return problem(422, "idempotency_key_required")
        if any(item["quantity"] < 0 for item in body["items"]):
            return problem(422, "invalid_request")
        if any(item["sku"] == "unwanted" for item in body["items"]):
            return problem(409, "restock_refused")
        known = self.restocks.get(name)
        if known is not None:
            return web.json_response(known["body"]) if known["manifest"] == body else problem(422, "manifest_mismatch")
        lines = [
            {key: item[key] for key in ("sku", "name", "aisle_type", "quantity")}
            | {"received": 0, "short": item["quantity"], "over": 0, "damaged": 0}
            for item in body["items"]
        ]
        restock = {key: body[key] for key in ("supplier_id", "supplier_name", "manifest_no")} | {
            "order_id": str(uuid.uuid4()),
            "status": "RECEIVING",
            "items": lines,
            "created_at": stamp(time.time()),
            "finished_at": None,
            "dispatch": "dispatched",
        }
        self.restocks[name] = {"manifest": body, "body": restock, "put_away_at": time.time() + self.pick_s}
        return web.json_response(restock, status=201)

    async def restock_status(self, request: web.Request) -> web.Response:
        for one in self.restocks.values():
            body = one["body"]
            if body["order_id"] == request.query["order_id"]:
                if time.time() >= one["put_away_at"] and body["status"] == "RECEIVING":
                    body |= {"status": "RECEIVED", "finished_at": stamp(time.time())}
                    body["items"] = [line | {"received": line["quantity"], "short": 0} for line in body["items"]]
                    for line in body["items"] if self.stock is not None else ():
                        self.stock[line["sku"]] = self.stock.get(line["sku"], 0) + line["quantity"]
                return web.json_response(body)
        return problem(404, "order_not_found")

    async def audit(self, _request: web.Request) -> web.Response:
        invariants = [{"name": "no_negative_balance", "violations": 0, "examples": []}]
        return web.json_response({"clean": True, "invariants": invariants})

    def own_order(self, request: web.Request, order_id: str) -> FakeOrder:
        order = self.orders.get(order_id)
        if order is None or order.device != request[DEVICE]:
            raise web.HTTPNotFound(text='{"code": "order_not_found", "detail": "no such order"}')
        if order.status == "PREVIEWED" and time.time() >= order.expires_at:
            order.move("EXPIRED")
        if order.status == "PROCESSING" and time.time() >= (order.confirmed_at or 0) + self.pick_s:
            order.move("COMPLETED")
        return order

    def order_response(self, order: FakeOrder, status: int) -> web.Response:
        return web.json_response(self.order_body(order), status=status)

    def order_body(self, order: FakeOrder) -> dict[str, Any]:
        picked = order.status == "COMPLETED"
        lines = [
            {
                "sku": item["sku"],
                "name": item["sku"],
                "quantity": item["quantity"],
                "unit_price_cents": self.prices[item["sku"]],
                "line_total_cents": self.prices[item["sku"]] * item["quantity"],
                "picked": item["quantity"] if picked else None,
            }
            for item in order.items
        ]
        total = sum(line["line_total_cents"] for line in lines)
        robots = [{"robot_id": f"{name}-1", "robot_class": name, "assignment_id": "a"} for name in CLASSES]
        shown = {
            "order_id": order.order_id,
            "status": order.status,
            "currency": "USD",
            "total_cents": total,
            "quoted_total_cents": total,
            "items": lines,
            "expires_at": stamp(order.expires_at),
            "created_at": stamp(order.created_at),
            "confirmed_at": stamp(order.confirmed_at),
            "finished_at": stamp(order.finished_at),
            "outcome": "FULL" if picked else None,
            "dispatch": "dispatched" if order.confirmed_at else None,
            "robots": robots if order.confirmed_at else None,
        }
        return shown | (self.overrides if picked else {})


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[FakeGateway]:
    gateway = FakeGateway(**settings)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()
