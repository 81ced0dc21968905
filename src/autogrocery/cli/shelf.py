"""Commands on what stands on the shelves: lots, recall, ledger."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich.table import Table

from autogrocery.cli.console import console
from autogrocery.cli.database import dsn_of, told
from autogrocery.gateway.store.standings import list_owners
from autogrocery.inventory.actions.recall_lot import recall_lot
from autogrocery.inventory.core.lots import shown, typed
from autogrocery.inventory.store import ledger, lots
from autogrocery.kit.errors import NotFound
from autogrocery.kit.pg.db import open_db

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from datetime import datetime

    from autogrocery.gateway.store.standings import Owner
    from autogrocery.inventory.store.lots import Lot
    from autogrocery.inventory.store.recalls import Recipient

INVENTORY: Final = "INVENTORY_DATABASE_URL"
STATEMENT_TIMEOUT_MS: Final = 60_000  # a recall reads all lines there are


def run_lots(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """List the lots on the shelves, those that expire first first."""
    within = None if arguments.expiring_within is None else timedelta(days=arguments.expiring_within)

    async def work() -> int:
        async with open_db(dsn_of(environ, INVENTORY), application="lots") as db:
            found = await lots.list_on_shelf(db, sku=arguments.sku, expiring_within=within, limit=arguments.limit)
        table = Table("lot", "sku", "name", "expires", "state", "received", "on shelf")
        for one in found:
            table.add_row(
                shown(one.lot), one.sku, one.name, _at(one.expiry_at), _state(one), str(one.received), str(one.on_shelf)
            )
        _show(table)
        return 0

    return told(work)


def run_ledger(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """List what came in, and what was found missing, expired or was recalled, newest first."""

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
                shown(one.lot or ""),
                str(one.order_id or ""),
                one.robot_id or "",
            )
        _show(table)
        return 0

    return told(work)


def run_recall(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Recall a lot and print who got of it; exit 1 for an unknown lot, and nothing is changed."""
    lot = typed(arguments.lot)
    if lot is None:
        raise SystemExit("a lot is called by twelve digits and letters A to F, as `autogrocery lots` prints them")

    async def work() -> int:
        timeout_ms = STATEMENT_TIMEOUT_MS
        async with (
            open_db(dsn_of(environ, INVENTORY), application="recall", statement_timeout_ms=timeout_ms) as theirs,
            open_db(dsn_of(environ), application="recall", statement_timeout_ms=timeout_ms) as ours,
        ):
            try:
                recalled, got = await recall_lot(theirs, lot)
            except NotFound as error:
                print(f"{shown(lot)}: {error.detail}", file=sys.stderr)
                return 1
            owners = await list_owners(ours, [one.order_id for one in got])
        report = _report(recalled, [(one, owners.get(one.order_id)) for one in got])
        if arguments.json:
            print(msgspec.json.encode(report).decode())
        else:
            _print(report)
        return 0

    return told(work)


def _report(lot: Lot, got: list[tuple[Recipient, Owner | None]]) -> dict[str, Any]:
    return {
        "lot": shown(lot.lot),
        "sku": lot.sku,
        "name": lot.name,
        "expiry_at": lot.expiry_at,
        "recalled_at": lot.recalled_at,
        "received": lot.received,
        "promised_on_shelf": lot.on_shelf,
        "units": sum(one.quantity or 0 for one, _ in got),
        "order_count": len(got),
        "device_count": len({owner.device_id for _, owner in got if owner}),
        "orders": [
            {
                "order_id": one.order_id,
                "quantity": one.quantity,
                "certain": one.quantity is not None,
                "device_id": owner and owner.device_id,
                "status": owner and owner.status,
            }
            for one, owner in got
        ],
    }


def _print(report: dict[str, Any]) -> None:
    screen = console()
    screen.print(f"lot {report['lot']}  {report['sku']}  {report['name']}  recalled {_at(report['recalled_at'])}")
    screen.print(
        f"{report['units']} of {report['received']} units went to customers; of the rest, "
        f"{report['promised_on_shelf']} still wait on the shelf for orders that will not get them"
    )
    table = Table("order", "device", "status", "units")
    for one in report["orders"]:
        units = "perhaps: look at hand-over" if one["quantity"] is None else str(one["quantity"])
        table.add_row(str(one["order_id"]), one["device_id"] or "unknown", one["status"] or "unknown", units)
    _show(table)
    screen.print(f"{report['order_count']} orders of {report['device_count']} devices")


def _show(table: Table) -> None:
    """Print a table of which no code or id is cut short: they are to be copied."""
    for column in table.columns:
        column.overflow = "fold"
    console().print(table)


def _at(at: datetime | None) -> str:
    return "" if at is None else at.isoformat(timespec="seconds")


def _state(lot: Lot) -> str:
    return "recalled" if lot.recalled_at else "expired" if lot.expired else "on sale"
