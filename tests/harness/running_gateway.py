"""A running gateway in this process, both listeners open, on real PostgreSQL and with fake peers.

Every public response is validated against openapi.json. `gateway_process` runs the gateway as a process of its own
instead, `gateway_actions` calls its actions without listeners, `mart` runs real peers beside it.
"""

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
from autogrocery.kit.ids import uuid7
from autogrocery.kit.pg.db import Db, open_db
from autogrocery.kit.process.clock import now
from autogrocery.kit.security import tokens
from autogrocery.lab.ports import free_ports
from tests.harness.fake_peers import FakeInventory, FakePricing, serve_peers
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from jsonschema.protocols import Validator

TIMEOUT_S = 8.0
POLL_S = 0.1  # below the rate limit of one device
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
    """Return the environment variables of a gateway; none comes from the environment of the test."""
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
        "NOTIFIER": "off",
    } | more


class OpenApi:
    """The openapi.json of the public listener, as a validator of responses."""

    def __init__(self) -> None:
        self.document = app.openapi()
        self._paths = [
            (re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path)
            for path in sorted(self.document["paths"], key="{".__contains__)
        ]
        self._validators: dict[tuple[str, str, int], Validator] = {}

    def check(self, method: str, path: str, reply: Reply) -> None:
        """Fail if the document does not list the status, the code or the shape of a response; ignore unknown paths."""
        pattern = next((pattern for compiled, pattern in self._paths if compiled.fullmatch(path)), None)
        verb = "get" if method == "HEAD" else method.lower()
        operation = self.document["paths"].get(pattern, {}).get(verb)
        if operation is None or pattern is None:
            return
        responses = operation["responses"]
        assert str(reply.status) in responses, f"{method} {path}: {reply.status} is not in openapi.json"
        response = responses[str(reply.status)]
        if reply.status >= 400 and method != "HEAD":
            assert reply.code in response["description"].split(", "), (
                f"{method} {path}: {reply.code} is not in openapi.json"
            )
        if reply.body and reply.media in response.get("content", {}) and reply.media.endswith("json"):
            self._validator(verb, pattern, reply).validate(reply.json)

    def _validator(self, verb: str, pattern: str, reply: Reply) -> Validator:
        key = (verb, pattern, reply.status)
        if key not in self._validators:
            content = self.document["paths"][pattern][verb]["responses"][str(reply.status)]["content"]
            schema = content[reply.media]["schema"] | {"components": self.document["components"]}
            self._validators[key] = jsonschema.Draft202012Validator(schema)
        return self._validators[key]


OPENAPI = OpenApi()


class Reply(Struct):
    """A response."""

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
        """The `code` of a problem response; fails unless all its members and headers agree."""
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


