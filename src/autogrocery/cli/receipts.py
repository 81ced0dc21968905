"""Commands on receipts: list, and replay of dead ones."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from uuid import UUID

from rich.table import Table

from autogrocery.cli.console import show
from autogrocery.cli.database import dsn_of, run_with_database
from autogrocery.cli.network_audit import STATEMENT_TIMEOUT_MS
from autogrocery.gateway.store import receipts
from autogrocery.kit.pg.db import open_db

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping


def run_receipt_list(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """List receipts, newest first, by order and device; e-mail addresses are not shown."""

    async def work() -> int:
        async with open_db(dsn_of(environ), application="receipts", statement_timeout_ms=STATEMENT_TIMEOUT_MS) as db:
            found = await receipts.list_receipts(db, dead_only=arguments.dead, limit=arguments.limit)
        table = Table("order_id", "device_id", "state", "attempts", "at", "why")
        for one in found:
            table.add_row(
                str(one.order_id),
                one.device_id,
                one.state,
                str(one.attempts),
                f"{one.at:%Y-%m-%d %H:%M:%S}",
                one.reason or "",
            )
        show(found, table, as_json=arguments.json)
        return 0

    return run_with_database(work)


def run_receipt_replay(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Make dead receipts due again; a running gateway sends them, with the same Message-ID."""
    if (arguments.order_id is None) != arguments.all_dead:
        raise SystemExit("give one order_id or --all-dead")
    try:
        only = None if arguments.all_dead else [UUID(arguments.order_id)]
    except ValueError:
        raise SystemExit(f"{arguments.order_id} is not an order id") from None

    async def work() -> int:
        async with open_db(dsn_of(environ), application="receipts", statement_timeout_ms=STATEMENT_TIMEOUT_MS) as db:
            count = await receipts.replay(db, only)
        if only and not count:
            print(f"no dead receipt of order {only[0]}", file=sys.stderr)
            return 1
        print(f"{count} receipts are due again")
        return 0

    return run_with_database(work)
