"""The accounts that `up` adds to a new network: its robots, one demo device and one operator, kept in the home."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from msgspec import Struct

from autogrocery.gateway.actions.register import register
from autogrocery.gateway.core.account import ROBOT_CLASSES, Kind
from autogrocery.gateway.store import devices
from autogrocery.kit.pg.db import open_db
from autogrocery.kit.process.run import StartError
from autogrocery.kit.security.passwords import open_password_hasher
from autogrocery.lab.network.home import write_private

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.security.passwords import PasswordHasher

T = TypeVar("T")
ROBOTS_PER_CLASS: Final = 3
ROBOTS_FILE: Final = "robots.json"
DEMO_FILE: Final = "demo_device.json"
DEMO_DEVICE: Final = "demo-fridge"
OPERATOR_FILE: Final = "demo_operator.json"
DEMO_OPERATOR: Final = "demo-operator"
HASH_TIMEOUT_S: Final = 60.0  # no request waits for these hashes
COST: Final = 10  # these passwords are 24 random bytes: they can't be guessed at any cost


class Credentials(Struct, frozen=True):
    """A robot's login, in the format that the robots role reads."""

    robot_id: str
    robot_class: str
    password: str


class DemoLogin(Struct, frozen=True, array_like=True):
    """The login of the demo device or of the demo operator; a JSON array in its file."""

    device_id: str
    password: str


async def provision(dsn: str, home: Path) -> Mapping[str, Mapping[str, str]]:
    """Create the accounts that are missing; return the environment variables for robots and analytics."""
    file = home / ROBOTS_FILE
    if file.exists():
        robots = _read(file, list[Credentials])
    else:
        robots = [
            Credentials(f"robot-{name}-{number}-{secrets.token_hex(2)}", name, secrets.token_urlsafe(24))
            for name in ROBOT_CLASSES
            for number in range(1, ROBOTS_PER_CLASS + 1)
        ]
        write_private(file, msgspec.json.encode(robots))
    for name, account in ((DEMO_FILE, DEMO_DEVICE), (OPERATOR_FILE, DEMO_OPERATOR)):
        if not (home / name).exists():
            login = DemoLogin(f"{account}-{secrets.token_hex(2)}", secrets.token_urlsafe(18))
            write_private(home / name, msgspec.json.encode(login))
    async with (
        open_db(dsn, application="up") as db,
        open_password_hasher(COST, timeout_s=HASH_TIMEOUT_S) as passwords,
    ):
        known = {one.device_id for one in await devices.list_of_kind(db, Kind.ROBOT, 1_000)}
        for robot in robots:
            if robot.robot_id not in known:
                await register(
                    db, passwords, robot.robot_id, robot.password, kind=Kind.ROBOT, robot_class=robot.robot_class
                )
        await _add(db, passwords, demo_login(home), Kind.DEVICE)
        await _add(db, passwords, operator_login(home), Kind.OPERATOR)
    return {
        "robots": {"ROBOTS_CREDENTIALS_FILE": str(file)},
        "analytics": {"ANALYTICS_STATUS_FILE": str(home / "analytics.json")},
    }


async def _add(db: Db, passwords: PasswordHasher, login: DemoLogin, kind: Kind) -> None:
    if await devices.get(db, login.device_id) is None:
        await register(db, passwords, login.device_id, login.password, kind=kind)


def demo_login(home: Path) -> DemoLogin:
    """Return the demo device's login."""
    return _read(home / DEMO_FILE, DemoLogin)


def operator_login(home: Path) -> DemoLogin:
    """Return the demo operator's login, with which the console opens."""
    return _read(home / OPERATOR_FILE, DemoLogin)


def _read(file: Path, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(file.read_bytes(), type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise StartError(f"{file} is malformed: put it back, or move it away to have new accounts made") from None