class RunningGateway(Struct):
    """The base URLs of a gateway's two listeners, its database and its fake peers."""

    public: str
    internal: str
    db: Db
    fake_inventory: FakeInventory
    fake_pricing: FakePricing
    session: aiohttp.ClientSession

    async def request(
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
        """Send a request to the public listener, or to the internal one if `inside`; a public response is validated."""
        octets = raw if raw is not None else json.dumps(body).encode() if body is not None else None
        fields = {"content-type": "application/json"} if octets is not None else {}
        fields |= {"authorization": f"Bearer {token}"} if token is not None else {}
        url = (self.internal if inside else self.public) + path
        async with self.session.request(method, url, data=octets, headers=fields | (headers or {})) as response:
            received = {name.lower(): value for name, value in response.headers.items()}
            reply = Reply(response.status, received, await response.read())
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", reply.headers.get("x-request-id", "")), reply
        if not inside:
            OPENAPI.check(method, path.partition("?")[0], reply)
        return reply

    async def is_ready(self) -> bool:
        """Whether the public listener accepts connections and reports the gateway ready."""
        try:
            return (await self.request("GET", "/readyz")).status == 200
        except aiohttp.ClientConnectionError:
            return False

    async def device(self, **claims: Any) -> Device:
        """Register a device by SQL, with the seed's columns, and sign an access token for it."""
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
            principal=name,
            **({"issuer": "autogrocery", "audience": "ordering", "scopes": SCOPES, "ttl_s": 900} | claims),
        )

    async def send_webhook(
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
        """Send a webhook as inventory does, signed by the standard's own package; `sent` replaces the text after
        signing."""
        text, webhook_id, at = json.dumps(body), webhook_id or f"msg_{uuid7().hex}", at or now()
        headers = {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": signature or Webhook(key).sign(webhook_id, at, text),
        }
        raw = (text if sent is None else sent).encode()
        return await self.request("POST", path, raw=raw, headers=headers, inside=True)


class Device(Struct):
    """One registered device and its requests to the public listener."""

    gateway: RunningGateway
    user_id: int
    device_id: str
    token: str

    async def get(self, path: str, **named: Any) -> Reply:
        return await self.gateway.request("GET", path, token=self.token, **named)

    async def post(self, path: str, body: Any = None, **named: Any) -> Reply:
        return await self.gateway.request("POST", path, body, token=self.token, **named)

    async def preview(self, *, key: str | None = None, partial: bool | None = None, **items: int) -> Reply:
        body: dict[str, Any] = {"items": [{"sku": sku, "quantity": n} for sku, n in (items or {"milk": 2}).items()]}
        body |= {} if partial is None else {"allow_partial": partial}
        return await self.post(PREVIEW, body, headers={"idempotency-key": key} if key else {})

    async def previewed(self, **items: int) -> str:
        """Create an order; returns its id."""
        reply = await self.preview(**items)
        assert reply.status == 201, reply
        order_id: str = reply.json["order_id"]
        return order_id

    async def processing(self, **items: int) -> str:
        """Create and confirm an order; returns its id."""
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

    async def wait_for_status(self, order_id: str, status: str) -> dict[str, Any]:
        """Poll the order until it has the status; returns it as JSON."""
        return await self.wait_for(order_id, "status", status)

    async def wait_for(self, order_id: str, member: str, value: Any) -> dict[str, Any]:
        """Poll the order until a member of its JSON has the value; returns the whole."""

        async def has_value() -> bool:
            return bool((await self.order(order_id))[member] == value)

        await until(has_value, TIMEOUT_S, POLL_S)
        return await self.order(order_id)


def webhook_body(order_id: str, status: str = "COMPLETED", **more: Any) -> dict[str, Any]:
    """Return the body of an update-order webhook."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"order_id": order_id, "status": status, "occurred_at": at} | more


@asynccontextmanager
async def serve_gateway(dsn: str, **settings: str) -> AsyncIterator[RunningGateway]:
    """Run the gateway's `main` in this process with fake peers; at the end stop it as SIGTERM does and require a clean
    audit."""
    ports = free_ports(2)
    stop = asyncio.Event()
    async with serve_peers() as (inventory, pricing, target):
        running = asyncio.create_task(app.main(environ(dsn, target, *ports, **settings), stop))
        own = settings.get("DATABASE_DIRECT_URL") or dsn
        async with connect(own, ports, inventory, pricing) as gateway:
            await wait_until_ready(gateway, running)
            yield gateway
            audit = await gateway.request("GET", "/internal/audit", inside=True)
        stop.set()
        async with asyncio.timeout(TIMEOUT_S):
            await running
    assert audit.json["clean"], audit.json


@asynccontextmanager
async def connect(
    dsn: str, ports: list[int], inventory: FakeInventory, pricing: FakePricing, timeout_s: float = TIMEOUT_S
) -> AsyncIterator[RunningGateway]:
    """Open the test's own database pool and HTTP session for a gateway with its two listeners on `ports`."""
    public, internal = (f"http://127.0.0.1:{port}" for port in ports)
    async with (
        open_db(dsn, application="tests") as db,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s)) as session,
    ):
        yield RunningGateway(public, internal, db, inventory, pricing, session)


async def wait_until_ready(gateway: RunningGateway, running: asyncio.Task[None]) -> None:
    """Wait until the gateway that `running` executes is ready; raises what ended it before that."""

    async def is_ready() -> bool:
        if running.done():
            running.result()
        return await gateway.is_ready()

    await until(is_ready, TIMEOUT_S, POLL_S)
