"""The accounts of a demo network are created at its first start and reused at later ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from autogrocery.cli.demo_accounts import DEMO_FILE, provision
from autogrocery.cli.suppliers import add_trucks
from autogrocery.gateway.core.account import Kind
from autogrocery.gateway.store import devices
from autogrocery.lab.demand.supply import SUPPLIERS

if TYPE_CHECKING:
    from pathlib import Path

    from autogrocery.kit.pg.db import Db


async def test_second_start_reuses_trucks(gateway_db: Db, gateway_dsn: str, tmp_path: Path) -> None:
    first = await add_trucks(gateway_dsn, tmp_path)
    assert {truck.aisle_type for truck in first} == SUPPLIERS.keys()
    assert await add_trucks(gateway_dsn, tmp_path) == first
    registered = {one.device_id for one in await devices.list_of_kind(gateway_db, Kind.TRUCK, 100)}
    assert registered == {truck.device_id for truck in first}


async def test_second_start_reuses_robots_and_demo_device(gateway_db: Db, gateway_dsn: str, tmp_path: Path) -> None:
    first = await provision(gateway_dsn, tmp_path)
    login = json.loads((tmp_path / DEMO_FILE).read_bytes())
    assert await provision(gateway_dsn, tmp_path) == first
    assert json.loads((tmp_path / DEMO_FILE).read_bytes()) == login
    robots = await devices.list_of_kind(gateway_db, Kind.ROBOT, 100)
    assert len(robots) == len({one.device_id for one in robots}) == 15


async def test_trucks_are_registered_again_after_database_loss(
    gateway_db: Db, gateway_dsn: str, tmp_path: Path
) -> None:
    first = await add_trucks(gateway_dsn, tmp_path)
    await gateway_db.run("-- tests.forget\nDELETE FROM smart_devices")
    assert await add_trucks(gateway_dsn, tmp_path) == first
    assert len(await devices.list_of_kind(gateway_db, Kind.TRUCK, 100)) == len(first)
