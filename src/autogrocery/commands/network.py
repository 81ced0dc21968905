"""Commands on a whole network: up, demo, replay, stock load."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from autogrocery.commands.database import migrate_all
from autogrocery.commands.fleet import demo_login, provision
from autogrocery.commands.whole_audit import audit_all
from autogrocery.kit import log
from autogrocery.kit.refusals import Unavailable
from autogrocery.kit.run import StartError, run
from autogrocery.kit.settings import SettingsError
from autogrocery.sim.demand import load_demand, read_stock, stock_for
from autogrocery.sim.demo import Stage, demo, finish, perform
from autogrocery.sim.quiet import Audit, Invariant
from autogrocery.sim.stocking import is_empty, load_stock
from autogrocery.stack import home_directory, options_from, read_run, running_stack, up

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
    from typing import Any

    from autogrocery.sim.demand import StockItem
    from autogrocery.stack import Stack

DEMO_ENVIRON = {"PREVIEW_TTL_S": "10", "BCRYPT_COST": "10", "ROBOTS_SPEED": "600", "PICK_LEASE_S": "6"}
STATUS_FILE = "analytics.json"
DEMO_ORDERS = 1_000  # `up` puts on the shelves what so many baskets need


def run_up(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Run the whole network until SIGINT or SIGTERM."""

    async def main(_environ: Mapping[str, str], stop: asyncio.Event) -> None:
        options = options_from(environ, ports=arguments.ports)
        await up(options, stop, _announce, migrate_all=_migrate(environ), provision=provision, stocked=_fill_if_empty)

    return run("up", main, environ, level=logging.WARNING)


def run_demo(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Run the network, replay baskets, audit and report; Ctrl-C stops all in order."""
    chosen = {**DEMO_ENVIRON, **environ}

    @asynccontextmanager
    async def stage() -> AsyncIterator[Stage]:
        options = options_from(chosen, ports="auto")
        async with running_stack(options, migrate_all=_migrate(chosen), provision=provision) as stack:
            pids = ", ".join(f"{name} {pid}" for name, pid in stack.pids.items())
            print(f"network on {stack.url_public}; logs in {stack.home / 'logs'}; {pids}", flush=True)
            yield Stage(stack.url_public, stack.url_internal, stack.home / STATUS_FILE, stack.home, _asker(stack))

    async def fill(stage: Stage, items: list[StockItem]) -> None:
        assert stage.home is not None
        addresses = (read_run(stage.home) or {})["addresses"]
        await load_stock(addresses["INVENTORY_GRPC_ADDR"], addresses["PRICING_GRPC_ADDR"], items)

    json_path = Path(arguments.json) if arguments.json else None
    return _until_signalled(
        "demo",
        demo(stage, fill, orders=arguments.orders, rate=arguments.rate, seed=arguments.seed, json_path=json_path),
    )


def run_replay(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Replay baskets against a gateway that runs somewhere; its shelves must hold them (`stock load --demo`)."""

    async def work() -> int:
        home = home_directory(environ)
        home.mkdir(parents=True, exist_ok=True)
        demand = await asyncio.to_thread(load_demand, arguments.orders, arguments.seed, home)
        stage = Stage(arguments.url.rstrip("/"), arguments.internal_url, None, home)
        figures = await perform(stage, demand, rate=arguments.rate, seed=arguments.seed)
        return finish(figures, Path(arguments.json) if arguments.json else None)

    return _until_signalled("replay", work())


def run_stock_load(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Load a stock file, or what the demo's baskets need."""
    if bool(arguments.file) == arguments.demo:
        raise SystemExit("name a CSV file, or --demo")

    async def work() -> int:
        addresses = (read_run(home_directory(environ)) or {}).get("addresses", {})
        inventory, pricing = (
            environ.get(f"{peer}_GRPC_TARGET") or environ.get(f"{peer}_GRPC_ADDR") or addresses.get(f"{peer}_GRPC_ADDR")
            or f"127.0.0.1:{port}" for peer, port in (("INVENTORY", 50051), ("PRICING", 50052))
        )  # fmt: skip
        if arguments.demo:
            items = stock_for(await asyncio.to_thread(load_demand, DEMO_ORDERS, 1, None))
        else:
            items = read_stock(Path(arguments.file))
        await load_stock(inventory, pricing, items)
        print(f"{len(items)} products, {sum(item.quantity for item in items)} units loaded")
        return 0

    return _until_signalled("stock load", work())


def _asker(stack: Stack) -> Callable[[], Awaitable[Audit | None]]:
    """Return what audits both databases; None is the answer while one of them is being restarted."""

    async def ask() -> Audit | None:
        try:
            found = await audit_all(stack.env["DATABASE_URL"], stack.env["INVENTORY_DATABASE_URL"])
        except Unavailable:
            return None
        listed = [Invariant(f"{part}: {one.name}", one.violations, list(one.examples)) for part, one in found]
        return Audit(not any(one.violations for one in listed), listed)

    return ask


def _migrate(environ: Mapping[str, str]) -> Any:
    async def apply(dsn: str) -> object:
        return await migrate_all(dsn, environ)

    return apply


async def _fill_if_empty(stack: Stack) -> None:
    inventory, pricing = stack.env["INVENTORY_GRPC_ADDR"], stack.env["PRICING_GRPC_ADDR"]
    if await is_empty(pricing):
        demand = await asyncio.to_thread(load_demand, DEMO_ORDERS, 1, stack.home)
        await load_stock(inventory, pricing, stock_for(demand))


def _announce(stack: Stack) -> None:
    """Print where everything is, and a demo device's login."""
    table = Table("what", "where", title="Autonomous Grocery Network")
    table.add_row("REST", stack.url_public)
    table.add_row("REST, internal", stack.url_internal)
    for name, value in stack.env.items():
        if name.endswith("_ADDR") and not name.startswith("ORDERING"):
            table.add_row(name, value)
    device_id, password = demo_login(stack.home)
    table.add_row("a demo device", f"device_id {device_id}  password {password}")
    table.add_row("logs", str(stack.home / "logs"))
    Console().print(table)
    print("Ctrl-C stops all of it.", flush=True)


def _until_signalled(name: str, work: Coroutine[Any, Any, int]) -> int:
    """Run a command until it is done; SIGINT and SIGTERM end it in order, with exit code 130."""
    log.configure(name, logging.WARNING)  # the roles keep logs; here a person reads

    async def under_signals() -> int:
        task = asyncio.ensure_future(work)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await task

    try:
        return uvloop.run(under_signals())
    except asyncio.CancelledError:
        return 130
    except (SettingsError, StartError, OSError, ValueError, msgspec.MsgspecError) as error:
        print(f"autogrocery {name}: {error}", file=sys.stderr)
        return 2
    finally:
        sys.stdout.flush()
