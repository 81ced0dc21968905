"""A whole real network with two gateways on one database, a fault proxy before the database of each."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from autogrocery.commands.fleet import provision
from autogrocery.commands.migrations import migrate_all
from autogrocery.kit.ports import free_ports
from autogrocery.sim.fault_proxy import FaultProxy, open_proxy
from autogrocery.sim.scenarios import Floor
from autogrocery.stack import ROLES, Options, Role, running_stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

PREVIEW_TTL_S = 6
ENVIRON = {
    "PREVIEW_TTL_S": str(PREVIEW_TTL_S),
    "BCRYPT_COST": "10",
    "ROBOTS_SPEED": "600",
    "ROBOTS_CRASH_PERCENT": "0",  # a robot that dies costs the life of its lease, which is another test's
}
GATEWAYS = ("gateway", "gateway-2")


@asynccontextmanager
async def two_gateways(environ: Mapping[str, str] = ENVIRON) -> AsyncIterator[Floor]:
    """Run the network while the context lasts; nothing of it is left afterwards."""
    place = _place()
    http, internal, metrics = free_ports(3)
    first = next(role for role in ROLES if role.name == "gateway")
    second = Role(
        name=GATEWAYS[1], argv=(sys.executable, "-m", "autogrocery", "gateway"), given=first.given,
        env={"ORDERING_HTTP_ADDR": f"127.0.0.1:{http}", "ORDERING_INTERNAL_ADDR": f"127.0.0.1:{internal}",
             "ANALYTICS_ZMQ_ADDR": f"tcp://127.0.0.1:{metrics}"},
    )  # fmt: skip
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "PG_BIN") if name in os.environ}
    options = Options(
        home=place / "home", environ={**kept, **environ, "AUTOGROCERY_HOME": str(place / "home")}, auto_ports=True,
        roles=(*ROLES, second),
    )  # fmt: skip
    try:
        async with AsyncExitStack() as stack:
            proxies = [await stack.enter_async_context(open_proxy()) for _ in GATEWAYS]

            async def provide(dsn: str, home: Path) -> dict[str, Mapping[str, str]]:
                given = dict(await provision(dsn, home))
                for name, proxy in zip(GATEWAYS, proxies, strict=True):
                    given[name] = {"DATABASE_URL": _through(proxy, dsn)}
                return given

            running = await stack.enter_async_context(
                running_stack(options, migrate_all=migrate_all, provision=provide)
            )
            yield Floor(
                (running.url_public, f"http://127.0.0.1:{http}"),
                (running.url_internal, f"http://127.0.0.1:{internal}"),
                running.env["INVENTORY_GRPC_ADDR"], running.env["PRICING_GRPC_ADDR"], running.env["WEBHOOK_SECRET"],
                PREVIEW_TTL_S, tuple(proxies), (options.home / "postgres" / "server.log",),
            )  # fmt: skip
    finally:
        shutil.rmtree(place)


def _place() -> Path:
    place = Path(tempfile.mkdtemp(prefix="ags-"))
    place.chmod(0o755)  # the server's user passes through
    return place


def _through(proxy: FaultProxy, dsn: str) -> str:
    """Point the proxy at the database of `dsn`, and return the URL of the same database through the proxy."""
    parts, place = urlsplit(dsn), parse_qs(urlsplit(dsn).query)
    proxy.upstreams = [("127.0.0.1", int(place["port"][0]))]
    return f"postgresql://{parts.username}:{parts.password}@127.0.0.1:{proxy.port}{parts.path}"
