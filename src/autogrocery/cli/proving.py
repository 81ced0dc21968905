"""`prove`: a network of its own with two gateways, every link through a fault proxy, broken all the time, then judged."""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import shutil
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from msgspec.structs import replace

from autogrocery.cli.fleet import provision
from autogrocery.cli.migrations import migrate_all
from autogrocery.cli.replaying import asker
from autogrocery.cli.signalled import until_signalled
from autogrocery.cli.suppliers import add_trucks
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.pg.db import open_db
from autogrocery.kit.process import log
from autogrocery.lab.demand.demand import load_demand
from autogrocery.lab.demand.supply import opening_stock
from autogrocery.lab.directories import make_private
from autogrocery.lab.fault_proxy import open_proxy
from autogrocery.lab.network import ROLES, Options, Role, Stack, home_directory, running_stack
from autogrocery.lab.ports import free_ports
from autogrocery.lab.prove.live import watching
from autogrocery.lab.prove.network import Network, Written
from autogrocery.lab.prove.prove import prove
from autogrocery.lab.prove.report import finish
from autogrocery.lab.prove.schedule import LINKS
from autogrocery.lab.prove.wish import Wish
from autogrocery.lab.replay.stocking import load_stock
from autogrocery.lab.scenarios import Floor, run_scenarios

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Mapping

    from autogrocery.lab.fault_proxy import FaultProxy
    from autogrocery.lab.prove.live import Live

HOST: Final = "127.0.0.1"
GATEWAYS: Final = ("gateway-1", "gateway-2")
# Short times, so that much happens in a minute: holds that lapse, tokens that end, leases that pass to others.
ENVIRON: Final = {
    "PREVIEW_TTL_S": "3",
    "ACCESS_TOKEN_TTL_S": "60",
    "BCRYPT_COST": "10",
    "ROBOTS_SPEED": "600",
    "PICK_LEASE_S": "6",
}
OURS: Final = ("_ADDR", "_TARGET", "_SECRET", "DATABASE_URL", "SMTP_URL", "GATEWAY_WEBHOOK_URL")
WRITTEN: Final = """-- prove.changes
SELECT (SELECT count(*) FROM order_history) + (SELECT count(*) FROM restock_history) AS changes
"""
ORDERS: Final = """-- prove.orders
SELECT o.order_id, o.status FROM grocery_orders o JOIN smart_devices d ON d.id = o.user_id WHERE d.email IS NOT NULL
"""


