"""The commands lots, recall and ledger, run as processes."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from autogrocery.inventory.core.lots import format_lot
from autogrocery.kit.pg.db import open_db
from tests.harness.inventory_lots import assign, deliver, report, reserve, robot, sell
from tests.integration.cli.test_command_line import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

ORDERED = """
WITH device AS (INSERT INTO smart_devices (device_id, password) VALUES ('fridge-7', '$2b$10$x') RETURNING id)
INSERT INTO grocery_orders (order_id, user_id) SELECT $1, id FROM device
"""


class StockedDatabases:
    """Both databases with one lot: 3 units went to an order that the gateway has, 2 of 3 to one that it has not."""

    def __init__(self, gateway_dsn: str, inventory_dsn: str) -> None:
        self.environ = {"DATABASE_URL": gateway_dsn, "INVENTORY_DATABASE_URL": inventory_dsn}
        self.lot, self.known, self.short = asyncio.run(self._open())

    async def _open(self) -> tuple[str, UUID, UUID]:
        async with open_db(self.environ["INVENTORY_DATABASE_URL"], application="tests") as db:
            await robot(db)
            lot = format_lot(await deliver(db, "milk", 9, hours=30))
            known = await sell(db, 3)
            short, _ = await reserve(db, 3)
            assert await assign(db, short, 3)
            await report(db, short, 2)
        connection = await asyncpg.connect(self.environ["DATABASE_URL"])
        await connection.execute(ORDERED, known)
        await connection.close()
        return lot, known, short


@pytest.fixture
def databases(dsn_of: Callable[[str], str]) -> StockedDatabases:
    return StockedDatabases(dsn_of("public"), dsn_of("inventory"))


def test_recall_prints_same_orders_and_devices_each_time(databases: StockedDatabases) -> None:
    first = run("recall", databases.lot, "--json", **databases.environ)
    assert first.returncode == 0, first.stderr
    recalled: dict[str, Any] = json.loads(first.stdout)
    assert recalled["orders"] == [
        {
            "order_id": str(databases.known),
            "quantity": 3,
            "certain": True,
            "device_id": "fridge-7",
            "status": "PREVIEWED",
        },
        {"order_id": str(databases.short), "quantity": 2, "certain": True, "device_id": None, "status": None},
    ]
    assert (recalled["sku"], recalled["units"], recalled["order_count"], recalled["device_count"]) == ("milk", 5, 2, 1)
    again = run("recall", databases.lot.lower(), "--json", **databases.environ)
    assert (again.returncode, json.loads(again.stdout)) == (0, recalled)
    table = run("recall", databases.lot, **databases.environ).stdout
    assert all(
        word in table for word in (databases.lot, str(databases.known), "fridge-7", "unknown", "2 orders of 1 devices")
    )


@pytest.mark.parametrize(("lot", "message"), [("0000-0000-0000", "there is no such lot"), ("milk", "twelve digits")])
def test_recall_of_unknown_or_malformed_lot_prints_one_line(
    databases: StockedDatabases, lot: str, message: str
) -> None:
    ended = run("recall", lot, **databases.environ)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_lots_and_ledger_filter_by_expiry_sku_and_cause(databases: StockedDatabases) -> None:
    listed = run("lots", "--expiring-within", "2", **databases.environ)
    assert (listed.returncode, databases.lot in listed.stdout) == (0, True), listed.stderr
    assert databases.lot not in run("lots", "--expiring-within", "1", **databases.environ).stdout
    assert databases.lot not in run("lots", "--sku", "rice", **databases.environ).stdout
    missing = run("ledger", "--cause", "shrink", **databases.environ)
    assert (missing.returncode, "-1" in missing.stdout, str(databases.short) in missing.stdout) == (0, True, True)
    assert "restock" not in missing.stdout
