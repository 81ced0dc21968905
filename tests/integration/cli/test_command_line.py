"""The commands, as a person at a terminal meets them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import asyncpg
import pytest

from autogrocery.__main__ import parser

if TYPE_CHECKING:
    from collections.abc import Callable

    from autogrocery.lab.postgres.embedded import EmbeddedPostgres

COMMANDS = (
    "up",
    "demo",
    "prove",
    "replay",
    "gateway",
    "inventory",
    "pricing",
    "robots",
    "analytics",
    "migrate",
    "audit",
    "order show",
    "stock load",
    "device add",
    "device list",
    "device disable",
    "device alerts",
    "receipt list",
    "receipt replay",
    "truck add",
    "robot add",
    "operator add",
    "enrolment add",
    "enrolment list",
    "enrolment revoke",
    "pki init",
    "pki renew",
    "openapi",
    "doctor",
    "lots",
    "ledger",
    "recall",
)
SECRETS = {
    "JWT_SECRET": "signs-what-devices-show-the-gateway",
    "ROBOT_JWT_SECRET": "signs-what-robots-show-to-inventory",
    "WEBHOOK_SECRET": "signs-what-inventory-says-to-gateway",
}


def run(*words: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
    return subprocess.run(
        [sys.executable, "-m", "autogrocery", *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**kept, "AUTOGROCERY_HOME": "/nonexistent/home", **environ},
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([*command.split(), "--help"])
    assert ended.value.code == 0
    assert "Example: autogrocery" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        *(("demo", "--orders", told) for told in ("0", "-1", "1.5", "100001", "many", "")),
        *(("demo", "--rate", told) for told in ("0", "-1", "nan", "inf", "1e9", "fast")),
        *(("replay", "--url", "http://127.0.0.1:1", "--rate", told) for told in ("0", "nan")),
        *(("prove", "--minutes", told) for told in ("0", "-1", "nan", "inf", "1441")),
        ("demo", "--seed", "x"),
        ("lots", "--limit", "0"),
        ("lots", "--expiring-within", "nan"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused_at_once(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(list(words))
    assert ended.value.code == 2
    assert f"argument {words[-2]}" in capsys.readouterr().err


def test_help_is_quick() -> None:
    took = []
    for _ in range(5):
        began = time.perf_counter()
        assert run("--help").returncode == 0
        took.append(time.perf_counter() - began)
    assert min(took) < 0.2


@pytest.mark.parametrize(
    ("role", "environ", "named"),
    [
        ("gateway", {}, "DATABASE_URL"),
        ("gateway", {"DATABASE_URL": "postgresql://x"}, "JWT_SECRET"),
        ("gateway", {"DATABASE_URL": "postgresql://x", **SECRETS, "JWT_SECRET": "hunter2"}, "JWT_SECRET"),
        (
            "gateway",
            {"DATABASE_URL": "postgresql://x", **SECRETS, "ROBOT_JWT_SECRET": SECRETS["JWT_SECRET"]},
            "ROBOT_JWT_SECRET",
        ),
        ("gateway", {"DATABASE_URL": "postgresql://x", **SECRETS, "WEBHOOK_SECRET": "whsec_???"}, "WEBHOOK_SECRET"),
        ("gateway", {"DATABASE_URL": "postgresql://x", **SECRETS, "PREVIEW_TTL_S": "soon"}, "PREVIEW_TTL_S"),
        ("gateway", {"DATABASE_URL": "postgresql://x", **SECRETS, "BCRYPT_COST": "31"}, "BCRYPT_COST"),
        ("gateway", {"DATABASE_URL": "postgresql://x", **SECRETS, "ORDERING_HTTP_ADDR": "5050"}, "ORDERING_HTTP_ADDR"),
        ("gateway", {"DATABASE_URL": "postgresql://x", **SECRETS, "ORDERING_HTPP_ADDR": "x:1"}, "ORDERING_HTPP_ADDR"),
        ("gateway", {"DATABASE_URL": "postgresql://u@127.0.0.1:1/x", **SECRETS}, "DATABASE_URL"),
        ("inventory", {}, "WEBHOOK_SECRET"),
        ("pricing", {}, "DATABASE_URL"),
        ("robots", {}, "ROBOTS_CREDENTIALS_FILE"),
        ("analytics", {"GATEWAY_WEBHOOK_URL": "nowhere"}, "GATEWAY_WEBHOOK_URL"),
    ],
)
def test_a_role_that_cannot_start_names_the_variable_and_not_its_value(
    role: str, environ: dict[str, str], named: str
) -> None:
    ended = run(role, **environ)
    told = [line for line in ended.stderr.splitlines() if line.startswith("autogrocery ")]
    assert (ended.returncode, len(told)) == (2, 1), ended.stderr
    assert named in told[0]
    assert "Traceback" not in ended.stderr
    value = environ.get(named, "")
    assert not value or value not in told[0]


def test_a_gateway_on_an_empty_database_says_migrate(postgres: EmbeddedPostgres) -> None:
    ended = run("gateway", DATABASE_URL=postgres.dsn(), **SECRETS)
    assert ended.returncode == 2
    assert "autogrocery migrate" in ended.stderr


def test_accounts_come_and_go(gateway_dsn: str) -> None:
    def on_it(*words: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        return run(*words, stdin=stdin, DATABASE_URL=gateway_dsn, BCRYPT_COST="10", **environ)

    made = on_it("device", "add", "fridge-7", "--email", "a@b.example")
    assert (made.returncode, "password " in made.stdout) == (0, True)
    given = on_it("robot", "add", "arm-1", "--class", "meat", "--password-stdin", stdin="correct horse battery\n")
    assert (given.returncode, "password" in given.stdout) == (0, False)
    truck = on_it("truck", "add", "truck-1", "--supplier", "acme", "--name", "Acme Dairy")
    assert (truck.returncode, "password " in truck.stdout) == (0, True)
    assert on_it("truck", "add", "truck-2", "--supplier", " ").returncode == 1
    assert on_it("truck", "add", "truck-2").returncode == 2
    assert "acme Acme Dairy" in on_it("truck", "list", COLUMNS="200").stdout
    assert on_it("device", "add", "fridge-7").returncode == 1
    assert on_it("operator", "add", "op", "--password-stdin", stdin="short\n").returncode == 1
    assert "robot:pick:meat" in on_it("robot", "list").stdout
    assert on_it("device", "disable", "fridge-7").returncode == 0
    assert "disabled" in on_it("device", "list").stdout
    assert on_it("device", "disable", "arm-1").returncode == 1
    assert on_it("device", "add", "fridge-8", "--phone", "call me").returncode == 1
    assert "hears of: none" in on_it("device", "alerts", "fridge-7", "none").stdout
    assert on_it("device", "alerts", "arm-1", "none").returncode == 1


def test_dead_receipts_are_listed_and_replayed(gateway_dsn: str) -> None:
    async def die(*order_ids: str) -> None:
        connection = await asyncpg.connect(gateway_dsn)
        await connection.execute("INSERT INTO smart_devices (device_id, password) VALUES ('x', '$2b$10$x')")
        for order_id in order_ids:
            await connection.execute("INSERT INTO grocery_orders (order_id, user_id) VALUES ($1, 1)", order_id)
            await connection.execute(
                "INSERT INTO receipt_outbox (order_id, dead_at, last_error) VALUES ($1, now(), 'mail_refused')",
                order_id,
            )
        await connection.close()

    first, second = "01890000-0000-7000-8000-000000000001", "01890000-0000-7000-8000-000000000002"
    asyncio.run(die(first, second))

    def receipt(*words: str) -> subprocess.CompletedProcess[str]:
        return run("receipt", *words, DATABASE_URL=gateway_dsn, COLUMNS="200")

    listed = receipt("list", "--dead").stdout
    assert (first in listed, second in listed, "mail_refused" in listed) == (True, True, True)
    assert "given up: 2 receipts, 0 alerts" in run("audit", DATABASE_URL=gateway_dsn).stdout
    assert receipt("replay", first).returncode == 0
    assert receipt("replay", first).returncode == 1
    assert (first in receipt("list", "--dead").stdout, "due" in receipt("list").stdout) == (False, True)
    assert receipt("replay", "--all-dead").stdout == "1 receipts are due again\n"
    assert [receipt("replay", *words).returncode for words in ((), (first, "--all-dead"), ("no-uuid",))] == [1, 1, 1]


def test_enrolment_codes_come_and_go(gateway_dsn: str) -> None:
    made = run("enrolment", "add", "--uses", "3", "--days", "2", DATABASE_URL=gateway_dsn)
    assert (made.returncode, "enrolment_code " in made.stdout) == (0, True)
    code_id = made.stdout.split()[1]
    assert run("enrolment", "revoke", code_id, DATABASE_URL=gateway_dsn).returncode == 0
    assert run("enrolment", "revoke", "999", DATABASE_URL=gateway_dsn).returncode == 1
    listed = run("enrolment", "list", DATABASE_URL=gateway_dsn).stdout
    assert "3 of 3" in listed
    assert "revoked" in listed
    assert made.stdout.split()[-1] not in listed
    assert run("enrolment", "add", "--days", "99999", DATABASE_URL=gateway_dsn).returncode == 1


def test_audit_says_what_is_broken_and_fails(dsn_of: Callable[[str], str], gateway_dsn: str) -> None:
    inventory_dsn = dsn_of("inventory")
    clean = run("audit", DATABASE_URL=gateway_dsn, INVENTORY_DATABASE_URL=inventory_dsn)
    assert (clean.returncode, "stock_is_conserved" in clean.stdout) == (0, True), clean.stderr
    order = "01890000-0000-7000-8000-000000000001"
    sql = (
        "INSERT INTO smart_devices (device_id, password) VALUES ('x', '$2b$10$x');"
        f"INSERT INTO grocery_orders (order_id, user_id) VALUES ('{order}', 1)"
    )

    async def spoil() -> None:
        connection = await asyncpg.connect(gateway_dsn)
        await connection.execute(sql)
        await connection.close()

    asyncio.run(spoil())
    broken = run("audit", DATABASE_URL=gateway_dsn, INVENTORY_DATABASE_URL=inventory_dsn)
    assert broken.returncode == 1
    assert f'history_is_gapless: {{"order_id":"{order}"}}' in broken.stdout
    assert run("order", "show", order, DATABASE_URL=gateway_dsn).returncode == 0
    assert run("order", "show", "no-uuid", DATABASE_URL=gateway_dsn).returncode == 1
    assert run("migrate", "check", "--only", "gateway", DATABASE_URL=gateway_dsn).returncode == 0


def test_a_database_that_is_not_there_is_one_line() -> None:
    ended = run("audit", DATABASE_URL="postgresql://u:hunter2secret@127.0.0.1:1/x")
    assert ended.returncode == 2
    assert "the database" in ended.stderr
    assert "hunter2secret" not in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr
