"""What an order costs: CPU µs by process and latency by request, on the whole network with its real peers, closed loop.

`make bench` writes out/bench.json and prints a table. Absolute times say little on a shared machine; the ratios are of one run.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import uvloop
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from autogrocery.commands.fleet import provision
from autogrocery.commands.migrations import migrate_all
from autogrocery.commands.whole_audit import audit_all
from autogrocery.kit import log
from autogrocery.sim.demand import load_demand, stock_for
from autogrocery.sim.stocking import load_stock
from autogrocery.stack import options_from, running_stack

if TYPE_CHECKING:
    from autogrocery.sim.market import Basket
    from autogrocery.stack import Stack

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PASSWORD = "a long enough password"  # noqa: S105 - of throw-away devices
INSTANT = {"ROBOTS_SPEED": "100000", "ROBOTS_CRASH_PERCENT": "0", "BCRYPT_COST": "10"}
DRAIN_S = 60.0
OK = 300


class Run(Struct):
    """What the load saw: seconds by request kind, orders through, and answers that were no success by status."""

    took_s: dict[str, list[float]]
    orders: int
    others: dict[int, int]


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process, of its children, and of those it has buried."""
    total = 0.0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(entry.name) == pid:
            total += sum(map(int, fields[11:15])) / TICKS_PER_S
        elif int(fields[1]) == pid:
            total += sum(map(int, fields[11:13])) / TICKS_PER_S
    return total


async def call(session: aiohttp.ClientSession, run: Run, kind: str, path: str, body: object, **headers: str) -> Any:
    """Make one request and note how long it took; None if it was no success."""
    began = time.perf_counter()
    async with session.post(
        path, data=msgspec.json.encode(body), headers={"Content-Type": "application/json", **headers}
    ) as told:
        raw = await told.read()
    run.took_s.setdefault(kind, []).append(time.perf_counter() - began)
    if told.status >= OK:
        run.others[told.status] = run.others.get(told.status, 0) + 1
        await asyncio.sleep(float(told.headers.get("Retry-After", 0.05)))
        return None
    return msgspec.json.decode(raw)


async def shop(session: aiohttp.ClientSession, run: Run, token: str, baskets: list[Basket], ends_at: float) -> None:
    """Preview and confirm basket after basket until the time is over."""
    turn = 0
    while time.perf_counter() < ends_at:
        items = [{"sku": line.sku, "quantity": 1} for line in baskets[turn % len(baskets)].lines]
        turn += 1
        auth = {"Authorization": f"Bearer {token}"}
        order = await call(session, run, "preview", "/api/client/order/preview", {"items": items}, **auth)
        if order is not None:
            done = await call(
                session, run, "confirm", "/api/client/order/confirm", {"order_id": order["order_id"]}, **auth
            )
            run.orders += done is not None


async def enrol(session: aiohttp.ClientSession, number: int) -> str:
    """Register and log in one device; returns its token."""
    body = {"device_id": f"bench-{number}", "password": PASSWORD}
    async with session.post("/api/client/register", json=body) as made:
        made.raise_for_status()
    async with session.post("/api/client/login", json=body) as told:
        return str((await told.json())["access_token"])


async def settle(stack: Stack) -> None:
    """Wait until robots and webhooks are through, so that their cost is counted too."""
    ends_at = time.perf_counter() + DRAIN_S
    async with aiohttp.ClientSession(stack.url_internal) as session:
        while time.perf_counter() < ends_at:
            async with session.get("/status") as told:
                if not (await told.json())["orders"]["processing"]:
                    return
            await asyncio.sleep(0.2)


async def measure(stack: Stack, connections: int, seconds: float) -> dict[str, Any]:
    """Load the network and return the figures."""
    demand = load_demand(300, 1, None)
    many = [msgspec.structs.replace(item, quantity=1_000_000) for item in stock_for(demand)]
    await load_stock(stack.env["INVENTORY_GRPC_ADDR"], stack.env["PRICING_GRPC_ADDR"], many)
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(stack.url_public, connector=connector) as session:
        tokens = [await enrol(session, number) for number in range(connections)]
        pids = {name: pid for name, pid in stack.pids.items() if pid}
        before = {name: cpu_s(pid) for name, pid in pids.items()}
        own, began, run = time.process_time(), time.perf_counter(), Run({}, 0, {})
        await asyncio.gather(*(shop(session, run, token, demand.baskets, began + seconds) for token in tokens))
        took_s = time.perf_counter() - began
        load_s = time.process_time() - own
        await settle(stack)
    cost_us = {name: round((cpu_s(pid) - before[name]) / max(run.orders, 1) * 1e6) for name, pid in pids.items()}
    audit = await audit_all(stack.env["DATABASE_URL"], stack.env["INVENTORY_DATABASE_URL"])
    return {
        "connections": connections,
        "orders": run.orders,
        "orders_per_s": round(run.orders / took_s, 1),
        "lines_per_order": round(statistics.mean(len(basket.lines) for basket in demand.baskets), 1),
        "cpu_us_per_order": {**cost_us, "load": round(load_s / max(run.orders, 1) * 1e6)},
        "gateway_cpu_to_postgresql_cpu": round(cost_us["gateway"] / max(cost_us["postgresql"], 1), 2),
        "latency_ms": {kind: quantiles(took) for kind, took in run.took_s.items()},
        "other_answers": {str(status): count for status, count in run.others.items()},
        "audit_violations": sum(one.violations for _, one in audit),
    }


def quantiles(took_s: list[float]) -> dict[str, float]:
    """Return p50, p90 and p99 in milliseconds."""
    ranked = sorted(took_s)
    return {
        f"p{share}": round(ranked[min(len(ranked) - 1, len(ranked) * share // 100)] * 1e3, 1) for share in (50, 90, 99)
    }


async def bench(connections: list[int], seconds: float) -> list[dict[str, Any]]:
    """Measure each number of connections on a network of its own."""
    figures = []
    for count in connections:
        home = Path(tempfile.mkdtemp(prefix="agb-"))
        home.chmod(0o755)
        try:
            options = options_from({**os.environ, **INSTANT, "AUTOGROCERY_HOME": str(home / "home")}, ports="auto")
            async with running_stack(options, migrate_all=migrate_all, provision=provision) as stack:
                figures.append(await measure(stack, count, seconds))
        finally:
            shutil.rmtree(home)
    return figures


def main() -> int:
    """Measure, print, write; 1 if an audit found something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", default="1,8,64")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", type=Path, default=Path("out/bench.json"))
    asked = parser.parse_args()
    log.configure("bench", logging.WARNING)
    figures = uvloop.run(bench([int(part) for part in asked.connections.split(",")], asked.seconds))
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
    table = Table("", *(f"{one['connections']} connections" for one in figures))
    table.add_row("orders/s", *(str(one["orders_per_s"]) for one in figures))
    for kind in ("preview", "confirm"):
        table.add_row(f"{kind} p50 / p99 ms", *("{p50} / {p99}".format(**one["latency_ms"][kind]) for one in figures))
    for name in figures[0]["cpu_us_per_order"]:
        table.add_row(f"CPU µs an order, {name}", *(str(one["cpu_us_per_order"][name]) for one in figures))
    table.add_row("violations", *(str(one["audit_violations"]) for one in figures))
    Console().print(table)
    return 1 if any(one["audit_violations"] for one in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
