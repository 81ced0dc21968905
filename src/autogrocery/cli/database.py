"""Commands on the databases: migrate, audit, order show."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
from rich.table import Table

from autogrocery.cli.console import console
from autogrocery.cli.migrations import PARTS, migrate_all
from autogrocery.cli.network_audit import STATEMENT_TIMEOUT_MS, audit_all
from autogrocery.contracts.money import format_amount
from autogrocery.gateway.store import orders, receipts
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.pg.db import open_db
from autogrocery.kit.pg.diagnosis import explain
from autogrocery.kit.pg.migrate import MigrationError, status
from autogrocery.kit.process import log
from autogrocery.lab.network import home_directory, running_dsn

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Coroutine, Mapping


def dsn_of(environ: Mapping[str, str], name: str = "DATABASE_URL") -> str:
    """Return the DSN of a part's database: its own variable, else the common one, else that of the running `up`.

    The common one is DATABASE_DIRECT_URL if it is set, as commands do not go through a pooler, else DATABASE_URL.

    Raises SystemExit with a line that says what to set.
    """
    common = environ.get("DATABASE_DIRECT_URL") or environ.get("DATABASE_URL")
    own = environ.get(name) if name != "DATABASE_URL" else ""
    found = own or common or running_dsn(home_directory(environ))
    if not found:
        raise SystemExit(
            f"{name} is not set, and no `autogrocery up` is running: set the variable or start the network"
        )
    return found


def run_with_database(work: Callable[[], Coroutine[None, None, int]]) -> int:
    """Run a command's coroutine and return its exit code; a database error is printed as one line, with exit code 2."""
    log.configure("command", logging.WARNING)  # a person reads this output
    try:
        return asyncio.run(work())
    except MigrationError as error:
        reason = str(error)
    except Unavailable as error:
        reason = error.detail
    except asyncpg.PostgresError as error:
        reason = explain(error)
    print(f"the database: {reason}", file=sys.stderr)
    return 2


def run_migrate(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Apply, list or check migrations."""
    dsn = dsn_of(environ)

    async def work() -> int:
        if arguments.action is None:
            for name in await migrate_all(dsn, environ, arguments.only):
                print(name)
            return 0
        missing = 0
        for part, (variable, schema) in PARTS.items():
            if arguments.only in (None, part):
                target = environ.get(variable) or dsn
                for one in await status(target, f"autogrocery.{part}.store.migrations", schema):
                    missing += not one.applied
                    print(f"{part}: {one.name} {'applied' if one.applied else 'missing'}")
        return 1 if arguments.action == "check" and missing else 0

    return run_with_database(work)


def run_audit(_arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Check every invariant of the gateway, of inventory if its tables exist, and of both together."""

    async def work() -> int:
        found = await audit_all(dsn_of(environ), dsn_of(environ, "INVENTORY_DATABASE_URL"))
        table = Table("part", "invariant", "violations", "what must hold")
        for part, one in found:
            table.add_row(part, one.name, str(one.violations) if one.violations else "none", one.sentence)
        console().print(table)
        broken = [(part, one) for part, one in found if one.violations]
        for part, one in broken:
            print(f"{part} {one.name}: {'; '.join(one.examples)}")
        async with open_db(dsn_of(environ), application="audit", statement_timeout_ms=STATEMENT_TIMEOUT_MS) as db:
            dead = await receipts.count_dead(db)
        print("given up: " + ", ".join(f"{count} {what}" for what, count in dead.items()))
        return 1 if broken else 0

    return run_with_database(work)


def run_order_show(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print an order and its history."""
    try:
        order_id = UUID(arguments.order_id)
    except ValueError:
        raise SystemExit("order_id must be a UUID") from None

    async def work() -> int:
        async with open_db(dsn_of(environ), application="order-show") as db:
            order = await orders.get(db, order_id)
            if order is None:
                print(f"no order {order_id}", file=sys.stderr)
                return 1
            events = await orders.list_events(db, order_id)
        screen = console()
        screen.print(
            f"order {order.order_id}  {order.status}  {format_amount(order.total_cents, order.currency)}"
            f"  (quoted {format_amount(order.quoted_total_cents, order.currency)})"
        )
        timeline = Table("version", "from", "to", "cause", "at")
        for event in events:
            timeline.add_row(
                str(event.version), event.from_status or "", event.to_status, event.cause, event.at.isoformat()
            )
        lines = Table("sku", "name", "quantity", "picked", "unit", "total")
        for line in order.lines:
            lines.add_row(
                line.sku,
                line.name,
                str(line.quantity),
                "" if line.picked is None else str(line.picked),
                format_amount(line.unit_price_cents, order.currency),
                format_amount(line.total_cents, order.currency),
            )
        screen.print(timeline, lines)
        return 0

    return run_with_database(work)
