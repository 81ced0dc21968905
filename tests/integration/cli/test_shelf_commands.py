"""Lots, recall and ledger, as a person at a terminal meets them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from autogrocery.inventory.core.lots import shown
from autogrocery.kit.pg.db import open_db
from tests.harness.inventory_dated import assign, deliver, report, reserve, robot, sell
from tests.integration.cli.test_command_line import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

ORDERED = """
WITH device AS (INSERT INTO smart_devices (device_id, password) VALUES ('fridge-7', '$2b$10$x') RETURNING id)
INSERT INTO grocery_orders (order_id, user_id) SELECT $1, id FROM device
"""


class Mart:
    """Both databases: one lot of which one known order got three and an unknown one two, and one missed a unit."""

    def __init__(self, gateway_dsn: str, inventory_dsn: str) -> None:
        self.environ = {"DATABASE_URL": gateway_dsn, "INVENTORY_DATABASE_URL": inventory_dsn}
        self.lot, self.known, self.short = asyncio.run(self._open())

    async def _open(self) -> tuple[str, UUID, UUID]:
        async with open_db(self.environ["INVENTORY_DATABASE_URL"], application="tests") as db:
            await robot(db)
            lot = shown(await deliver(db, "milk", 9, hours=30))
            known = await sell(db, 3)
            short, _ = await reserve(db, 3)
            assert await assign(db, short, 3)
            await report(db, short, 2)
        connection = await asyncpg.connect(self.environ["DATABASE_URL"])
        await connection.execute(ORDERED, known)
        await connection.close()
        return lot, known, short


@pytest.fixture
def mart(dsn_of: Callable[[str], str]) -> Mart:
    return Mart(dsn_of("public"), dsn_of("inventory"))


def test_a_recall_names_orders_and_devices_once_and_again(mart: Mart) -> None:
    first = run("recall", mart.lot, "--json", **mart.environ)
    assert first.returncode == 0, first.stderr
    told: dict[str, Any] = json.loads(first.stdout)
    assert told["orders"] == [
        {"order_id": str(mart.known), "quantity": 3, "certain": True, "device_id": "fridge-7", "status": "PREVIEWED"},
        {"order_id": str(mart.short), "quantity": 2, "certain": True, "device_id": None, "status": None},
    ]
    assert (told["sku"], told["units"], told["order_count"], told["device_count"]) == ("milk", 5, 2, 1)
    again = run("recall", mart.lot.lower(), "--json", **mart.environ)
    assert (again.returncode, json.loads(again.stdout)) == (0, told)
    table = run("recall", mart.lot, **mart.environ).stdout
    assert all(word in table for word in (mart.lot, str(mart.known), "fridge-7", "unknown", "2 orders of 1 devices"))


@pytest.mark.parametrize(("lot", "says"), [("0000-0000-0000", "there is no such lot"), ("milk", "twelve digits")])
def test_a_lot_that_is_unknown_or_no_code_is_one_line(mart: Mart, lot: str, says: str) -> None:
    ended = run("recall", lot, **mart.environ)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert says in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_lots_and_ledger_show_what_is_there_and_what_was_missing(mart: Mart) -> None:
    listed = run("lots", "--expiring-within", "2", **mart.environ)
    assert (listed.returncode, mart.lot in listed.stdout) == (0, True), listed.stderr
    assert mart.lot not in run("lots", "--expiring-within", "1", **mart.environ).stdout
    assert mart.lot not in run("lots", "--sku", "rice", **mart.environ).stdout
    missing = run("ledger", "--cause", "shrink", **mart.environ)
    assert (missing.returncode, "-1" in missing.stdout, str(mart.short) in missing.stdout) == (0, True, True)
    assert "restock" not in missing.stdout
