"""What `up` gives a fresh network: accounts for its robots and one demo device, made once and kept in the home."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from autogrocery.gateway.actions.register import register
from autogrocery.gateway.core.account import ROBOT_CLASSES, Kind
from autogrocery.gateway.store import devices
from autogrocery.kit.pg.db import open_db
from autogrocery.kit.security.passwords import open_passwords
from autogrocery.lab.network.home import write_private

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.security.passwords import Passwords

ROBOTS_PER_CLASS: Final = 3
ROBOTS_FILE: Final = "robots.json"
DEMO_FILE: Final = "demo_device.json"
DEMO_DEVICE: Final = "demo-fridge"
PATIENCE_S: Final = 60.0  # nobody waits at a door here
COST: Final = 10  # these passwords are 24 random bytes: no guessing reaches them at any cost


class Credentials(Struct, frozen=True):
    """One robot's, as the robots role reads them."""

    robot_id: str
    robot_class: str
    password: str


async def provision(dsn: str, home: Path) -> Mapping[str, Mapping[str, str]]:
    """Make the accounts that are missing; returns what robots and analytics are told by environment."""
    file = home / ROBOTS_FILE
    if file.exists():
        robots = msgspec.json.decode(file.read_bytes(), type=list[Credentials])
    else:
        robots = [
            Credentials(f"robot-{name}-{number}-{secrets.token_hex(2)}", name, secrets.token_urlsafe(24))
            for name in ROBOT_CLASSES
            for number in range(1, ROBOTS_PER_CLASS + 1)
        ]
        write_private(file, msgspec.json.encode(robots))
    if not (home / DEMO_FILE).exists():
        login = (f"{DEMO_DEVICE}-{secrets.token_hex(2)}", secrets.token_urlsafe(18))
        write_private(home / DEMO_FILE, msgspec.json.encode(login))
    async with open_db(dsn, application="up") as db, open_passwords(COST, patience_s=PATIENCE_S) as passwords:
        known = {one.device_id for one in await devices.list_of_kind(db, Kind.ROBOT, 1_000)}
        for robot in robots:
            if robot.robot_id not in known:
                await register(
                    db, passwords, robot.robot_id, robot.password, kind=Kind.ROBOT, robot_class=robot.robot_class
                )
        await _add_demo_device(db, passwords, home)
    return {
        "robots": {"ROBOTS_CREDENTIALS_FILE": str(file)},
        "analytics": {"ANALYTICS_STATUS_FILE": str(home / "analytics.json")},
    }


async def _add_demo_device(db: Db, passwords: Passwords, home: Path) -> None:
    device_id, password = demo_login(home)
    if await devices.get(db, device_id) is None:
        await register(db, passwords, device_id, password)


def demo_login(home: Path) -> tuple[str, str]:
    """Return the demo device's id and password."""
    return msgspec.json.decode((home / DEMO_FILE).read_bytes(), type=tuple[str, str])
