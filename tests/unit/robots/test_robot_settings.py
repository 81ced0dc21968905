from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from autogrocery.kit.process.run import StartError
from autogrocery.kit.process.settings import SettingsError
from autogrocery.robots import settings
from autogrocery.robots.app import main

if TYPE_CHECKING:
    from pathlib import Path

ROBOT = {"robot_id": "bread-1", "robot_class": "bread", "password": "not to be told"}


def write(path: Path, told: object, mode: int = 0o600) -> str:
    file = path / "robots.json"
    file.touch(mode)
    file.write_bytes(told if isinstance(told, bytes) else msgspec.json.encode(told))
    file.chmod(mode)
    return str(file)


@pytest.mark.parametrize(
    "told", [b"", b"{", b"\xff", {}, [], [{"robot_id": "x"}], [ROBOT, ROBOT], [{**ROBOT, "robot_class": "garden"}]]
)
def test_credentials_that_are_no_fleet_are_refused_by_name(tmp_path: Path, told: object) -> None:
    with pytest.raises(SettingsError, match="ROBOTS_CREDENTIALS_FILE") as caught:
        settings.accounts(write(tmp_path, told))
    assert ROBOT["password"] not in str(caught.value)


def test_credentials_that_others_may_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="chmod 600"):
        settings.accounts(write(tmp_path, [ROBOT], 0o644))


def test_a_missing_credentials_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ROBOTS_CREDENTIALS_FILE"):
        settings.accounts(str(tmp_path / "none"))


def test_each_class_has_its_first_robot_soon(tmp_path: Path) -> None:
    fleet = [{**ROBOT, "robot_id": f"{kind}-{n}", "robot_class": kind} for kind in ("bread", "dairy") for n in (1, 2)]
    told = settings.accounts(write(tmp_path, fleet))
    assert [account.robot_id for account in told] == ["bread-1", "dairy-1", "bread-2", "dairy-2"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ROBOTS_CREDENTIALS_FILE", ""),
        ("ROBOTS_SPEED", "0"),
        ("ROBOTS_SPEED", "fast"),
        ("ROBOTS_SHORT_PERCENT", "101"),
        ("ROBOTS_CRASH_PERCENT", "-1"),
        ("GATEWAY_WEBHOOK_URL", "gateway"),
    ],
)
def test_a_setting_that_is_wrong_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        settings.load({"ROBOTS_CREDENTIALS_FILE": "robots.json", name: value})


async def test_an_address_that_is_none_stops_the_start(tmp_path: Path) -> None:
    environ = {"ROBOTS_CREDENTIALS_FILE": write(tmp_path, [ROBOT]), "ROBOTS_ZMQ_TARGET": "nowhere"}
    with pytest.raises(StartError, match="ROBOTS_ZMQ"):
        await main(environ, asyncio.Event())
