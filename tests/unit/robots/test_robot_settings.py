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

ROBOT = {"robot_id": "bread-1", "robot_class": "bread", "password": "must not be shown"}


def write(path: Path, content: object, mode: int = 0o600) -> str:
    file = path / "robots.json"
    file.touch(mode)
    file.write_bytes(content if isinstance(content, bytes) else msgspec.json.encode(content))
    file.chmod(mode)
    return str(file)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", {}, [], [{"robot_id": "x"}], [ROBOT, ROBOT], [{**ROBOT, "robot_class": "garden"}]]
)
def test_invalid_credentials_file_raises_settings_error(tmp_path: Path, content: object) -> None:
    with pytest.raises(SettingsError, match="ROBOTS_CREDENTIALS_FILE") as caught:
        settings.accounts(write(tmp_path, content))
    assert ROBOT["password"] not in str(caught.value)


def test_credentials_file_readable_by_others_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="chmod 600"):
        settings.accounts(write(tmp_path, [ROBOT], 0o644))


def test_missing_credentials_file_raises_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ROBOTS_CREDENTIALS_FILE"):
        settings.accounts(str(tmp_path / "none"))


def test_accounts_alternate_between_classes(tmp_path: Path) -> None:
    fleet = [{**ROBOT, "robot_id": f"{kind}-{n}", "robot_class": kind} for kind in ("bread", "dairy") for n in (1, 2)]
    found = settings.accounts(write(tmp_path, fleet))
    assert [account.robot_id for account in found] == ["bread-1", "dairy-1", "bread-2", "dairy-2"]


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
def test_invalid_setting_is_named_in_error(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        settings.load({"ROBOTS_CREDENTIALS_FILE": "robots.json", name: value})


async def test_malformed_zmq_address_raises_start_error(tmp_path: Path) -> None:
    environ = {"ROBOTS_CREDENTIALS_FILE": write(tmp_path, [ROBOT]), "ROBOTS_ZMQ_TARGET": "nowhere"}
    with pytest.raises(StartError, match="ROBOTS_ZMQ"):
        await main(environ, asyncio.Event())