def run_prove(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Prove that orders stay right whatever dies; exit 0 only if everything held."""
    # What names the operator's own network is left out: this one is broken on purpose.
    kept = {name: value for name, value in environ.items() if not name.endswith(OURS)}
    wish = Wish(arguments.minutes, arguments.seed, arguments.rate)

    async def work() -> int:
        log.configure("prove", logging.ERROR)  # that children crash is no news here
        home = _fresh_home(environ)
        code = 0
        try:
            with watching() as live:
                code = await _prove(home, {**ENVIRON, **kept}, wish, arguments, live)
        finally:
            if code == 0:  # else somebody will want to look at what is left
                await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)
        return code

    return until_signalled("prove", work())


async def _prove(home: Path, environ: Mapping[str, str], wish: Wish, arguments: argparse.Namespace, live: Live) -> int:
    live.say(f"seed {wish.seed}: two gateways and everything behind them start in {home}")
    loading = asyncio.create_task(asyncio.to_thread(load_demand, wish.orders, wish.seed, home))
    async with _open_network(home, environ) as (network, stack):
        demand = await loading
        gc.collect()
        gc.freeze()  # a year of baskets: to look through them again and again would hold up the prober
        opening = opening_stock(demand, wish.seed)
        await load_stock(stack.env["INVENTORY_GRPC_ADDR"], stack.env["PRICING_GRPC_ADDR"], opening)
        live.say(f"{network.public_url} serves; {len(demand.baskets)} baskets of {demand.source}")
        scenarios = await run_scenarios(_floor(network, stack), wish.seed, live.say, wish.scale)
        figures = await prove(network, demand, wish, scenarios, live)
    json_path, html_path = (Path(name) if name else None for name in (arguments.json, arguments.html))
    return finish(figures, json_path, html_path)


def _fresh_home(environ: Mapping[str, str]) -> Path:
    """Make an empty home: below AUTOGROCERY_HOME if that is set, else where the machine keeps what is temporary."""
    if environ.get("AUTOGROCERY_HOME"):
        parent = home_directory(environ)
        make_private(parent)
        home = parent / f"prove-{secrets.token_hex(4)}"
        make_private(home)
        return home
    home = Path(tempfile.mkdtemp(prefix="prove-"))
    home.chmod(0o711)  # PostgreSQL's user must get through
    return home


@asynccontextmanager
async def _open_network(home: Path, environ: Mapping[str, str]) -> AsyncIterator[tuple[Network, Stack]]:
    async with AsyncExitStack() as opened:
        links = {name: await opened.enter_async_context(open_proxy()) for name in LINKS}
        ports = iter(free_ports(9))
        public, internal = ({name: next(ports) for name in GATEWAYS} for _ in range(2))
        metrics = {name: f"tcp://{HOST}:{next(ports)}" for name in GATEWAYS}
        inventory, pricing = (HOST, next(ports)), (HOST, next(ports))
        links["public"].upstreams = [(HOST, port) for port in public.values()]
        links["internal"].upstreams = [(HOST, port) for port in internal.values()]
        links["inventory-link"].upstreams = [inventory]
        links["pricing-link"].upstreams = [pricing]
        own = {
            name: {
                "ORDERING_HTTP_ADDR": f"{HOST}:{public[name]}",
                "ORDERING_INTERNAL_ADDR": f"{HOST}:{internal[name]}",
                "ANALYTICS_ZMQ_ADDR": metrics[name],
                "INVENTORY_GRPC_TARGET": f"{HOST}:{links['inventory-link'].port}",
                "PRICING_GRPC_TARGET": f"{HOST}:{links['pricing-link'].port}",
            }
            for name in GATEWAYS
        }
        shared = {
            **own[GATEWAYS[0]],
            "INVENTORY_GRPC_ADDR": "{}:{}".format(*inventory),
            "PRICING_GRPC_ADDR": "{}:{}".format(*pricing),
            "ROBOTS_ZMQ_ADDR": f"tcp://{HOST}:{next(ports)}",
            "GATEWAY_WEBHOOK_URL": f"http://{HOST}:{links['internal'].port}",
        }
        shared = {name: value for name, value in shared.items() if not name.endswith("_TARGET")}
        options = Options(home=home, environ={**environ, **shared}, roles=_roles(own, metrics), most_crashes=None)

        async def prepare(dsn: str, where: Path) -> Mapping[str, Mapping[str, str]]:
            told = dict(await provision(dsn, where))
            return {**told, **_reach_database(dsn, links)}

        stack = await opened.enter_async_context(running_stack(options, migrate_all=migrate_all, provision=prepare))
        trucks = await add_trucks(stack.dsn, home)
        yield replace(_seen(stack, home, links, public, internal), trucks=trucks), stack


def _roles(own: Mapping[str, Mapping[str, str]], metrics: Mapping[str, str]) -> tuple[Role, ...]:
    """Return the roles of `up`, the gateway twice, and analytics listening to both."""
    roles: list[Role] = []
    for role in ROLES:
        if role.name == "gateway":
            roles += [replace(role, name=name, env=dict(own[name])) for name in GATEWAYS]
        elif role.name == "analytics":
            roles.append(replace(role, env={"ANALYTICS_ZMQ_TARGET": ",".join(metrics.values())}))
        else:
            roles.append(role)
    return tuple(roles)


def _reach_database(dsn: str, links: Mapping[str, FaultProxy]) -> dict[str, dict[str, str]]:
    """Lead each gateway to the database over TCP and its own link."""
    place = urlsplit(dsn)
    port = int(dict(part.split("=") for part in place.query.split("&"))["port"])
    found = {}
    for number, name in enumerate(GATEWAYS, start=1):
        link = links[f"postgresql-{number}"]
        link.upstreams = [(HOST, port)]
        login = f"{place.username}:{place.password}"
        found[name] = {"DATABASE_URL": f"postgresql://{login}@{HOST}:{link.port}{place.path}"}
    return found


def _floor(network: Network, stack: Stack) -> Floor:
    """Return what the scenarios are played on: each gateway by itself, the peers without a link between."""
    return Floor(
        public_urls=tuple(network.gateway_urls.values()),
        internal_urls=network.internal_urls,
        inventory_address=stack.env["INVENTORY_GRPC_ADDR"],
        pricing_address=stack.env["PRICING_GRPC_ADDR"],
        webhook_secret=stack.env["WEBHOOK_SECRET"],
        preview_ttl_s=float(ENVIRON["PREVIEW_TTL_S"]),
        database_proxies=(network.links["postgresql-1"], network.links["postgresql-2"]),
        logs=(network.home / "postgres" / "server.log",),
    )


def _seen(
    stack: Stack, home: Path, links: Mapping[str, FaultProxy], public: Mapping[str, int], internal: Mapping[str, int]
) -> Network:
    dsn = stack.env["DATABASE_URL"]

    async def database_answers() -> bool:
        try:
            async with open_db(dsn, application="probe", max_size=1) as db:
                return await db.row("-- prove.probe\nSELECT 1") is not None
        except Unavailable:
            return False

    async def written() -> Written | None:
        try:
            async with open_db(dsn, application="prove", max_size=1) as db:
                counted, rows = await db.row(WRITTEN), await db.rows(ORDERS)
        except Unavailable:
            return None
        orders = {str(row["order_id"]): row["status"] for row in rows}
        completed = frozenset(order_id for order_id, status in orders.items() if status == "COMPLETED")
        return Written(counted["changes"] if counted else 0, completed, frozenset(orders))

    return Network(
        home=home,
        public_url=f"http://{HOST}:{links['public'].port}",
        gateway_urls={name: f"http://{HOST}:{port}" for name, port in public.items()},
        internal_urls=tuple(f"http://{HOST}:{port}" for port in internal.values()),
        links=links,
        pid=lambda name: stack.pids[name],
        times_restarted=lambda name: stack.restarts[name],
        database_answers=database_answers,
        audit=asker(stack),
        written=written,
    )
