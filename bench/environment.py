"""What a run needs: PostgreSQL with durable settings, an empty database, gateways and minimal peers."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import shutil
import sys
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
from msgspec import Struct

from autogrocery.gateway.actions.audit import audit
from autogrocery.gateway.actions.issue_tokens import ISSUER
from autogrocery.gateway.core.account import SCOPES, Audience, Kind
from autogrocery.kit.pg.db import open_db
from autogrocery.kit.pg.migrate import migrate
from autogrocery.kit.security import tokens
from autogrocery.lab.network.child import Child
from autogrocery.lab.network.roles import Role
from autogrocery.lab.ports import free_ports
from autogrocery.lab.postgres.binaries import find_binaries
from autogrocery.lab.postgres.embedded import EmbeddedPostgres
from bench.job import GatewayPorts
from bench.mail_sink import NAME as SINK
from bench.mail_sink import MailSink, open_mail_sink
from bench.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

MIGRATIONS = "autogrocery.gateway.store.migrations"
AUDIT_MS = 60_000
READY_S = 20.0
STOP_S = 8.0
POLL_S = 0.02
MIN_DEVICES = 1_000
MAX_CONNECTIONS = 600  # pgbench has one for each of up to 512 clients
GATEWAY = ("-m", "autogrocery", "gateway")
TOKEN_TTL_S = 86_400
UNUSABLE_HASH = "$2b$12$" + "x" * 53
DURABLE = ("fsync", "synchronous_commit", "full_page_writes")


class Keys(Struct, frozen=True):
    """The secrets of one environment: for tokens of devices and of robots, and for webhooks."""

    devices: str
    robots: str
    webhooks: bytes


class Environment(Struct, frozen=True):
    """Running gateways with their database, peers and mail server; no `sink` if devices have no e-mail address."""

    dsn: str
    ports: list[GatewayPorts]
    tokens: list[str]
    keys: Keys
    pids: dict[str, int]
    targets: dict[str, str]  # of the peers' gRPC, by role
    sink: MailSink | None


async def count_violations(dsn: str) -> int:
    """Return the number of rows that violate an invariant of the gateway."""
    async with open_db(dsn, application="audit", max_size=2, statement_timeout_ms=AUDIT_MS) as db:
        return sum(invariant.violations for invariant in (await audit(db)).invariants)


@contextmanager
def open_postgres(preload: str = "") -> Iterator[EmbeddedPostgres]:
    """Run a PostgreSQL server; `preload`: a library that it loads at its start, or empty."""
    home = Path(tempfile.mkdtemp(prefix="agb-"))
    home.chmod(0o755)  # if the server runs as another user, it must reach its directory below
    settings = {"max_connections": str(MAX_CONNECTIONS), "shared_preload_libraries": preload}
    server = EmbeddedPostgres(home / "postgres", find_binaries(os.environ), settings=settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


async def fresh_database(server: EmbeddedPostgres) -> str:
    """Create a database with the gateway's tables and return its DSN."""
    name = f"bench_{secrets.token_hex(6)}"
    await server.ensure_database(name)
    dsn = server.dsn(name)
    await migrate(dsn, MIGRATIONS, "public")
    return dsn


async def check_durable(dsn: str) -> dict[str, str]:
    """Return the settings that make commits durable; raises AssertionError if one is off."""
    connection = await asyncpg.connect(dsn)
    try:
        found = {name: str(await connection.fetchval(f"SHOW {name}")) for name in DURABLE}
    finally:
        await connection.close()
    assert set(found.values()) == {"on"}, found
    return found


async def add_devices(dsn: str, count: int, key: bytes, *, email: bool = True) -> list[str]:
    """Insert `count` devices; returns a token for each, signed with `key` by the gateway's own function.

    `email`: they have an e-mail address, so that a receipt is sent for each of their orders.
    """
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "INSERT INTO smart_devices (device_id, password, email)"
            " SELECT 'bench-' || n, $2, CASE WHEN $3 THEN 'bench-' || n || '@devices.example' END"
            " FROM generate_series(1, $1::int) n RETURNING id, device_id",
            count,
            UNUSABLE_HASH,
            email,
        )
    finally:
        await connection.close()
    claims: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": Audience.ORDERING,
        "scopes": SCOPES[Kind.DEVICE],
        "ttl_s": TOKEN_TTL_S,
    }
    return [tokens.issue(key, user_id=row["id"], principal=row["device_id"], **claims) for row in rows]


@asynccontextmanager
async def open_environment(
    server: EmbeddedPostgres,
    *,
    gateways: int = 1,
    connections: int = 64,
    program: Sequence[str] = GATEWAY,
    settings: Mapping[str, str] | None = None,
    email: bool = True,
) -> AsyncIterator[Environment]:
    """Run gateways on a new database, each with default settings except `settings`.

    `gateways`: their number. `connections`: of the load generator; at least ten devices for each of them are inserted.
    `program`: the arguments of Python that start a gateway. `email`: devices have an address, and receipts go to a
    sink over SMTP.
    """
    home = Path(tempfile.mkdtemp(prefix="ags-"))
    dsn = await fresh_database(server)
    await check_durable(dsn)
    keys = Keys(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_bytes(32))
    inventory, pricing, *free = free_ports(2 + 2 * gateways)
    ports = [GatewayPorts(*free[number * 2 : number * 2 + 2]) for number in range(gateways)]
    targets = {"inventory": f"127.0.0.1:{inventory}", "pricing": f"127.0.0.1:{pricing}"}
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        sink = await stack.enter_async_context(open_mail_sink()) if email else None
        shared = {
            **gateway_variables(dsn, keys, targets),
            "ANALYTICS_ZMQ_ADDR": "tcp://127.0.0.1:0",
            "AUTOGROCERY_HOME": str(home),
            "SMTP_URL": sink.url if sink else "",
            "PYTHONPATH": str(ROOT),
            **{name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LD_LIBRARY_PATH"}},
            **(settings or {}),
        }
        roles = [(_peer("inventory", inventory), shared), (_peer("pricing", pricing), shared)]
        roles += [(_gateway(index, program), shared | listen_addresses(one)) for index, one in enumerate(ports)]
        children = [
            await stack.enter_async_context(_running(Child(role, environ, home / f"{role.name}.log", home)))
            for role, environ in roles
        ]
        device_tokens = await add_devices(dsn, max(MIN_DEVICES, 10 * connections), keys.devices.encode(), email=email)
        pids = {child.name: child.pid for child in children if child.pid} | {"postgresql": server.pid or 0}
        if sink:
            pids[SINK] = sink.pid
        yield Environment(dsn, ports, device_tokens, keys, pids, targets, sink)


def gateway_variables(dsn: str, keys: Keys, targets: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that a gateway can't do without: database, secrets and its peers' targets."""
    return {
        "DATABASE_URL": dsn,
        "JWT_SECRET": keys.devices,
        "ROBOT_JWT_SECRET": keys.robots,
        "WEBHOOK_SECRET": "whsec_" + base64.b64encode(keys.webhooks).decode(),
        "INVENTORY_GRPC_TARGET": targets["inventory"],
        "PRICING_GRPC_TARGET": targets["pricing"],
    }


def listen_addresses(ports: GatewayPorts) -> dict[str, str]:
    """Return the environment variables of a gateway's two listeners."""
    return {
        "ORDERING_HTTP_ADDR": f"127.0.0.1:{ports.public}",
        "ORDERING_INTERNAL_ADDR": f"127.0.0.1:{ports.internal}",
    }


def _peer(name: str, port: int) -> Role:
    return Role(name=name, argv=(sys.executable, "-m", "bench.peers", name, str(port)))


def _gateway(number: int, program: Sequence[str]) -> Role:
    return Role(name=f"gateway-{number}", argv=(sys.executable, *program))


@asynccontextmanager
async def _running(child: Child) -> AsyncIterator[Child]:
    """Launch a child, yield it when it is ready, and stop it at the end. Raises TimeoutError after READY_S."""
    child.launch()
    try:
        await _wait_until_ready(child)
        yield child
    finally:
        await child.stop(STOP_S)


async def _wait_until_ready(child: Child) -> None:
    give_up_at = time.monotonic() + READY_S
    while not child.ready():
        if time.monotonic() > give_up_at:
            raise TimeoutError(child.exit_report())
        await asyncio.sleep(POLL_S)
