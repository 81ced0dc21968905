"""`make interop`: plain peers in another language pass the kit, and serve orders through a real gateway.

Exit code 0 only if the kit passes, no refusal was anything but overload, every order ends COMPLETED by the peer's own
webhooks, and the gateway's invariants hold.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import secrets
import shutil
import sys
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import uvloop
from msgspec import Struct
from rich.table import Table

from autogrocery.cli.console import console
from autogrocery.lab.conformance import Options, Report, Result, check_inventory, check_pricing
from autogrocery.lab.conformance.options import Robot
from autogrocery.lab.conformance.report import print_report
from autogrocery.lab.demand.demand import StockItem
from autogrocery.lab.network.child import Child
from autogrocery.lab.network.roles import Role
from autogrocery.lab.ports import free_ports
from autogrocery.lab.replay.stocking import load_stock
from bench.environment import add_devices, count_violations, fresh_database, open_postgres
from tests.harness.restart_control import restart_command
from tests.interop.node_peer import NodePeerError, install, open_node_peer
from tests.interop.orders import Tally, place_orders

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

ROBOT = Robot("robot-dairy-1", "dairy", secrets.token_urlsafe(32))
ROOT = Path(__file__).resolve().parents[2]
DEVICES = 2_000
PRODUCTS = 20
PLENTY = 1_000_000  # the most that one delivery may bring
READY_S = 40.0
SETTLED_S = 120.0
PICK_AFTER_MS = "50"
PASSED_ON = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")


class Mart(Struct, frozen=True):
    """A gateway at work between PostgreSQL and the plain peers."""

    dsn: str
    public_port: int
    tokens: list[str]
    skus: list[str]


async def check_peers(home: Path, patience: float) -> list[Report]:
    """Run the kit against both peers, with robots, restarts and webhooks; return the reports."""
    out, webhooks, secret = console(), free_ports(1)[0], secrets.token_urlsafe(32)

    def tell(result: Result) -> None:
        out.print(f"{result.line_id:<6}{result.outcome:<13}{result.promise} {result.detail}", soft_wrap=True)

    variables = {
        "ROBOT_TOKEN": ROBOT.token,
        "WEBHOOK_SECRET": secret,
        "GATEWAY_WEBHOOK_URL": f"http://127.0.0.1:{webhooks}",
    }
    async with AsyncExitStack() as stack:
        inventory = await stack.enter_async_context(open_node_peer("inventory", home, **variables))
        pricing = await stack.enter_async_context(open_node_peer("pricing", home))
        options = Options(
            inventory.target,
            robot=ROBOT,
            restart_command=await stack.enter_async_context(restart_command(inventory.restart)),
            webhook_listen=f"127.0.0.1:{webhooks}",
            webhook_key=secret.encode(),
            patience=patience,
        )
        reports = [await check_inventory(options, tell)]
        restart = await stack.enter_async_context(restart_command(pricing.restart))
        options = Options(pricing.target, restart_command=restart, patience=patience)
        reports.append(await check_pricing(options, tell))
    for report in reports:
        print_report(report, out)
    return reports


@asynccontextmanager
async def open_mart(home: Path, dsn: str) -> AsyncIterator[Mart]:
    """Run both peers with robots of their own and a gateway; stock them, and add devices."""
    public, internal = free_ports(2)
    key = secrets.token_bytes(32)
    webhook_secret = "whsec_" + base64.b64encode(key).decode()
    variables = {
        "WEBHOOK_SECRET": webhook_secret,
        "GATEWAY_WEBHOOK_URL": f"http://127.0.0.1:{internal}",
        "PICK_AFTER_MS": PICK_AFTER_MS,
    }
    jwt_secret = secrets.token_urlsafe(32)
    async with (
        open_node_peer("inventory", home, **variables) as inventory,
        open_node_peer("pricing", home) as pricing,
    ):
        gateway = Child(
            Role(name="gateway", argv=(sys.executable, "-m", "autogrocery", "gateway")),
            {
                "DATABASE_URL": dsn,
                "JWT_SECRET": jwt_secret,
                "ROBOT_JWT_SECRET": secrets.token_urlsafe(32),
                "WEBHOOK_SECRET": webhook_secret,
                "INVENTORY_GRPC_TARGET": inventory.target,
                "PRICING_GRPC_TARGET": pricing.target,
                "ORDERING_HTTP_ADDR": f"127.0.0.1:{public}",
                "ORDERING_INTERNAL_ADDR": f"127.0.0.1:{internal}",
                "ANALYTICS_ZMQ_ADDR": "tcp://127.0.0.1:0",
                "AUTOGROCERY_HOME": str(home),
                "PYTHONPATH": str(ROOT / "src"),
                **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
            },
            home / "gateway.log",
            home,
        )
        gateway.launch()
        try:
            async with asyncio.timeout(READY_S):
                await wait_until_ready(gateway)
            items = [
                StockItem(f"plain-{number:02d}", f"Plain {number}", "dairy", 100 + number, 60, PLENTY)
                for number in range(PRODUCTS)
            ]
            await load_stock(inventory.target, pricing.target, items)
            tokens = await add_devices(dsn, DEVICES, jwt_secret.encode(), email=False)
            yield Mart(dsn, public, tokens, [item.sku for item in items])
        finally:
            await gateway.stop(10.0)


async def wait_until_ready(child: Child) -> None:
    """Return once a child has sent READY=1; raises ChildError if it ends before."""
    while True:
        if child.ready():
            return
        await asyncio.sleep(0.05)


async def settle(dsn: str) -> dict[str, int]:
    """Wait until no order is PROCESSING; return the number of orders by status."""
    give_up_at = time.monotonic() + SETTLED_S
    connection = await asyncpg.connect(dsn)
    try:
        while True:
            rows = await connection.fetch("SELECT status, count(*) AS n FROM grocery_orders GROUP BY status")
            counts = {row["status"]: row["n"] for row in rows}
            if not counts.get("PROCESSING") or time.monotonic() > give_up_at:
                return counts
            await asyncio.sleep(0.5)
    finally:
        await connection.close()


def print_tallies(tallies: Sequence[Tally], counts: dict[str, int], violations: int) -> None:
    """Print a row for each number of connections, then how the orders ended."""
    table = Table(title="orders through a gateway and plain Node peers", title_justify="left")
    for heading in ("connections", "orders", "orders/s", "p50 ms", "p99 ms", "overload", "other refusals"):
        table.add_column(heading, justify="right")
    for tally in tallies:
        ranked = sorted(tally.orders) or [0.0]
        p50, p99 = ranked[len(ranked) // 2], ranked[int(len(ranked) * 0.99)]
        table.add_row(
            str(tally.connections),
            f"{len(tally.orders):,}",
            f"{tally.per_second:.0f}",
            f"{p50 * 1e3:.1f}",
            f"{p99 * 1e3:.1f}",
            f"{tally.overload.total():,}",
            ", ".join(f"{count} x {what}" for what, count in tally.others.items()) or "0",
        )
    out = console()
    out.print(table)
    out.print(f"orders by status: {counts}; violated invariants: {violations}")


async def run(arguments: argparse.Namespace) -> int:
    """Check the peers, then place the orders; return the exit code."""
    await install()
    home = Path(tempfile.mkdtemp(prefix="agi-"))
    try:
        kit, mart_home = home / "kit", home / "mart"
        kit.mkdir()
        mart_home.mkdir()
        reports = await check_peers(kit, arguments.patience)
        if not all(report.ok for report in reports):
            return 1
        with open_postgres() as server:
            dsn = await fresh_database(server)
            async with open_mart(mart_home, dsn) as mart:
                tallies = [
                    await place_orders(
                        mart.public_port, mart.tokens, mart.skus, orders=arguments.orders, connections=connections
                    )
                    for connections in arguments.connections
                ]
                counts = await settle(dsn)
                violations = await count_violations(dsn)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print_tallies(tallies, counts, violations)
    wanted = arguments.orders * len(tallies)
    whole = all(not tally.others and len(tally.orders) == arguments.orders for tally in tallies)
    ok = whole and counts.get("COMPLETED", 0) == wanted and not violations
    print("INTEROPERATES" if ok else "DOES NOT INTEROPERATE")
    return 0 if ok else 1


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.interop", description=__doc__)
    parser.add_argument("--orders", type=int, default=10_000, help="orders for each number of connections")
    parser.add_argument("--connections", default="1,8,64,128", help="numbers of connections, one run each")
    parser.add_argument("--patience", type=float, default=1.0, help="multiplies the kit's deadlines")
    arguments = parser.parse_args()
    arguments.connections = [int(word) for word in arguments.connections.split(",")]
    try:
        return uvloop.run(run(arguments))
    except NodePeerError as error:
        print(f"interop: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
