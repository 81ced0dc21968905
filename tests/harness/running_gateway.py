"""A whole gateway with its doors open, between real PostgreSQL and featherweight peers; every answer is held to the document."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import jsonschema
from msgspec import Struct
from standardwebhooks import Webhook

from autogrocery.gateway import app
from autogrocery.kit.pg.db import Db, open_db
from autogrocery.kit.process.clock import now, uuid7
from autogrocery.kit.security import tokens
from autogrocery.lab.ports import free_ports
from tests.harness.fake_peers import FakeInventory, FakePricing, serve_peers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from datetime import datetime

    from jsonschema.protocols import Validator

PATIENCE_S = 8.0
DEVICE_KEY, ROBOT_KEY = "devices-and-operators-sign-here-", "robots-sign-with-another-secret-"
WEBHOOK_KEYS = [
    "whsec_" + base64.b64encode(name).decode()
    for name in (b"the-first-signs-every-webhook---", b"the-second-only-verifies-them---")
]
HASH = "$2b$10$" + "x" * 53
SCOPES = ("orders:read", "orders:write", "catalog:read")
PREVIEW, CONFIRM, CANCEL = (f"/api/client/order/{verb}" for verb in ("preview", "confirm", "cancel"))
WEBHOOK = "/internal/webhook/update-order"
PROBLEM = {"type", "title", "status", "detail", "code", "retryable", "request_id"}


def environ(dsn: str, target: str, public: int, internal: int, **more: str) -> dict[str, str]:
    """The variables of a gateway; not one is taken from the test's own environment."""
    return {
        "DATABASE_URL": dsn,
        "JWT_SECRET": DEVICE_KEY,
        "ROBOT_JWT_SECRET": ROBOT_KEY,
        "WEBHOOK_SECRET": ",".join(WEBHOOK_KEYS),
        "ORDERING_HTTP_ADDR": f"127.0.0.1:{public}",
        "ORDERING_INTERNAL_ADDR": f"127.0.0.1:{internal}",
        "INVENTORY_GRPC_TARGET": target,
        "PRICING_GRPC_TARGET": target,
        "ANALYTICS_ZMQ_ADDR": "tcp://127.0.0.1:0",
        "BCRYPT_COST": "10",
    } | more


class Document:
    """What openapi.json promises of the public listener."""

    def __init__(self) -> None:
        self.whole = app.openapi()
        self._paths = [
            (re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path)
            for path in sorted(self.whole["paths"], key="{".__contains__)
        ]
        self._known: dict[tuple[str, str, int], Validator] = {}

    def check(self, method: str, path: str, reply: Reply) -> None:
        """Fail unless the status, the code and the shape of an answer are told; paths that are in no row pass."""
        found = next((told for pattern, told in self._paths if pattern.fullmatch(path)), None)
        operation = self.whole["paths"].get(found, {}).get("get" if method == "HEAD" else method.lower())
        if operation is None:
            return
        responses = operation["responses"]
        assert str(reply.status) in responses, f"{method} {path}: {reply.status} is not in openapi.json"
        told = responses[str(reply.status)]
        if reply.status >= 400 and method != "HEAD":
            assert reply.code in told["description"].split(", "), (
                f"{method} {path}: {reply.code} is not in openapi.json"
            )
        if reply.body and reply.media in told.get("content", {}) and reply.media.endswith("json"):
            self._validator(method, path, reply).validate(reply.json)

    def _validator(self, method: str, path: str, reply: Reply) -> Validator:
        pattern = next(told for compiled, told in self._paths if compiled.fullmatch(path))
        key = (method.lower(), pattern, reply.status)
        if key not in self._known:
            content = self.whole["paths"][pattern][key[0]]["responses"][str(reply.status)]["content"]
            schema = content[reply.media]["schema"] | {"components": self.whole["components"]}
            self._known[key] = jsonschema.Draft202012Validator(schema)
        return self._known[key]


DOCUMENT = Document()


