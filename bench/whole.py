"""The whole network with the shipped peers: inventory, pricing, instant robots, signed webhooks, analytics."""

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
from bench.job import Door
from bench.measure import Place
from bench.stage import LEAST_DEVICES, add_devices, check_durable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

BASKETS = 300
READY_S = 90.0  # robots log in, at the lowest priority, on a machine that may be busy
POLL_S = 0.2
PLENTY = 1_000_000  # the most that one delivery may bring
INSTANT = {"ROBOTS_SPEED": "100000", "ROBOTS_CRASH_PERCENT": "0", "ROBOTS_SHORT_PERCENT": "0"}
PATIENT = {
    "ROBOT_QUEUE_MAX": "10000"
}  # shoppers do not wait for robots, so these take what comes and finish it afterwards


class Network(Struct, frozen=True):
    """A network at work, stocked for `baskets`."""

    place: Place
    doors: list[Door]
    tokens: list[str]
    baskets: list[list[tuple[str, int]]]

    @property
    def lines(self) -> float:
        """Mean number of lines of a basket."""
        return sum(map(len, self.baskets)) / len(self.baskets)


async def all_robots(gateway_dsn: str, inventory_dsn: str) -> None:
    """Wait until every robot has logged in and asked for work: they do so at the lowest priority. Raises TimeoutError."""
    ours, theirs = await asyncpg.connect(gateway_dsn), await asyncpg.connect(inventory_dsn)
    try:
        known = await ours.fetchval("SELECT count(*) FROM smart_devices WHERE kind = 'robot'")
        async with asyncio.timeout(READY_S):
            while await theirs.fetchval("SELECT count(*) FROM inventory.robots") < known:  # noqa: ASYNC110 - in the database
                await asyncio.sleep(POLL_S)
    finally:
        await ours.close()
        await theirs.close()


@asynccontextmanager
async def open_network(
    connections: int, environ: Mapping[str, str], programs: Mapping[str, Sequence[str]] | None = None
) -> AsyncIterator[Network]:
    """Run it on a database server of its own, with default settings but for instant robots and `environ`.

    `programs`: what runs a role, where it is not the command line.
    """
    home = Path(tempfile.mkdtemp(prefix="agb-"))
    home.chmod(0o755)  # the server's user passes through
    try:
        fresh = {
            **os.environ,
            **INSTANT,
            **PATIENT,
            **environ,
            "AUTOGROCERY_HOME": str(home / "home"),
            "JWT_SECRET": secrets.token_urlsafe(32),
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
            demand = load_demand(BASKETS, 1, None)
            many = [msgspec.structs.replace(item, quantity=PLENTY) for item in stock_for(demand)]
            await load_stock(stack.env["INVENTORY_GRPC_ADDR"], stack.env["PRICING_GRPC_ADDR"], many)
            dsn = stack.env["DATABASE_URL"]
            await check_durable(dsn)
            await all_robots(dsn, stack.env["INVENTORY_DATABASE_URL"])
            (key,) = settings.secrets("JWT_SECRET", stack.env["JWT_SECRET"])
            signed = await add_devices(dsn, max(LEAST_DEVICES, 10 * connections), key)
            pids = {name: pid for name, pid in stack.pids.items() if pid}

            async def violations() -> int:
                return sum(one.violations for _, one in await audit_all(dsn, stack.env["INVENTORY_DATABASE_URL"]))

            baskets = [[(line.sku, line.quantity) for line in basket.lines] for basket in demand.baskets]
            ports = [urlsplit(url).port or 0 for url in (stack.url_public, stack.url_internal)]
            yield Network(Place(dsn, pids, violations), [Door(*ports)], signed, baskets)
    finally:
        shutil.rmtree(home, ignore_errors=True)
