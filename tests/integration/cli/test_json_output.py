"""Reading commands print one JSON document with --json, and none of them an address, a number or a hash."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from autogrocery.__main__ import main
from autogrocery.cli.migrations import migrate_all
from autogrocery.kit.pg.db import open_db
from autogrocery.kit.process import log
from tests.harness.gateway_actions import open_gateway_actions

if TYPE_CHECKING:
    from collections.abc import Callable

    from autogrocery.lab.postgres.embedded import EmbeddedPostgres

READING = (
    "migrate status",
    "migrate check",
    "audit",
    "lots",
    "ledger",
    "receipt list",
    "device list",
    "truck list",
    "robot list",
    "operator list",
    "enrolment list",
    "doctor",
)
PRIVATE = ("anna@example.com", "+4915112345678", "$2b$")


@pytest.fixture(scope="module")
def database(postgres: EmbeddedPostgres) -> tuple[str, str]:
    """Return the DSN of a database with every part's tables and an order, and that order's id."""
    asyncio.run(postgres.ensure_database("json_output"))
    dsn = postgres.dsn("json_output")
    asyncio.run(migrate_all(dsn))
    return dsn, asyncio.run(_order(dsn))


async def _order(dsn: str) -> str:
    async with open_db(dsn, application="tests") as db, open_gateway_actions(db) as gateway:
        await db.run("UPDATE smart_devices SET email = $1, phone = $2", *PRIVATE[:2])
        return str((await gateway.preview(milk=1)).order_id)


@pytest.fixture
def ask(
    database: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], Any]:
    """Return a function that runs a command with --json and returns its document."""

    def run(command: str) -> Any:
        monkeypatch.setenv("DATABASE_URL", database[0])
        monkeypatch.setattr(log, "configure", lambda *_: None)  # a command's log level would stay for other tests
        assert main([*command.split(), "--json"]) in {0, 1}
        printed = capsys.readouterr().out
        assert not [one for one in PRIVATE if one in printed]
        return json.loads(printed)

    return run


@pytest.mark.parametrize("command", READING)
def test_reading_command_prints_one_document(ask: Callable[[str], Any], command: str) -> None:
    assert isinstance(ask(command), list | dict)


def test_order_and_its_events_are_one_document(ask: Callable[[str], Any], database: tuple[str, str]) -> None:
    found = ask(f"order show {database[1]}")
    assert (found["order"]["order_id"], found["order"]["status"]) == (database[1], "PREVIEWED")
    assert [one["to_status"] for one in found["events"]] == ["PREVIEWED"]


def test_audit_tells_whether_it_is_clean(ask: Callable[[str], Any]) -> None:
    found = ask("audit")
    assert found["clean"] is True
    assert len(found["invariants"]) > 40
    assert {one["violations"] for one in found["invariants"]} == {0}


def test_devices_are_listed_by_id(ask: Callable[[str], Any]) -> None:
    assert [one["device_id"] for one in ask("device list")] == ["fridge-1"]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "receipt" in script
    assert "--all-dead" in script


def test_bash_takes_the_completion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    ended = subprocess.run(
        ["bash", "-c", f"{script}\ncomplete -p autogrocery"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
        env=dict(os.environ),
    )
    assert (ended.returncode, ended.stdout.split()[-1]) == (0, "autogrocery"), ended.stderr


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("autogrocery 0.")
