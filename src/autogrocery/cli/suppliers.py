"""The suppliers' trucks of a demo network: one for each aisle, added in the way of `autogrocery truck add`."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import msgspec

from autogrocery.cli.demo_accounts import COST, HASH_TIMEOUT_S
from autogrocery.gateway.actions.register import register
from autogrocery.gateway.core.account import Kind
from autogrocery.gateway.store import devices
from autogrocery.kit.pg.db import open_db
from autogrocery.kit.security.passwords import open_password_hasher
from autogrocery.lab.demand.supply import SUPPLIERS
from autogrocery.lab.network.home import write_private
from autogrocery.lab.replay.trucks import TruckLogin

if TYPE_CHECKING:
    from pathlib import Path

TRUCKS_FILE: Final = "trucks.json"


async def add_trucks(dsn: str, home: Path) -> tuple[TruckLogin, ...]:
    """Return a truck of each supplier: created once, kept in the home, and registered if the registry lacks it."""
    file = home / TRUCKS_FILE
    if file.exists():
        trucks = msgspec.json.decode(file.read_bytes(), type=tuple[TruckLogin, ...])
    else:
        trucks = tuple(
            TruckLogin(f"truck-{supplier.supplier_id}-{secrets.token_hex(2)}", secrets.token_urlsafe(24), aisle)
            for aisle, supplier in SUPPLIERS.items()
        )
        write_private(file, msgspec.json.encode(trucks))
    async with (
        open_db(dsn, application="suppliers") as db,
        open_password_hasher(COST, timeout_s=HASH_TIMEOUT_S) as passwords,
    ):
        known = {one.device_id for one in await devices.list_of_kind(db, Kind.TRUCK, 1_000)}
        for truck in trucks:
            if truck.device_id not in known:
                supplier = SUPPLIERS[truck.aisle_type]
                await register(
                    db,
                    passwords,
                    truck.device_id,
                    truck.password,
                    kind=Kind.TRUCK,
                    supplier_id=supplier.supplier_id,
                    supplier_name=supplier.name,
                )
    return trucks
