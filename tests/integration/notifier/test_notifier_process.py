"""Notifiers as processes: their start, several at once, servers that go away, and that one is a gateway's child."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from autogrocery.kit.process.run import StartError
from autogrocery.kit.process.settings import SettingsError
from autogrocery.lab.ports import free_ports
from autogrocery.notifier import app
from tests.harness.gateway_process import OURS, start_gateway_process
from tests.harness.mail_server import Mailbox, serve_smtp
from tests.harness.notifier import end_orders
from tests.harness.notifier_process import events, lines, running_notifier
from tests.harness.running_gateway import webhook_body
from tests.harness.waiting import until

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db
    from tests.harness.gateway_process import GatewayProcess
    from tests.integration.notifier.conftest import GatewayActions

CANARY = "cAnArY"
NOWHERE = f"postgresql://nobody:{CANARY}@127.0.0.1:1/none"
REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "unknown NOTIFIER_": ({"NOTIFIER_ADDR": CANARY}, "NOTIFIER_ADDR"),
    "no database": ({"DATABASE_URL": ""}, "DATABASE_URL"),
    "database away": ({}, "DATABASE_URL"),
    "no mail server": ({"SMTP_URL": f"https://{CANARY}"}, "SMTP_URL"),
    "no sender": ({"RECEIPT_FROM": f"{CANARY}@"}, "RECEIPT_FROM"),
    "no provider": ({"SMS_URL": f"https://{CANARY}:{CANARY}@host"}, "SMS_URL"),
    "listener for all": ({"NOTIFIER_HTTP_ADDR": "0.0.0.0:9"}, "NOTIFIER_HTTP_ADDR"),
    "quiet all day": ({"ALERT_QUIET_HOURS": "7-07"}, "ALERT_QUIET_HOURS"),
    "no such zone": ({"STORE_TIMEZONE": f"../{CANARY}"}, "STORE_TIMEZONE"),
}
MAIN = """
import atexit, sys
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
from autogrocery.__main__ import main
sys.exit(main(["gateway"]))
"""
HEAVY = {"jinja2", "aiosmtplib", "smtplib", "idna", "aiohttp", "email.policy", "email.headerregistry", "email.mime"}


@pytest.mark.parametrize(("changes", "named"), REFUSED.values(), ids=REFUSED.keys())
async def test_an_invalid_setting_is_refused_in_one_line_that_names_it(changes: dict[str, str], named: str) -> None:
    with pytest.raises((SettingsError, StartError)) as refused:
        await asyncio.wait_for(app.main({"DATABASE_URL": NOWHERE} | changes, asyncio.Event()), 10.0)
    line = str(refused.value)
    assert (named in line, "\n" in line, CANARY in line) == (True, False, False)


async def test_a_database_without_tables_names_the_migrate_command(gateway_db: Db, gateway_dsn: str) -> None:
    await gateway_db.rows("DROP SCHEMA public CASCADE")
    with pytest.raises(StartError, match=r"lacks [0-9]+ columns, smart_devices.id first: run autogrocery migrate"):
        await asyncio.wait_for(app.main({"DATABASE_URL": gateway_dsn}, asyncio.Event()), 10.0)


async def test_a_database_that_is_too_old_names_the_column(gateway_db: Db, gateway_dsn: str) -> None:
    await gateway_db.rows("ALTER TABLE alert_outbox DROP COLUMN admitted_at")
    with pytest.raises(StartError, match=r"lacks 1 columns, alert_outbox.admitted_at first: run autogrocery migrate"):
        await asyncio.wait_for(app.main({"DATABASE_URL": gateway_dsn}, asyncio.Event()), 10.0)


async def message_ids(gateway: GatewayActions, count: int) -> list[str]:
    """End orders; return the Message-IDs of their receipts."""
    return [f"<{order_id}@autogrocery.invalid>" for order_id in await end_orders(gateway, count)]


async def count_due(db: Db) -> int:
    row = await db.row("SELECT count(*) AS due FROM receipt_outbox WHERE done_at IS NULL AND dead_at IS NULL")
    assert row is not None
    return int(row["due"])


async def test_two_notifiers_at_once_send_each_receipt_once(
    gateway: GatewayActions, gateway_dsn: str, tmp_path: Path
) -> None:
    made, box = await message_ids(gateway, 150), Mailbox()
    logs = [tmp_path / "one", tmp_path / "two"]
    with serve_smtp(box) as address:
        async with (
            running_notifier(gateway_dsn, logs[0], SMTP_URL=f"smtp://{address}"),
            running_notifier(gateway_dsn, logs[1], SMTP_URL=f"smtp://{address}"),
        ):
            await until(lambda: all_sent(gateway.db))
    assert sorted(box.message_ids) == sorted(made)


async def all_sent(db: Db) -> bool:
    return await count_due(db) == 0


async def test_a_mail_server_that_comes_back_gets_what_waited(
    gateway: GatewayActions, gateway_dsn: str, tmp_path: Path
) -> None:
    made, box = await message_ids(gateway, 10), Mailbox()
    (port,) = free_ports(1)
    async with running_notifier(gateway_dsn, tmp_path / "log", SMTP_URL=f"smtp://127.0.0.1:{port}"):
        await until(lambda: all_deferred(gateway.db))
        with serve_smtp(box, port=port):
            await until(lambda: all_sent(gateway.db))
    assert sorted(box.message_ids) == sorted(made)


async def test_lost_database_sessions_lose_no_receipt_and_send_none_twice(
    gateway: GatewayActions, gateway_dsn: str, tmp_path: Path
) -> None:
    made, box = await message_ids(gateway, 150), Mailbox()
    with serve_smtp(box) as address:
        async with running_notifier(gateway_dsn, tmp_path / "log", SMTP_URL=f"smtp://{address}"):
            for _ in range(10):
                await gateway.db.rows(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'notifier' AND datname = current_database()"
                )
                await asyncio.sleep(0.1)
            await asyncio.sleep(3.0)  # what was under way is settled
            await gateway.db.run("UPDATE receipt_outbox SET next_attempt_at = now() WHERE done_at IS NULL")
            await until(lambda: all_sent(gateway.db))
    assert sorted(box.message_ids) == sorted(made)


async def all_deferred(db: Db) -> bool:
    rows = await db.rows("SELECT last_error FROM receipt_outbox")
    return {row["last_error"] for row in rows} == {"mail_unavailable"}


async def test_the_listener_serves_health_and_counts(gateway: GatewayActions, gateway_dsn: str, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    home = {"AUTOGROCERY_HOME": str(tmp_path), "NOTIFIER_HTTP_ADDR": f"127.0.0.1:{port}"}
    await message_ids(gateway, 3)
    async with running_notifier(gateway_dsn, tmp_path / "log", **home), aiohttp.ClientSession() as session:
        await until(lambda: all_sent(gateway.db))
        async with session.get(f"http://127.0.0.1:{port}/healthz") as response:
            assert (response.status, await response.json()) == (200, {"status": "ok"})
        async with session.get(f"http://127.0.0.1:{port}/metrics") as response:
            text = await response.text()
    assert 'outbox_deliveries_total{outbox="receipt_outbox",result="delivered"} 3.0' in text


async def test_a_refused_start_is_one_line_and_exit_code_2() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "autogrocery",
        "notifier",
        env=OURS | {"DATABASE_URL": NOWHERE, "SMTP_URL": f"ftp://{CANARY}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 30.0)
    assert (process.returncode, out) == (2, b"")
    assert err == b"autogrocery notifier: SMTP_URL is malformed: expected smtp://host:port or smtps://host:port\n"


def child_of(pid: int) -> int | None:
    """Return the pid of a gateway's notifier, None while it has none."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if Path(f"/proc/{child}/cmdline").read_bytes().endswith(b"\0notifier\0"):
            return int(child)
    return None


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def started(role: GatewayProcess, times: int) -> bool:
    return events(role.stderr).count("notifier_started") >= times


