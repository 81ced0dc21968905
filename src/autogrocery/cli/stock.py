"""Commands on stock: lots, recall, ledger."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich.table import Table

from autogrocery.cli.console import console, show
from autogrocery.cli.database import dsn_of, run_with_database
from autogrocery.gateway.store.summaries import list_owners
from autogrocery.inventory.actions.recall_lot import recall_lot
from autogrocery.inventory.core.lots import format_lot, parse_lot
from autogrocery.inventory.store import ledger, lots
from autogrocery.kit.errors import NotFound
from autogrocery.kit.pg.db import open_db

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from datetime import datetime

    from autogrocery.gateway.store.summaries import OrderOwner
    from autogrocery.inventory.store.lots import Lot
    from autogrocery.inventory.store.recalls import Recipient

INVENTORY: Final = "INVENTORY_DATABASE_URL"
STATEMENT_TIMEOUT_MS: Final = 60_000  # a recall reads the lines of every order


def run_lots(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """List the lots on the shelves by expiry, earliest first."""
    within = None if arguments.expiring_within is None else timedelta(days=arguments.expiring_within)

    async def work() -> int:
        async with open_db(dsn_of(environ, INVENTORY), application="lots") as db:
            found = await lots.list_on_shelf(db, sku=arguments.sku, expiring_within=within, limit=arguments.limit)
        table = Table("lot", "sku", "name", "expires", "state", "received", "on shelf")
        for one in found:
            table.add_row(
                format_lot(one.lot),
                one.sku,
                one.name,
                _at(one.expiry_at),
                _state(one),
                str(one.received),
                str(one.on_shelf),
            )
        show(found, table, as_json=arguments.json)
        return 0

    return run_with_database(work)


def run_ledger(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """List receipts of goods and losses (missing, expired, recalled), newest first."""

    async def work() -> int:
        async with open_db(dsn_of(environ, INVENTORY), application="ledger") as db:
            found = await ledger.list_entries(db, sku=arguments.sku, cause=arguments.cause, limit=arguments.limit)
        table = Table("at", "sku", "cause", "units", "lot", "order", "robot")
        for one in found:
            table.add_row(
                _at(one.at),
                one.sku,
                one.cause,
                f"{one.delta:+d}",
                format_lot(one.lot or ""),
                str(one.order_id or ""),
                one.robot_id or "",
            )
        show(found, table, as_json=arguments.json)
        return 0

    return run_with_database(work)


def run_recall(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Recall a lot and print which orders got units of it; for an unknown lot exit 1 and change nothing."""
    lot = parse_lot(arguments.lot)
    if lot is None:
        raise SystemExit("a lot is twelve digits or letters A to F, as `autogrocery lots` prints it")

    async def work() -> int:
        timeout_ms = STATEMENT_TIMEOUT_MS
        async with (
            open_db(dsn_of(environ, INVENTORY), application="recall", statement_timeout_ms=timeout_ms) as inventory,
            open_db(dsn_of(environ), application="recall", statement_timeout_ms=timeout_ms) as gateway,
        ):
            try:
                recalled = await recall_lot(inventory, lot)
            except NotFound as error:
                print(f"{format_lot(lot)}: {error.detail}", file=sys.stderr)
                return 1
            owners = await list_owners(gateway, [one.order_id for one in recalled.recipients])
        report = _report(recalled.lot, [(one, owners.get(one.order_id)) for one in recalled.recipients])
        if arguments.json:
            print(msgspec.json.encode(report).decode())
        else:
            _print_report(report)
        return 0

    return run_with_database(work)


def _report(lot: Lot, recipients: list[tuple[Recipient, OrderOwner | None]]) -> dict[str, Any]:
    return {
        "lot": format_lot(lot.lot),
        "sku": lot.sku,
        "name": lot.name,
        "expiry_at": lot.expiry_at,
        "recalled_at": lot.recalled_at,
        "received": lot.received,
        "promised_on_shelf": lot.on_shelf,
        "units": sum(one.quantity or 0 for one, _ in recipients),
        "order_count": len(recipients),
        "device_count": len({owner.device_id for _, owner in recipients if owner}),
        "orders": [
            {
                "order_id": one.order_id,
                "quantity": one.quantity,
                "certain": one.quantity is not None,
                "device_id": owner and owner.device_id,
                "status": owner and owner.status,
            }
            for one, owner in recipients
        ],
    }


def _print_report(report: dict[str, Any]) -> None:
    screen = console()
    screen.print(f"lot {report['lot']}  {report['sku']}  {report['name']}  recalled {_at(report['recalled_at'])}")
    screen.print(
        f"{report['units']} of {report['received']} units went to customers; of the rest, "
        f"{report['promised_on_shelf']} are on the shelf, allocated to orders that will not get them"
    )
    table = Table("order", "device", "status", "units")
    for one in report["orders"]:
        units = "unknown: check at hand-over" if one["quantity"] is None else str(one["quantity"])
        table.add_row(str(one["order_id"]), one["device_id"] or "unknown", one["status"] or "unknown", units)
    show(report, table, as_json=False)
    screen.print(f"{report['order_count']} orders of {report['device_count']} devices")


def _at(at: datetime | None) -> str:
    return "" if at is None else at.isoformat(timespec="seconds")


def _state(lot: Lot) -> str:
    return "recalled" if lot.recalled_at else "expired" if lot.expired else "on sale"
