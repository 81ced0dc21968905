"""Commands that replay baskets: replay, stock load, and the demo once its network has started."""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import aiohttp

from autogrocery.cli.fact_audit import make_fact_auditor
from autogrocery.cli.keys import operator_identity
from autogrocery.cli.network_audit import audit_all
from autogrocery.cli.signals import run_until_signal
from autogrocery.cli.suppliers import add_trucks
from autogrocery.gateway.store import receipts
from autogrocery.kit.errors import InDoubt, Unavailable
from autogrocery.kit.pg.db import open_db
from autogrocery.kit.process.run import StartError
from autogrocery.kit.process.settings import web_url
from autogrocery.lab.demand.demand import load_demand, stock_for
from autogrocery.lab.demand.stock_file import read_stock, refuse_lines
from autogrocery.lab.network import home_directory, pki, read_run
from autogrocery.lab.replay.demo import ReplayTarget, demo, finish, replay_and_check
from autogrocery.lab.replay.idle import Audit, Invariant
from autogrocery.lab.replay.idle import gateway_auditor as make_gateway_auditor
from autogrocery.lab.replay.kills import Kills
from autogrocery.lab.replay.stocking import (
    LoadResult,
    content_load_id,
    find_misplaced,
    load_stock,
    price_list_is_empty,
    stock_levels,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable, Mapping

    from autogrocery.kit.security.tls import Identity
    from autogrocery.lab.demand.demand import Demand, StockItem
    from autogrocery.lab.network import Stack

STATUS_FILE = "analytics.json"
STOCKING_FILE = "stocking.begun"
LOAD_ID: Final = re.compile(r"[\x21-\x7e]{1,100}")
FIRST_ANSWER_S: Final = 5.0
DEMO_ORDERS = 1_000  # `up` stocks what so many baskets need


async def run_demo_replay(stack: Stack, arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Stock half of the demand, replay while trucks bring more, audit both databases, report; return the exit code."""
    inventory, operator = stack.env["INVENTORY_GRPC_ADDR"], _operator_identity(stack)

    async def count(demand: Demand) -> int:
        return sum((await stock_levels(inventory, [product.sku for product in demand.products], operator)).values())

    target = ReplayTarget(
        stack.url_public,
        stack.url_internal,
        stack.home / STATUS_FILE,
        stack.home,
        make_auditor(stack),
        trucks=await add_trucks(stack.dsn, stack.home),
        receipts=_find_sent(stack) if environ.get("SMTP_URL") else _find_in_folder(stack.home / "receipts"),
        robots_log=stack.home / "logs" / "robots.log",
        count_stock=count,
        check_facts=make_fact_auditor(stack, operator),
        kills=_kills(stack, arguments.kill),
    )

    async def fill(_target: ReplayTarget, items: list[StockItem]) -> None:
        await load_stock(inventory, stack.env["PRICING_GRPC_ADDR"], items, operator)

    return await demo(
        lambda: nullcontext(target),
        fill,
        orders=arguments.orders,
        rate=arguments.rate,
        seed=arguments.seed,
        json_path=Path(arguments.json) if arguments.json else None,
    )


def _kills(stack: Stack, wanted: list[tuple[str, int]]) -> Kills | None:
    """Return which processes are killed; raises StartError for a name that is none of them."""
    for name, _ in wanted:
        if name not in stack.pids:
            raise StartError(f"--kill {name}: not a process; they are {', '.join(stack.pids)}")
    return Kills(dict(wanted), lambda name: stack.pids[name], lambda name: stack.restarts[name]) if wanted else None


def run_replay(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Replay baskets against a running gateway; its stock must suffice (`stock load --demo`)."""
    url = web_url("--url", arguments.url).rstrip("/")
    if arguments.internal_url:
        web_url("--internal-url", arguments.internal_url)

    async def work() -> int:
        home = home_directory(environ)
        await _require_gateway(url)
        home.mkdir(parents=True, exist_ok=True)
        demand = await asyncio.to_thread(load_demand, arguments.orders, arguments.seed, home)
        internal: str | None = arguments.internal_url
        audit = (
            make_gateway_auditor(internal, operator_identity(environ, {"--internal-url": internal}))
            if internal
            else None
        )
        target = ReplayTarget(url, internal, None, home, audit)
        figures = await replay_and_check(target, demand, rate=arguments.rate, seed=arguments.seed)
        return finish(figures, Path(arguments.json) if arguments.json else None)

    return run_until_signal("replay", work())


async def _require_gateway(url: str) -> None:
    """Raise StartError unless something answers HTTP at `url`: devices would try for a minute, and then give up."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=FIRST_ANSWER_S)) as session,
            session.get(f"{url}/healthz", allow_redirects=False),
        ):
            return
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        place = urlsplit(url).netloc.rpartition("@")[2]
        raise StartError(
            f"no gateway answers at {place} ({type(error).__name__}): start it, or correct --url"
        ) from None


def run_stock_load(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Load the stock of a CSV file, or what the demo's baskets need; the same load again adds only what is missing."""
    if bool(arguments.file) == arguments.demo:
        raise SystemExit("give a CSV file or --demo")
    if arguments.load_id is not None and not LOAD_ID.fullmatch(arguments.load_id):
        raise SystemExit("--load-id has 1 to 100 visible ASCII characters")

    async def work() -> int:
        inventory, pricing = _peer_addresses(environ)
        links = {"INVENTORY_GRPC_TARGET": inventory, "PRICING_GRPC_TARGET": pricing}
        operator = operator_identity(environ, links)
        if arguments.demo:
            items = stock_for(await asyncio.to_thread(load_demand, DEMO_ORDERS, 1, None))
        else:
            items = await _read_checked(Path(arguments.file), pricing, operator, change_aisles=arguments.change_aisles)
        load_id = arguments.load_id or content_load_id(items)
        progress = LoadResult()
        try:
            await load_stock(inventory, pricing, items, operator, load_id=load_id, progress=progress)
        except (StartError, asyncio.CancelledError) as error:
            loaded = progress.products + progress.products_before
            if not loaded:
                raise
            told = (
                f"{loaded} of {len(items)} products are loaded; repeat the command, or correct the file and add"
                f" --load-id {load_id}: that adds those that are missing"
            )
            if isinstance(error, StartError):
                raise StartError(f"{error}; {told}") from error
            print(f"autogrocery stock load: interrupted; {told}", file=sys.stderr)
            raise
        _print_loaded(progress, load_id)
        return 0

    return run_until_signal("stock load", work())


def _peer_addresses(environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the addresses of inventory and pricing: of the environment, of a network that runs, or the default."""
    addresses = (read_run(home_directory(environ)) or {}).get("addresses", {})
    inventory, pricing = (
        environ.get(f"{peer}_GRPC_TARGET")
        or environ.get(f"{peer}_GRPC_ADDR")
        or addresses.get(f"{peer}_GRPC_ADDR")
        or f"127.0.0.1:{port}"
        for peer, port in (("INVENTORY", 50051), ("PRICING", 50052))
    )
    return inventory, pricing


async def _read_checked(path: Path, pricing: str, operator: Identity | None, *, change_aisles: bool) -> list[StockItem]:
    """Read a stock file and, unless it may change them, compare its aisles with the price list.

    Raises StockFileError, and StartError if pricing gives no clear answer.
    """
    file = await asyncio.to_thread(read_stock, path)
    try:
        misplaced = await find_misplaced(pricing, file.items, operator)
    except InDoubt as doubt:
        raise StartError(f"nothing was loaded: {doubt.peer} gives no clear answer: {doubt.detail}") from doubt
    if misplaced and not change_aisles:
        errors = [
            (file.lines[sku], f"sku {sku!r} is in the aisle {aisle}; if that is wrong, add --change-aisles")
            for sku, aisle in misplaced.items()
        ]
        raise refuse_lines(path.name, sorted(errors))
    return file.items


def _print_loaded(result: LoadResult, load_id: str) -> None:
    if result.products:
        print(f"{result.products} products, {result.units} units loaded, load id {load_id}")
    if result.products_before:
        print(
            f"{result.products_before} products of this load were loaded already; to load the same goods once more,"
            " name the delivery: --load-id NAME"
        )


def make_auditor(stack: Stack) -> Callable[[], Awaitable[Audit | None]]:
    """Return a function that audits both databases; it returns None while one of them is unavailable."""

    async def audit() -> Audit | None:
        try:
            found = await audit_all(stack.dsn, stack.env["INVENTORY_DATABASE_URL"])
        except Unavailable:
            return None
        listed = [Invariant(f"{part}: {one.name}", one.violations, list(one.examples)) for part, one in found]
        return Audit(not any(one.violations for one in listed), listed)

    return audit


def _find_in_folder(folder: Path) -> Callable[[], Awaitable[set[str]]]:
    """Return a function that finds the orders whose receipts are in a folder."""

    async def find() -> set[str]:
        return await asyncio.to_thread(lambda: {path.stem for path in folder.glob("*.eml")})

    return find


def _find_sent(stack: Stack) -> Callable[[], Awaitable[set[str]]]:
    """Return a function that finds the orders whose receipts a mail server has accepted."""

    async def find() -> set[str]:
        try:
            async with open_db(stack.dsn, application="replay", max_size=1) as db:
                return {str(order_id) for order_id in await receipts.list_done(db)}
        except Unavailable:
            return set()

    return find


async def stock_if_empty(stack: Stack) -> None:
    """Load the demo's stock into a network that has no products, or continue a load that an earlier start began."""
    inventory, pricing = stack.env["INVENTORY_GRPC_ADDR"], stack.env["PRICING_GRPC_ADDR"]
    operator = _operator_identity(stack)
    begun = stack.home / STOCKING_FILE
    if begun.exists() or await price_list_is_empty(pricing, operator):
        begun.touch()
        items = stock_for(await asyncio.to_thread(load_demand, DEMO_ORDERS, 1, stack.home))
        await load_stock(inventory, pricing, items, operator, load_id=content_load_id(items))
        begun.unlink()


def _operator_identity(stack: Stack) -> Identity | None:
    return operator_identity(pki.environment_of("operator", stack.pki)) if stack.pki is not None else None
