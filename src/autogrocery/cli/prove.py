"""`prove`: a network with two gateways and a fault proxy on every link, under constant faults, then audited."""

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

from autogrocery.cli.demo_accounts import provision
from autogrocery.cli.fact_audit import make_fact_auditor
from autogrocery.cli.migrations import migrate_all
from autogrocery.cli.replay import make_auditor
from autogrocery.cli.signals import run_until_signal
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
from autogrocery.lab.postgres.cluster import database_url
from autogrocery.lab.prove.network import DatabaseTotals, Network
from autogrocery.lab.prove.options import ProveOptions
from autogrocery.lab.prove.progress import live_status
from autogrocery.lab.prove.prove import prove
from autogrocery.lab.prove.report import finish
from autogrocery.lab.prove.schedule import LINKS
from autogrocery.lab.replay.stocking import load_stock
from autogrocery.lab.scenarios import Environment, run_scenarios

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Mapping

    from autogrocery.lab.fault_proxy import FaultProxy
    from autogrocery.lab.prove.progress import LiveStatus

HOST: Final = "127.0.0.1"
GATEWAYS: Final = ("gateway-1", "gateway-2")
# Short times, so that holds lapse, tokens expire and leases pass to other robots within a minute.
ENVIRON: Final = {
    "PREVIEW_TTL_S": "3",
    "ACCESS_TOKEN_TTL_S": "60",
    "BCRYPT_COST": "10",
    "ROBOTS_SPEED": "600",
    "PICK_LEASE_S": "6",
}
NETWORK_VARIABLES: Final = ("_ADDR", "_TARGET", "_SECRET", "DATABASE_URL", "SMTP_URL", "GATEWAY_WEBHOOK_URL")
WRITTEN: Final = """-- prove.changes
SELECT (SELECT count(*) FROM order_history) + (SELECT count(*) FROM restock_history) AS changes
"""
ORDERS: Final = """-- prove.orders
SELECT o.order_id, o.status FROM grocery_orders o JOIN smart_devices d ON d.id = o.user_id WHERE d.email IS NOT NULL
"""


