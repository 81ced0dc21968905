"""The accounts' routes, public and internal, over real HTTP and real PostgreSQL."""

from __future__ import annotations

import json
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from msgspec import Struct
from msgspec.structs import replace

from autogrocery.gateway.actions.register import register
from autogrocery.gateway.app import guard, open_accounts
from autogrocery.gateway.core.account import Kind
from autogrocery.gateway.routes.accounts import account_routes, internal_account_routes
from autogrocery.gateway.routes.limits import make_rate_limits
from autogrocery.gateway.settings import GatewaySettings
from autogrocery.kit.http.app import App
from autogrocery.kit.http.server import serve_http
from autogrocery.kit.security.login_backoff import LoginBackoff

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from autogrocery.gateway.deps import AccountDeps
    from autogrocery.kit.pg.db import Db

KEY, ROBOT_KEY = b"devices-and-operators-of-a-test-", b"robots-of-a-test-have-their-own-"
PASSWORD = "correct horse battery"


def settings(**changes: Any) -> GatewaySettings:
    return GatewaySettings(
        database_url="", jwt_secret="", robot_jwt_secret="", webhook_secret="", **{"bcrypt_cost": 4} | changes
    )


class Reply(Struct):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        return self.json["code"] if self.status >= 400 else None


class AccountsGateway(Struct):
    """The accounts part of a gateway, listening on two ports."""

    db: Db
    accounts: AccountDeps
    session: aiohttp.ClientSession
    public: str
    internal: str

    async def post(self, path: str, body: Any = None, bearer: str | None = None, *, inside: bool = False) -> Reply:
        return await self.request("POST", (self.internal if inside else self.public) + path, body, bearer)

    async def get(self, path: str, bearer: str | None = None) -> Reply:
        return await self.request("GET", self.public + path, None, bearer)

    async def request(self, method: str, url: str, body: Any, bearer: str | None, **more: str) -> Reply:
        headers = ({"authorization": f"Bearer {bearer}"} if bearer is not None else {}) | more
        async with self.session.request(method, url, json=body, headers=headers) as answer:
            fields = {name.lower(): value for name, value in answer.headers.items()}
            return Reply(answer.status, fields, await answer.read())

    async def add(
        self, device_id: str, kind: Kind = Kind.DEVICE, *, password: str = PASSWORD, robot_class: str | None = None
    ) -> int:
        return await register(
            self.db,
            self.accounts.passwords,
            device_id,
            password,
            kind=kind,
            robot_class=robot_class,
            supplier_id="acme" if kind is Kind.TRUCK else None,
        )

    async def log_in(self, device_id: str = "fridge-1", password: str = PASSWORD) -> dict[str, Any]:
        reply = await self.post("/api/client/login", {"device_id": device_id, "password": password})
        assert reply.status == 200, reply
        found: dict[str, Any] = reply.json
        return found

    async def refresh(self, token: str) -> Reply:
        return await self.post("/api/client/refresh", bearer=token)


@asynccontextmanager
async def open_accounts_gateway(
    db: Db, *, clock: Callable[[], float] = time.monotonic, **changes: Any
) -> AsyncIterator[AccountsGateway]:
    """Serve the accounts' routes with changed settings; `clock` is the login back-off's."""
    given = settings(**changes)
    async with AsyncExitStack() as stack:
        accounts = await stack.enter_async_context(open_accounts(db, given, (KEY,), (ROBOT_KEY,)))
        accounts = replace(accounts, login_backoff=LoginBackoff(given.login_wait_max_s, clock=clock))
        public_app = App(account_routes(accounts, make_rate_limits(given)), guard(accounts))
        internal_app = App(internal_account_routes(accounts, make_rate_limits(given)))
        public = await stack.enter_async_context(
            serve_http(public_app, "127.0.0.1", 0, "PUBLIC", trusted_proxies=given.trusted_proxies)
        )
        internal = await stack.enter_async_context(serve_http(internal_app, "127.0.0.1", 0, "INTERNAL"))
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)))
        yield AccountsGateway(db, accounts, session, f"http://127.0.0.1:{public}", f"http://127.0.0.1:{internal}")


@pytest.fixture
async def gateway(gateway_db: Db) -> AsyncIterator[AccountsGateway]:
    async with open_accounts_gateway(gateway_db) as gateway:
        yield gateway
