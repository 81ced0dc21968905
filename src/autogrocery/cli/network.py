"""Commands that run a whole network: up and demo."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from rich.table import Table

from autogrocery.cli.console import console
from autogrocery.cli.demo_accounts import demo_login, operator_login, provision
from autogrocery.cli.migrations import migrate_all
from autogrocery.cli.signals import run_until_signal
from autogrocery.kit.bus import endpoints
from autogrocery.kit.process.listening import reachable
from autogrocery.kit.process.run import run
from autogrocery.lab.network import options_from, running_stack, up
from autogrocery.lab.network.options import web_address

if TYPE_CHECKING:
    import argparse
    import asyncio
    from collections.abc import Mapping

    from autogrocery.lab.network import Stack

DEMO_ENVIRON = {"PREVIEW_TTL_S": "10", "BCRYPT_COST": "10", "ROBOTS_SPEED": "600", "PICK_LEASE_S": "6"}


def run_up(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Run the whole network until SIGINT or SIGTERM."""

    async def main(_environ: Mapping[str, str], stop: asyncio.Event) -> None:
        options = options_from(environ, ports=arguments.ports, tls=arguments.tls)
        await up(
            options, stop, _announce, migrate_all=_migrate(environ), provision=provision, on_started=_stock_if_empty
        )

    return run("up", main, environ, level=logging.WARNING)


def run_demo(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Run the network, replay baskets, audit and report; Ctrl-C stops every process in order."""
    chosen = {**DEMO_ENVIRON, **environ}

    async def work() -> int:
        options = options_from(chosen, ports="auto", tls=arguments.tls)
        if arguments.kill:
            options = replace(options, max_crashes=None)
        async with running_stack(options, migrate_all=_migrate(chosen), provision=provision) as stack:
            pids = ", ".join(f"{name} {pid}" for name, pid in stack.pids.items())
            print(f"network on {stack.url_public}; logs in {stack.home / 'logs'}; {pids}", flush=True)
            if (console_at := _console_login(stack)) is not None:
                print(f"console on {console_at}", flush=True)
            return int(await _replay().run_demo_replay(stack, arguments, chosen))

    return run_until_signal("demo", work())


async def _stock_if_empty(stack: Stack) -> None:
    await _replay().stock_if_empty(stack)


def _replay() -> Any:
    """Import the replay once the network has started: it starts a third of a second earlier that way."""
    return import_module("autogrocery.cli.replay")


def _migrate(environ: Mapping[str, str]) -> Any:
    async def apply(dsn: str) -> object:
        return await migrate_all(dsn, environ)

    return apply


def _console_login(stack: Stack) -> str | None:
    """Return where the console is and how to log in; None without one."""
    if "console" not in stack.pids:
        return None
    login = operator_login(stack.home)
    where = web_address(stack.env["CONSOLE_HTTP_ADDR"])
    return f"{where}  operator {login.device_id}  password {login.password}"


def _announce(stack: Stack) -> None:
    """Print the address of everything, and the demo device's login."""
    table = Table("what", "where", title="Autonomous Grocery Network")
    table.add_row("REST", stack.url_public)
    table.add_row("REST, internal", stack.url_internal)
    for name, value in stack.env.items():
        if name.endswith("_ADDR") and not name.startswith(("ORDERING", "CONSOLE")):
            table.add_row(name, ", ".join(reachable(address) for _, address in endpoints(value)))
    login = demo_login(stack.home)
    table.add_row("a demo device", f"device_id {login.device_id}  password {login.password}")
    if (console_at := _console_login(stack)) is not None:
        table.add_row("the console", console_at)
    table.add_row("logs", str(stack.home / "logs"))
    console().print(table)
    print("Ctrl-C stops the whole network.", flush=True)