class Reply(Struct):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def media(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a problem, which is one in every respect."""
        problem = self.json
        assert self.media == "application/problem+json"
        assert problem.keys() - {"errors"} == PROBLEM
        assert (problem["status"], problem["request_id"]) == (self.status, self.headers["x-request-id"])
        assert problem["retryable"] == (self.status in {408, 429, 503})
        assert ("retry-after" in self.headers) == (self.status in {429, 503})
        about_tokens = self.status == 401 or problem["code"] == "insufficient_scope"
        assert ("www-authenticate" in self.headers) == about_tokens
        assert ("allow" in self.headers) == (self.status == 405)
        return str(problem["code"])


class Shop(Struct):
    """The gateway's two listeners, its database and its peers."""

    public: str
    internal: str
    db: Db
    shelf: FakeInventory
    prices: FakePricing
    session: aiohttp.ClientSession

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
        inside: bool = False,
    ) -> Reply:
        """Ask one of the listeners; a public answer must be as its document says."""
        octets = raw if raw is not None else json.dumps(body).encode() if body is not None else None
        fields = {"content-type": "application/json"} if octets is not None else {}
        fields |= {"authorization": f"Bearer {token}"} if token is not None else {}
        url = (self.internal if inside else self.public) + path
        async with self.session.request(method, url, data=octets, headers=fields | (headers or {})) as answer:
            found = {name.lower(): value for name, value in answer.headers.items()}
            reply = Reply(answer.status, found, await answer.read())
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", reply.headers["x-request-id"])
        if not inside:
            DOCUMENT.check(method, path.partition("?")[0], reply)
        return reply

    async def device(self, **claims: Any) -> Device:
        """Register a device by SQL, with the seed's columns, and sign its token."""
        name = f"fridge-{uuid7().hex[-12:]}"
        row = await self.db.row(
            "INSERT INTO smart_devices (device_id, password) VALUES ($1, $2) RETURNING id", name, HASH
        )
        assert row is not None
        return Device(self, row["id"], name, self.token(row["id"], name, **claims))

    def token(self, user_id: int, name: str, **claims: Any) -> str:
        return tokens.issue(
            DEVICE_KEY.encode(),
            user_id=user_id,
            device_id=name,
            **({"issuer": "autogrocery", "audience": "ordering", "scopes": SCOPES, "ttl_s": 900} | claims),
        )

    async def deliver(
        self,
        body: dict[str, Any],
        *,
        webhook_id: str | None = None,
        key: str = WEBHOOK_KEYS[0],
        at: datetime | None = None,
        signature: str | None = None,
        sent: str | None = None,
        path: str = WEBHOOK,
    ) -> Reply:
        """Deliver a webhook as inventory would, signed by the standard's own package; `sent` is sent in the signed text's stead."""
        text, webhook_id, at = json.dumps(body), webhook_id or f"msg_{uuid7().hex}", at or now()
        headers = {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": signature or Webhook(key).sign(webhook_id, at, text),
        }
        return await self.ask("POST", path, raw=(text if sent is None else sent).encode(), headers=headers, inside=True)


class Device(Struct):
    """One device at the public door."""

    shop: Shop
    user_id: int
    device_id: str
    token: str

    async def get(self, path: str, **named: Any) -> Reply:
        return await self.shop.ask("GET", path, token=self.token, **named)

    async def post(self, path: str, body: Any = None, **named: Any) -> Reply:
        return await self.shop.ask("POST", path, body, token=self.token, **named)

    async def preview(self, *, key: str | None = None, partial: bool | None = None, **items: int) -> Reply:
        body: dict[str, Any] = {"items": [{"sku": sku, "quantity": n} for sku, n in (items or {"milk": 2}).items()]}
        body |= {} if partial is None else {"allow_partial": partial}
        return await self.post(PREVIEW, body, headers={"idempotency-key": key} if key else {})

    async def previewed(self, **items: int) -> str:
        reply = await self.preview(**items)
        assert reply.status == 201, reply
        order_id: str = reply.json["order_id"]
        return order_id

    async def processing(self, **items: int) -> str:
        order_id = await self.previewed(**items)
        assert (await self.confirm(order_id)).json["status"] == "PROCESSING"
        return order_id

    async def confirm(self, order_id: str) -> Reply:
        return await self.post(CONFIRM, {"order_id": order_id})

    async def cancel(self, order_id: str) -> Reply:
        return await self.post(CANCEL, {"order_id": order_id})

    async def order(self, order_id: str) -> dict[str, Any]:
        reply = await self.get(f"/api/client/orders/{order_id}")
        assert reply.status == 200, reply
        order: dict[str, Any] = reply.json
        return order

    async def becomes(self, order_id: str, status: str) -> dict[str, Any]:
        """Wait until the order has a status."""

        async def has_it() -> bool:
            return bool((await self.order(order_id))["status"] == status)

        await until(has_it)
        return await self.order(order_id)


async def until(holds: Callable[[], Awaitable[bool]], patience_s: float = PATIENCE_S) -> None:
    async with asyncio.timeout(patience_s):
        while not await holds():  # noqa: ASYNC110 - what is awaited is in another process or in the database
            await asyncio.sleep(0.1)


def picked(order_id: str, status: str = "COMPLETED", **more: Any) -> dict[str, Any]:
    """The body of a webhook."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"order_id": order_id, "status": status, "occurred_at": at} | more


@asynccontextmanager
async def open_shop(dsn: str, **settings: str) -> AsyncIterator[Shop]:
    """Run the gateway's own main in this process; leaving stops it as SIGTERM would, and audits what it leaves."""
    public, internal = free_ports(2)
    stop = asyncio.Event()
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    async with serve_peers() as (shelf, prices, target), open_db(dsn, application="tests") as db:
        running = asyncio.create_task(app.main(environ(dsn, target, public, internal, **settings), stop))
        async with aiohttp.ClientSession(timeout=timeout) as session:
            shop = Shop(f"http://127.0.0.1:{public}", f"http://127.0.0.1:{internal}", db, shelf, prices, session)
            await _answers(shop, running)
            yield shop
            audit = await shop.ask("GET", "/internal/audit", inside=True)
        stop.set()
        async with asyncio.timeout(PATIENCE_S):
            await running
        assert audit.json["clean"], audit.json


async def _answers(shop: Shop, running: asyncio.Task[None]) -> None:
    async def ready() -> bool:
        if running.done():
            running.result()
        try:
            return (await shop.ask("GET", "/readyz")).status == 200
        except aiohttp.ClientConnectionError:
            return False

    await until(ready)
