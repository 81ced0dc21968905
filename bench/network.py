"""The whole network with the reference peers: inventory, pricing, instant robots, signed webhooks, analytics."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
import msgspec
from msgspec import Struct

from autogrocery.cli.demo_accounts import provision
from autogrocery.cli.migrations import migrate_all
from autogrocery.cli.network_audit import audit_all
from autogrocery.kit.process import settings
from autogrocery.lab.demand.demand import load_demand, stock_for
from autogrocery.lab.network import options_from, running_stack
from autogrocery.lab.replay.stocking import load_stock
from bench.environment import MIN_DEVICES, add_devices, check_durable
from bench.job import GatewayPorts
from bench.mail_sink import NAME as SINK
from bench.mail_sink import open_mail_sink
from bench.measure import LoadTarget

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from autogrocery.lab.network import Stack
    from bench.mail_sink import MailSink

BASKETS = 300
READY_S = 90.0  # robots' passwords are hashed at the lowest priority, on a machine that may be busy
POLL_S = 0.2
STOCK_PER_SKU = 1_000_000  # the maximum of one delivery
INSTANT = {"ROBOTS_SPEED": "100000", "ROBOTS_CRASH_PERCENT": "0", "ROBOTS_SHORT_PERCENT": "0"}
# Clients do not wait for robots, so a robot must accept all its assignments and work on them afterwards.
LONG_QUEUES = {"ROBOT_QUEUE_MAX": "10000"}


class Network(Struct, frozen=True):
    """A running network with stock for `baskets`."""

    target: LoadTarget
    ports: list[GatewayPorts]
    tokens: list[str]
    baskets: list[list[tuple[str, int]]]

    @property
    def lines(self) -> float:
        """Mean number of lines of a basket."""
        return sum(map(len, self.baskets)) / len(self.baskets)


async def wait_for_robots(gateway_dsn: str, inventory_dsn: str) -> None:
    """Wait until every robot has logged in and asked for work; raises TimeoutError after READY_S."""
    gateway, inventory = await asyncpg.connect(gateway_dsn), await asyncpg.connect(inventory_dsn)
    try:
        registered = await gateway.fetchval("SELECT count(*) FROM smart_devices WHERE kind = 'robot'")
        async with asyncio.timeout(READY_S):
            while await inventory.fetchval("SELECT count(*) FROM inventory.robots") < registered:  # noqa: ASYNC110 - a query
                await asyncio.sleep(POLL_S)
    finally:
        await gateway.close()
        await inventory.close()


@asynccontextmanager
async def open_network(
    connections: int, environ: Mapping[str, str], programs: Mapping[str, Sequence[str]] | None = None
) -> AsyncIterator[Network]:
    """Run the network on its own database server, with default settings except instant robots and `environ`.

    `connections`: of the load generator. `programs`: by role, the command that runs it instead of the default one.
    Receipts go to a sink over SMTP.
    """
    home = Path(tempfile.mkdtemp(prefix="agb-"))
    home.chmod(0o755)  # if the server runs as another user, it must reach its directory below
    try:
        async with open_mail_sink() as sink:
            fresh = {
                **os.environ,
                **INSTANT,
                **LONG_QUEUES,
                **environ,
                "AUTOGROCERY_HOME": str(home / "home"),
                "JWT_SECRET": secrets.token_urlsafe(32),
                "SMTP_URL": sink.url,
            }
            options = options_from(fresh, ports="auto")
            roles = tuple(
                msgspec.structs.replace(
                    role, ready_deadline_s=READY_S, argv=tuple((programs or {}).get(role.name, role.argv))
                )
                for role in options.roles
            )
            options = msgspec.structs.replace(options, roles=roles)
            async with running_stack(options, migrate_all=migrate_all, provision=provision) as stack:
                yield await _stocked(stack, connections, sink)
    finally:
        shutil.rmtree(home, ignore_errors=True)


async def _stocked(stack: Stack, connections: int, sink: MailSink) -> Network:
    """Stock the running network, wait for its robots and add devices."""
    demand = load_demand(BASKETS, 1, None)
    stock = [msgspec.structs.replace(item, quantity=STOCK_PER_SKU) for item in stock_for(demand)]
    await load_stock(stack.env["INVENTORY_GRPC_ADDR"], stack.env["PRICING_GRPC_ADDR"], stock)
    dsn, inventory_dsn = stack.env["DATABASE_URL"], stack.env["INVENTORY_DATABASE_URL"]
    await check_durable(dsn)
    await wait_for_robots(dsn, inventory_dsn)
    (key,) = settings.secrets("JWT_SECRET", stack.env["JWT_SECRET"])
    device_tokens = await add_devices(dsn, max(MIN_DEVICES, 10 * connections), key)
    pids = {name: pid for name, pid in stack.pids.items() if pid} | {SINK: sink.pid}

    async def violations() -> int:
        return sum(invariant.violations for _, invariant in await audit_all(dsn, inventory_dsn))

    baskets = [[(line.sku, line.quantity) for line in basket.lines] for basket in demand.baskets]
    public, internal = (urlsplit(url).port or 0 for url in (stack.url_public, stack.url_internal))
    return Network(LoadTarget(dsn, pids, violations, sink), [GatewayPorts(public, internal)], device_tokens, baskets)