def run_prove(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Prove that orders stay right under faults; exit 0 only if every invariant held."""
    # Variables that name the operator's own network are left out: this network is broken on purpose.
    kept = {name: value for name, value in environ.items() if not name.endswith(NETWORK_VARIABLES)}
    options = ProveOptions(arguments.minutes, arguments.seed, arguments.rate)

    async def work() -> int:
        log.configure("prove", logging.ERROR)  # children crash on purpose: their warnings are noise
        home = _fresh_home(environ)
        code = 0
        try:
            with live_status() as live:
                code = await _prove(home, {**ENVIRON, **kept}, options, arguments, live)
        finally:
            if code == 0:  # after a failure the files are evidence
                await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)
        return code

    return run_until_signal("prove", work())


async def _prove(
    home: Path, environ: Mapping[str, str], options: ProveOptions, arguments: argparse.Namespace, live: LiveStatus
) -> int:
    live.print_line(f"seed {options.seed}: two gateways and everything behind them start in {home}")
    loading = asyncio.create_task(asyncio.to_thread(load_demand, options.orders, options.seed, home))
    async with _open_network(home, environ) as (network, stack):
        demand = await loading
        gc.collect()
        gc.freeze()  # a year of baskets: collecting them again and again would delay the prober
        opening = opening_stock(demand, options.seed)
        await load_stock(stack.env["INVENTORY_GRPC_ADDR"], stack.env["PRICING_GRPC_ADDR"], opening)
        live.print_line(f"{network.public_url} serves; {len(demand.baskets)} baskets of {demand.source}")
        scenarios = await run_scenarios(
            _scenario_environment(network, stack), options.seed, live.print_line, options.scale
        )
        figures = await prove(network, demand, options, scenarios, live)
    json_path, html_path = (Path(name) if name else None for name in (arguments.json, arguments.html))
    return finish(figures, json_path, html_path)


def _fresh_home(environ: Mapping[str, str]) -> Path:
    """Create an empty home: below AUTOGROCERY_HOME if that is set, else in the directory for temporary files."""
    if environ.get("AUTOGROCERY_HOME"):
        parent = home_directory(environ)
        make_private(parent)
        home = parent / f"prove-{secrets.token_hex(4)}"
        make_private(home)
        return home
    home = Path(tempfile.mkdtemp(prefix="prove-"))
    home.chmod(0o711)  # PostgreSQL's user must be able to enter it
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
        gateway_environ = {
            name: {
                "ORDERING_HTTP_ADDR": f"{HOST}:{public[name]}",
                "ORDERING_INTERNAL_ADDR": f"{HOST}:{internal[name]}",
                "ANALYTICS_ZMQ_ADDR": metrics[name],
                "INVENTORY_GRPC_TARGET": f"{HOST}:{links['inventory-link'].port}",
                "PRICING_GRPC_TARGET": f"{HOST}:{links['pricing-link'].port}",
            }
            for name in GATEWAYS
        }
        shared_environ = {
            **gateway_environ[GATEWAYS[0]],
            "INVENTORY_GRPC_ADDR": "{}:{}".format(*inventory),
            "PRICING_GRPC_ADDR": "{}:{}".format(*pricing),
            "ROBOTS_ZMQ_ADDR": f"tcp://{HOST}:{next(ports)}",
            "GATEWAY_WEBHOOK_URL": f"http://{HOST}:{links['internal'].port}",
        }
        shared_environ = {name: value for name, value in shared_environ.items() if not name.endswith("_TARGET")}
        options = Options(
            home=home, environ={**environ, **shared_environ}, roles=_roles(gateway_environ, metrics), max_crashes=None
        )

        async def prepare(dsn: str, where: Path) -> Mapping[str, Mapping[str, str]]:
            return {**await provision(dsn, where), **_database_through_links(dsn, links)}

        stack = await opened.enter_async_context(running_stack(options, migrate_all=migrate_all, provision=prepare))
        trucks = await add_trucks(stack.dsn, home)
        yield replace(_network(stack, home, links, public, internal), trucks=trucks), stack


def _roles(gateway_environ: Mapping[str, Mapping[str, str]], metrics: Mapping[str, str]) -> tuple[Role, ...]:
    """Return the roles of `up`, with two gateways and analytics subscribed to both."""
    roles: list[Role] = []
    for role in ROLES:
        if role.name == "gateway":
            roles += [replace(role, name=name, env=dict(gateway_environ[name])) for name in GATEWAYS]
        elif role.name == "analytics":
            roles.append(replace(role, env={"ANALYTICS_ZMQ_TARGET": ",".join(metrics.values())}))
        else:
            roles.append(role)
    return tuple(roles)


def _database_through_links(dsn: str, links: Mapping[str, FaultProxy]) -> dict[str, dict[str, str]]:
    """Return the environment by which each gateway connects to the database over TCP, through its own fault proxy."""
    parts = urlsplit(dsn)
    port = int(dict(part.split("=") for part in parts.query.split("&"))["port"])
    found = {}
    for number, name in enumerate(GATEWAYS, start=1):
        link = links[f"postgresql-{number}"]
        link.upstreams = [(HOST, port)]
        login = parts.username or "", parts.password or ""
        found[name] = {"DATABASE_URL": database_url(*login, parts.path.removeprefix("/"), HOST, link.port)}
    return found


def _scenario_environment(network: Network, stack: Stack) -> Environment:
    """Return what the scenarios need: the address of each gateway, and of the peers without a fault proxy between."""
    return Environment(
        public_urls=tuple(network.gateway_urls.values()),
        internal_urls=network.internal_urls,
        inventory_address=stack.env["INVENTORY_GRPC_ADDR"],
        pricing_address=stack.env["PRICING_GRPC_ADDR"],
        webhook_secret=stack.env["WEBHOOK_SECRET"],
        preview_ttl_s=float(ENVIRON["PREVIEW_TTL_S"]),
        database_proxies=(network.links["postgresql-1"], network.links["postgresql-2"]),
        logs=(network.home / "postgres" / "server.log",),
    )


def _network(
    stack: Stack, home: Path, links: Mapping[str, FaultProxy], public: Mapping[str, int], internal: Mapping[str, int]
) -> Network:
    dsn = stack.dsn

    async def database_answers() -> bool:
        try:
            async with open_db(dsn, application="probe", max_size=1) as db:
                return await db.row("-- prove.probe\nSELECT 1") is not None
        except Unavailable:
            return False

    async def database_totals() -> DatabaseTotals | None:
        try:
            async with open_db(dsn, application="prove", max_size=1) as db:
                counted, rows = await db.row(WRITTEN), await db.rows(ORDERS)
        except Unavailable:
            return None
        orders = {str(row["order_id"]): row["status"] for row in rows}
        completed = frozenset(order_id for order_id, status in orders.items() if status == "COMPLETED")
        return DatabaseTotals(counted["changes"] if counted else 0, completed, frozenset(orders))

    return Network(
        home=home,
        public_url=f"http://{HOST}:{links['public'].port}",
        gateway_urls={name: f"http://{HOST}:{port}" for name, port in public.items()},
        internal_urls=tuple(f"http://{HOST}:{port}" for port in internal.values()),
        links=links,
        pid=lambda name: stack.pids[name],
        times_restarted=lambda name: stack.restarts[name],
        database_answers=database_answers,
        audit=make_auditor(stack),
        database_totals=database_totals,
        check_facts=make_fact_auditor(stack),
    )