async def finished_order(role: GatewayProcess) -> str:
    device = await role.gateway.device()
    await role.gateway.db.run("UPDATE smart_devices SET email = 'kitchen@home.example'")
    order_id = await device.processing()
    assert (await role.gateway.send_webhook(webhook_body(order_id))).status == 200
    return order_id


async def test_a_gateway_alone_sends_receipts_through_a_child_that_is_replaced_and_ends_with_it(
    gateway_dsn: str, tmp_path: Path
) -> None:
    async with start_gateway_process(gateway_dsn, tmp_path, NOTIFIER="child") as role:
        await until(lambda: started(role, 1))
        first = child_of(role.process.pid)
        assert first is not None
        assert os.getpriority(os.PRIO_PROCESS, first) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
        environ = dict(part.split(b"=", 1) for part in read(f"/proc/{first}/environ").split(b"\0") if part)
        assert not environ.keys() & {b"JWT_SECRET", b"ROBOT_JWT_SECRET", b"WEBHOOK_SECRET"}
        one = await finished_order(role)
        await until((tmp_path / "receipts" / f"{one}.eml").exists)
        os.kill(first, signal.SIGKILL)
        two = await finished_order(role)
        await until((tmp_path / "receipts" / f"{two}.eml").exists)
        second = child_of(role.process.pid)
        assert second not in {None, first}
        role.process.kill()
        await role.process.wait()
        await until(lambda: not alive(second or 0))
    ends = [line for line in lines(role.stderr) if line["event"] == "child_ended"]
    assert [(line["child"], line["status"]) for line in ends] == [("notifier", -9)]


def read(file: str) -> bytes:
    return Path(file).read_bytes()


async def test_a_gateway_that_stops_ends_its_child_and_has_loaded_nothing_of_it(
    gateway_dsn: str, tmp_path: Path
) -> None:
    async with start_gateway_process(gateway_dsn, tmp_path, NOTIFIER="child", program=MAIN) as role:
        await until(lambda: started(role, 1))
        await finished_order(role)
        child = child_of(role.process.pid)
        assert child is not None
        role.process.terminate()
        assert await asyncio.wait_for(role.process.wait(), 20.0) == 0
        assert not alive(child)
    *_, modules = role.stderr.read_text().splitlines()
    assert "autogrocery.gateway.app" in modules.split()
    assert not {name for name in modules.split() if name in HEAVY or name.startswith("autogrocery.notifier")}
