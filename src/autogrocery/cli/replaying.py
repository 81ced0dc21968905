"""Commands that play baskets: replay, stock load, and the demo's part after the network stands."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from autogrocery.cli.keys import operator_identity
from autogrocery.cli.signalled import until_signalled
from autogrocery.cli.suppliers import add_trucks
from autogrocery.cli.whole_audit import audit_all
from autogrocery.gateway.store import receipts
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.pg.db import open_db
from autogrocery.lab.demand.demand import load_demand, read_stock, stock_for
from autogrocery.lab.network import home_directory, pki, read_run
from autogrocery.lab.replay.demo import Stage, demo, finish, perform
from autogrocery.lab.replay.quiet import Audit, Invariant
from autogrocery.lab.replay.quiet import asker as ask_gateway
from autogrocery.lab.replay.stocking import is_empty, levels_of, load_stock

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable, Mapping

    from autogrocery.kit.security.tls import Identity
    from autogrocery.lab.demand.demand import Demand, StockItem
    from autogrocery.lab.network import Stack

STATUS_FILE = "analytics.json"
STOCKING_FILE = "stocking.begun"
DEMO_ORDERS = 1_000  # `up` puts on the shelves what so many baskets need


async def play(stack: Stack, arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Open with half-full shelves, replay while trucks refill them, audit both databases and report; returns the exit code."""
    inventory, operator = stack.env["INVENTORY_GRPC_ADDR"], _operator_of(stack)

    async def count(demand: Demand) -> int:
        return sum((await levels_of(inventory, [product.sku for product in demand.products], operator)).values())

    stage = Stage(
        stack.url_public,
        stack.url_internal,
        stack.home / STATUS_FILE,
        stack.home,
        asker(stack),
        trucks=await add_trucks(stack.dsn, stack.home),
        receipts=_mailed(stack) if environ.get("SMTP_URL") else _filed(stack.home / "receipts"),
        robots_log=stack.home / "logs" / "robots.log",
        count_stock=count,
    )

    async def fill(_stage: Stage, items: list[StockItem]) -> None:
        await load_stock(inventory, stack.env["PRICING_GRPC_ADDR"], items, operator)

    return await demo(
        lambda: nullcontext(stage),
        fill,
        orders=arguments.orders,
        rate=arguments.rate,
        seed=arguments.seed,
        json_path=Path(arguments.json) if arguments.json else None,
    )


def run_replay(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Replay baskets against a gateway that runs somewhere; its shelves must hold them (`stock load --demo`)."""

    async def work() -> int:
        home = home_directory(environ)
        home.mkdir(parents=True, exist_ok=True)
        demand = await asyncio.to_thread(load_demand, arguments.orders, arguments.seed, home)
        internal: str | None = arguments.internal_url
        ask = ask_gateway(internal, operator_identity(environ, {"--internal-url": internal})) if internal else None
        stage = Stage(arguments.url.rstrip("/"), internal, None, home, ask)
        figures = await perform(stage, demand, rate=arguments.rate, seed=arguments.seed)
        return finish(figures, Path(arguments.json) if arguments.json else None)

    return until_signalled("replay", work())


def run_stock_load(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Load a stock file, or what the demo's baskets need."""
    if bool(arguments.file) == arguments.demo:
        raise SystemExit("name a CSV file, or --demo")

    async def work() -> int:
        addresses = (read_run(home_directory(environ)) or {}).get("addresses", {})
        inventory, pricing = (
            environ.get(f"{peer}_GRPC_TARGET")
            or environ.get(f"{peer}_GRPC_ADDR")
            or addresses.get(f"{peer}_GRPC_ADDR")
            or f"127.0.0.1:{port}"
            for peer, port in (("INVENTORY", 50051), ("PRICING", 50052))
        )
        if arguments.demo:
            items = stock_for(await asyncio.to_thread(load_demand, DEMO_ORDERS, 1, None))
        else:
            items = read_stock(Path(arguments.file))
        links = {"INVENTORY_GRPC_TARGET": inventory, "PRICING_GRPC_TARGET": pricing}
        await load_stock(inventory, pricing, items, operator_identity(environ, links))
        print(f"{len(items)} products, {sum(item.quantity for item in items)} units loaded")
        return 0

    return until_signalled("stock load", work())


def asker(stack: Stack) -> Callable[[], Awaitable[Audit | None]]:
    """Return what audits both databases; None is the answer while one of them is being restarted."""

    async def ask() -> Audit | None:
        try:
            found = await audit_all(stack.env["DATABASE_URL"], stack.env["INVENTORY_DATABASE_URL"])
        except Unavailable:
            return None
        listed = [Invariant(f"{part}: {one.name}", one.violations, list(one.examples)) for part, one in found]
        return Audit(not any(one.violations for one in listed), listed)

    return ask


def _filed(folder: Path) -> Callable[[], Awaitable[set[str]]]:
    """Return what finds the orders whose receipt lies in a folder."""

    async def find() -> set[str]:
        return await asyncio.to_thread(lambda: {path.stem for path in folder.glob("*.eml")})

    return find


def _mailed(stack: Stack) -> Callable[[], Awaitable[set[str]]]:
    """Return what finds the orders whose receipt a mail server has taken."""

    async def find() -> set[str]:
        try:
            async with open_db(stack.dsn, application="replaying", max_size=1) as db:
                return {str(order_id) for order_id in await receipts.list_done(db)}
        except Unavailable:
            return set()

    return find


async def fill_if_empty(stack: Stack) -> None:
    """Put the demo's goods on the shelves of a network that has none, or go on where an earlier start was ended."""
    inventory, pricing = stack.env["INVENTORY_GRPC_ADDR"], stack.env["PRICING_GRPC_ADDR"]
    operator = _operator_of(stack)
    begun = stack.home / STOCKING_FILE
    if begun.exists() or await is_empty(pricing, operator):
        begun.touch()
        items = stock_for(await asyncio.to_thread(load_demand, DEMO_ORDERS, 1, stack.home))
        there = await levels_of(inventory, [item.sku for item in items], operator)
        await load_stock(inventory, pricing, [item for item in items if item.sku not in there], operator)
        begun.unlink()


def _operator_of(stack: Stack) -> Identity | None:
    return operator_identity(pki.environment_of("operator", stack.pki)) if stack.pki is not None else None
