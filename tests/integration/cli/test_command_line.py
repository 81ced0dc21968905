"""The commands, run as processes: exit code, standard output, standard error."""

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
    "order doctor",
    "stock load",
    "device add",
    "device list",
    "device disable",
    "device alerts",
    "device set",
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
    "completion",
    "lots",
    "ledger",
    "recall",
    "conformance inventory",
    "conformance pricing",
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
def test_help_of_every_command_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([*command.split(), "--help"])
    assert ended.value.code == 0
    assert "Example: autogrocery" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        *(("demo", "--orders", value) for value in ("0", "-1", "1.5", "100001", "many", "")),
        *(("demo", "--rate", value) for value in ("0", "-1", "nan", "inf", "1e9", "fast")),
        *(("replay", "--url", "http://127.0.0.1:1", "--rate", value) for value in ("0", "nan")),
        *(("prove", "--minutes", value) for value in ("0", "-1", "nan", "inf", "1441")),
        ("demo", "--seed", "x"),
        ("lots", "--limit", "0"),
        ("lots", "--expiring-within", "nan"),
    ],
)
def test_number_out_of_range_exits_2(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(list(words))
    assert ended.value.code == 2
    assert f"argument {words[-2]}" in capsys.readouterr().err


def test_help_takes_less_than_200_ms() -> None:
    durations_s = []
    for _ in range(5):
        started_at = time.perf_counter()
        assert run("--help").returncode == 0
        durations_s.append(time.perf_counter() - started_at)
    assert min(durations_s) < 0.2


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
def test_role_with_invalid_setting_names_variable_without_value(role: str, environ: dict[str, str], named: str) -> None:
    ended = run(role, **environ)
    errors = [line for line in ended.stderr.splitlines() if line.startswith("autogrocery ")]
    assert (ended.returncode, len(errors)) == (2, 1), ended.stderr
    assert named in errors[0]
    assert "Traceback" not in ended.stderr
    value = environ.get(named, "")
    assert not value or value not in errors[0]


def test_gateway_on_empty_database_suggests_migrate(postgres: EmbeddedPostgres) -> None:
    ended = run("gateway", DATABASE_URL=postgres.dsn(), **SECRETS)
    assert ended.returncode == 2
    assert "autogrocery migrate" in ended.stderr


def test_accounts_are_added_listed_and_disabled(gateway_dsn: str) -> None:
    def run_on_database(*words: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        return run(*words, stdin=stdin, DATABASE_URL=gateway_dsn, BCRYPT_COST="10", **environ)

    made = run_on_database("device", "add", "fridge-7", "--email", "a@b.example")
    assert (made.returncode, "password " in made.stdout) == (0, True)
    given = run_on_database(
        "robot", "add", "arm-1", "--class", "meat", "--password-stdin", stdin="correct horse battery\n"
    )
    assert (given.returncode, "password" in given.stdout) == (0, False)
    truck = run_on_database("truck", "add", "truck-1", "--supplier", "acme", "--name", "Acme Dairy")
    assert (truck.returncode, "password " in truck.stdout) == (0, True)
    assert run_on_database("truck", "add", "truck-2", "--supplier", " ").returncode == 1
    assert run_on_database("truck", "add", "truck-2").returncode == 2
    assert "acme Acme Dairy" in run_on_database("truck", "list", COLUMNS="200").stdout
    assert run_on_database("device", "add", "fridge-7").returncode == 1
    assert run_on_database("operator", "add", "op", "--password-stdin", stdin="short\n").returncode == 1
    assert "robot:pick:meat" in run_on_database("robot", "list").stdout
    assert run_on_database("device", "disable", "fridge-7").returncode == 0
    assert "disabled" in run_on_database("device", "list").stdout
    assert run_on_database("device", "disable", "arm-1").returncode == 1
    assert run_on_database("device", "add", "fridge-8", "--phone", "call me").returncode == 1
    assert "gets alerts: none" in run_on_database("device", "alerts", "fridge-7", "none").stdout
    assert run_on_database("device", "alerts", "arm-1", "none").returncode == 1


def test_contact_of_a_device_is_set(gateway_dsn: str) -> None:
    def device(*words: str) -> tuple[int, str, str]:
        ended = run("device", *words, DATABASE_URL=gateway_dsn, BCRYPT_COST="10")
        return ended.returncode, ended.stdout, ended.stderr

    def stored() -> tuple[str | None, ...]:
        async def read() -> tuple[str | None, ...]:
            connection = await asyncpg.connect(gateway_dsn)
            found = await connection.fetchrow("SELECT email, phone, alerts FROM smart_devices WHERE device_id = 'f-1'")
            await connection.close()
            return tuple(found)

        return asyncio.run(read())

    refused = device("add", "f-1", "--email", "anna@example.com,")
    assert refused[0] == 1
    assert refused[2] == "the e-mail address can't be taken: after the @ is a host name, as example.com\n"
    added = device("add", "f-1", "--email", "anna@bücher.example")
    assert added[0] == 0, added
    assert stored() == ("anna@xn--bcher-kva.example", None, "trouble")
    told = "device f-1 changed; 0 receipts, 0 alerts are due again\n"
    assert device("set", "f-1", "--email", "b@example.com", "--phone", "+15550001111", "--alerts", "all") == (
        0,
        told,
        "",
    )
    assert stored() == ("b@example.com", "+15550001111", "all")
    for words, why in (
        (("f-1", "--email", "<b@example.com>"), "e-mail address"),
        (("f-1", "--phone", "call me"), "telephone"),
        (("f-1",), "give what changes"),
        (("f-2", "--no-email"), "no device f-2"),
        (("f-1", "--email", "c@example.com", "--no-email"), "not allowed with"),
    ):
        code, out, err = device("set", *words)
        assert (code != 0, out) == (True, "")
        assert why in err
        assert "Traceback" not in err
    assert stored() == ("b@example.com", "+15550001111", "all")
    assert device("set", "f-1", "--no-email", "--no-phone")[0] == 0
    assert stored() == (None, None, "all")


def test_dead_receipts_are_listed_and_replayed(gateway_dsn: str) -> None:
    async def add_dead_receipts(*order_ids: str) -> None:
        connection = await asyncpg.connect(gateway_dsn)
        await connection.execute("INSERT INTO smart_devices (device_id, password) VALUES ('fridge-x', '$2b$10$x')")
        for order_id in order_ids:
            await connection.execute("INSERT INTO grocery_orders (order_id, user_id) VALUES ($1, 1)", order_id)
            await connection.execute(
                "INSERT INTO receipt_outbox (order_id, dead_at, last_error) VALUES ($1, now(), 'mail_refused')",
                order_id,
            )
        await connection.close()

    first, second = "01890000-0000-7000-8000-000000000001", "01890000-0000-7000-8000-000000000002"
    asyncio.run(add_dead_receipts(first, second))

    def receipt(*words: str) -> subprocess.CompletedProcess[str]:
        return run("receipt", *words, DATABASE_URL=gateway_dsn, COLUMNS="200")

    listed = receipt("list", "--dead").stdout
    assert [word in listed for word in (first, second, "fridge-x", "mail_refused")] == [True] * 4
    assert "given up: 2 receipts, 0 alerts" in run("audit", DATABASE_URL=gateway_dsn).stdout
    assert receipt("replay", first).returncode == 0
    assert receipt("replay", first).returncode == 1
    assert (first in receipt("list", "--dead").stdout, "due" in receipt("list").stdout) == (False, True)
    assert receipt("replay", "--all-dead").stdout == "1 receipts are due again\n"
    assert [receipt("replay", *words).returncode for words in ((), (first, "--all-dead"), ("no-uuid",))] == [1, 1, 1]


def test_enrolment_codes_are_added_listed_and_revoked(gateway_dsn: str) -> None:
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


def test_audit_of_broken_history_prints_invariant_and_exits_1(dsn_of: Callable[[str], str], gateway_dsn: str) -> None:
    inventory_dsn = dsn_of("inventory")
    clean = run("audit", DATABASE_URL=gateway_dsn, INVENTORY_DATABASE_URL=inventory_dsn)
    assert (clean.returncode, "stock_is_conserved" in clean.stdout) == (0, True), clean.stderr
    order = "01890000-0000-7000-8000-000000000001"
    sql = (
        "INSERT INTO smart_devices (device_id, password) VALUES ('x', '$2b$10$x');"
        f"INSERT INTO grocery_orders (order_id, user_id) VALUES ('{order}', 1)"
    )

    async def break_history() -> None:
        connection = await asyncpg.connect(gateway_dsn)
        await connection.execute(sql)
        await connection.close()

    asyncio.run(break_history())
    broken = run("audit", DATABASE_URL=gateway_dsn, INVENTORY_DATABASE_URL=inventory_dsn)
    assert broken.returncode == 1
    assert f'history_is_gapless: {{"order_id":"{order}"}}' in broken.stdout
    assert run("order", "show", order, DATABASE_URL=gateway_dsn).returncode == 0
    assert run("order", "show", "no-uuid", DATABASE_URL=gateway_dsn).returncode == 1
    assert run("migrate", "check", "--only", "gateway", DATABASE_URL=gateway_dsn).returncode == 0


def test_unreachable_database_prints_one_line_without_password() -> None:
    ended = run("audit", DATABASE_URL="postgresql://u:hunter2secret@127.0.0.1:1/x")
    assert ended.returncode == 2
    assert "the database" in ended.stderr
    assert "hunter2secret" not in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "http://",
        "ftp://x",
        "http://127.0.0.1:99999",
        "http://[::1",
        "http://h\n",
        "http://u:hunter2@127.0.0.1:1",
    ],
)
def test_replay_at_a_url_where_no_gateway_is_ends_at_once_with_one_line(url: str, tmp_path: os.PathLike[str]) -> None:
    began = time.monotonic()
    ended = run("replay", "--url", url, "--orders", "1", AUTOGROCERY_HOME=str(tmp_path))
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1), ended.stderr
    assert ended.stderr.startswith(
        ("autogrocery replay: --url is malformed", "autogrocery replay: no gateway answers at")
    )
    assert "hunter2" not in ended.stderr
    assert time.monotonic() - began < 10
