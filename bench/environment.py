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
from contextlib import asynccontextmanager, contextmanager
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

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
MIGRATIONS = "autogrocery.gateway.store.migrations"
AUDIT_MS = 60_000
READY_S = 20.0
STOP_S = 8.0
POLL_S = 0.02
MIN_DEVICES = 1_000
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
    """Running gateways with their database and peers."""

    dsn: str
    ports: list[GatewayPorts]
    tokens: list[str]
    keys: Keys
    pids: dict[str, int]
    targets: dict[str, str]  # of the peers' gRPC, by role


async def count_violations(dsn: str) -> int:
    """Return the number of rows that violate an invariant of the gateway."""
    async with open_db(dsn, application="audit", max_size=2, statement_timeout_ms=AUDIT_MS) as db:
        return sum(invariant.violations for invariant in (await audit(db)).invariants)


@contextmanager
def open_postgres(preload: str = "") -> Iterator[EmbeddedPostgres]:
    """Run a PostgreSQL server; `preload`: a library that it loads at its start, or empty."""
    home = Path(tempfile.mkdtemp(prefix="agb-"))
    home.chmod(0o755)  # if the server runs as another user, it must reach its directory below
    server = EmbeddedPostgres(home / "postgres", find_binaries(os.environ))
    server.start()
    try:
        if preload:
            asyncio.run(_load_at_start(server, preload))
            server.stop()
            server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


async def _load_at_start(server: EmbeddedPostgres, library: str) -> None:
    connection = await asyncpg.connect(server.dsn())
    try:
        await connection.execute(f"ALTER SYSTEM SET shared_preload_libraries = '{library}'")
    finally:
        await connection.close()


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


async def add_devices(dsn: str, count: int, key: bytes) -> list[str]:
    """Insert `count` devices; returns a token for each, signed with `key` by the gateway's own function."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "INSERT INTO smart_devices (device_id, password)"
            " SELECT 'bench-' || n, $2 FROM generate_series(1, $1::int) n RETURNING id, device_id",
            count,
            UNUSABLE_HASH,
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
) -> AsyncIterator[Environment]:
    """Run gateways on a new database, each with default settings except `settings`.

    `gateways`: their number. `connections`: of the load generator; at least ten devices for each of them are inserted.
    `program`: the arguments of Python that start a gateway.
    """
    home = Path(tempfile.mkdtemp(prefix="ags-"))
    dsn = await fresh_database(server)
    await check_durable(dsn)
    keys = Keys(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_bytes(32))
    inventory, pricing, *free = free_ports(2 + 2 * gateways)
    ports = [GatewayPorts(*free[number * 2 : number * 2 + 2]) for number in range(gateways)]
    peers = [_peer("inventory", inventory), _peer("pricing", pricing)]
    shared = {
        "DATABASE_URL": dsn,
        "JWT_SECRET": keys.devices,
        "ROBOT_JWT_SECRET": keys.robots,
        "WEBHOOK_SECRET": "whsec_" + base64.b64encode(keys.webhooks).decode(),
        "INVENTORY_GRPC_TARGET": f"127.0.0.1:{inventory}",
        "PRICING_GRPC_TARGET": f"127.0.0.1:{pricing}",
        "ANALYTICS_ZMQ_ADDR": "tcp://127.0.0.1:0",
        "AUTOGROCERY_HOME": str(home),
        "PYTHONPATH": str(ROOT),
        **{name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LD_LIBRARY_PATH"}},
    }
    children: list[Child] = []
    try:
        for number, role in enumerate([*peers, *(_gateway(index, program) for index in range(gateways))]):
            listeners = ports[max(0, number - len(peers))]
            own = {
                "ORDERING_HTTP_ADDR": f"127.0.0.1:{listeners.public}",
                "ORDERING_INTERNAL_ADDR": f"127.0.0.1:{listeners.internal}",
            }
            children.append(Child(role, {**shared, **own, **(settings or {})}, home / f"{role.name}.log", home))
            children[-1].launch()
            await _wait_until_ready(children[-1])
        device_tokens = await add_devices(dsn, max(MIN_DEVICES, 10 * connections), keys.devices.encode())
        pids = {child.name: child.pid for child in children if child.pid} | {"postgresql": server.pid or 0}
        targets = {"inventory": shared["INVENTORY_GRPC_TARGET"], "pricing": shared["PRICING_GRPC_TARGET"]}
        yield Environment(dsn, ports, device_tokens, keys, pids, targets)
    finally:
        for child in reversed(children):
            await child.stop(STOP_S)
        shutil.rmtree(home, ignore_errors=True)


def _peer(name: str, port: int) -> Role:
    return Role(name=name, argv=(sys.executable, "-m", "bench.peers", name, str(port)))


def _gateway(number: int, program: Sequence[str]) -> Role:
    return Role(name=f"gateway-{number}", argv=(sys.executable, *program))


async def _wait_until_ready(child: Child) -> None:
    give_up_at = time.monotonic() + READY_S
    while not child.ready():
        if time.monotonic() > give_up_at:
            raise TimeoutError(child.exit_report())
        await asyncio.sleep(POLL_S)
