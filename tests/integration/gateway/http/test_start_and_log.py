"""The gateway's start, log and end: settings that are refused, log lines without secrets, graceful shutdown."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from pathlib import Path

import asyncpg
import pytest

from autogrocery.gateway import app
from autogrocery.kit.process.run import StartError
from autogrocery.kit.process.settings import SettingsError
from autogrocery.lab.ports import free_ports
from tests.harness.gateway_process import command, start_gateway_process
from tests.harness.running_gateway import (
    DEVICE_KEY,
    TIMEOUT_S,
    WEBHOOK_KEYS,
    Device,
    RunningGateway,
    environ,
    webhook_body,
)
from tests.harness.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
NOWHERE = "postgresql://nobody:cAnArY@127.0.0.1:1/none"
CANARY = "cAnArY"
REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "unknown ORDERING_": ({"ORDERING_HTTP_ADRESS": CANARY}, "ORDERING_HTTP_ADRESS"),
    "no database": ({"DATABASE_URL": ""}, "DATABASE_URL"),
    "no secret": ({"JWT_SECRET": ""}, "JWT_SECRET"),
    "short secret": ({"JWT_SECRET": CANARY}, "JWT_SECRET"),
    "31 bytes": ({"ROBOT_JWT_SECRET": CANARY * 5 + "x"}, "ROBOT_JWT_SECRET"),
    "short second secret": ({"WEBHOOK_SECRET": f"{WEBHOOK_KEYS[0]},{CANARY}"}, "WEBHOOK_SECRET"),
    "empty second secret": ({"JWT_SECRET": f"{DEVICE_KEY},"}, "JWT_SECRET"),
    "no base64": ({"WEBHOOK_SECRET": f"whsec_{CANARY}!" + "x" * 60}, "WEBHOOK_SECRET"),
    "short once decoded": ({"WEBHOOK_SECRET": "whsec_" + "QUFB" * 10}, "WEBHOOK_SECRET"),
    "equal secrets": ({"ROBOT_JWT_SECRET": DEVICE_KEY}, "ROBOT_JWT_SECRET"),
    "a secret twice": ({"JWT_SECRET": f"{DEVICE_KEY},{DEVICE_KEY}"}, "JWT_SECRET"),
    "ttl a word": ({"PREVIEW_TTL_S": CANARY}, "PREVIEW_TTL_S"),
    "ttl 0": ({"PREVIEW_TTL_S": "0"}, "PREVIEW_TTL_S"),
    "cost 9": ({"BCRYPT_COST": "9"}, "BCRYPT_COST"),
    "cost 16": ({"BCRYPT_COST": "16"}, "BCRYPT_COST"),
    "in flight 1.5": ({"MAX_IN_FLIGHT": "1.5"}, "MAX_IN_FLIGHT"),
    "store too long": ({"STORE_ID": CANARY * 20}, "STORE_ID"),
    "no port": ({"ORDERING_HTTP_ADDR": CANARY}, "ORDERING_HTTP_ADDR"),
    "port 65536": ({"ORDERING_INTERNAL_ADDR": "127.0.0.1:65536"}, "ORDERING_INTERNAL_ADDR"),
    "port a word": ({"ORDERING_HTTP_ADDR": f"127.0.0.1:{CANARY}"}, "ORDERING_HTTP_ADDR"),
    "database away": ({"DATABASE_URL": NOWHERE}, "DATABASE_URL"),
    "quiet hours a word": ({"ALERT_QUIET_HOURS": CANARY}, "ALERT_QUIET_HOURS"),
    "quiet at 24": ({"ALERT_QUIET_HOURS": "22-24"}, "ALERT_QUIET_HOURS"),
    "quiet all day": ({"ALERT_QUIET_HOURS": "7-07"}, "ALERT_QUIET_HOURS"),
    "no such zone": ({"STORE_TIMEZONE": f"Europe/{CANARY}"}, "STORE_TIMEZONE"),
    "zone of a path": ({"STORE_TIMEZONE": f"../{CANARY}"}, "STORE_TIMEZONE"),
    "cap below 0": ({"ALERT_CAP_PER_DAY": "-1"}, "ALERT_CAP_PER_DAY"),
    "notifier a word": ({"NOTIFIER": CANARY}, "NOTIFIER"),
    "unknown NOTIFIER_": ({"NOTIFIER_ADDR": CANARY}, "NOTIFIER_ADDR"),
    "notifier without port": ({"NOTIFIER_HTTP_ADDR": CANARY}, "NOTIFIER_HTTP_ADDR"),
    "no mail server": ({"SMTP_URL": f"https://{CANARY}"}, "SMTP_URL"),
    "mail server without host": ({"SMTP_URL": f"smtp://:{CANARY}@"}, "SMTP_URL"),
    "no sender": ({"RECEIPT_FROM": f"{CANARY}@"}, "RECEIPT_FROM"),
    "no provider": ({"SMS_URL": f"https://{CANARY}:{CANARY}@host"}, "SMS_URL"),
}


@pytest.mark.parametrize(("changes", "named"), REFUSED.values(), ids=REFUSED.keys())
async def test_an_invalid_setting_is_refused_in_one_line_that_names_it(changes: dict[str, str], named: str) -> None:
    variables = environ(NOWHERE, "127.0.0.1:1", *free_ports(2), NOTIFIER="child") | changes
    with pytest.raises((SettingsError, StartError)) as refused:
        await asyncio.wait_for(app.main(variables, asyncio.Event()), TIMEOUT_S)
    line = str(refused.value)
    assert named in line
    assert "\n" not in line
    assert not [value for value in changes.values() if value and value in line]
    assert CANARY not in line


@pytest.mark.parametrize("given", [CANARY, f"postgresql://u:{CANARY}@127.0.0.1:port/x"])
async def test_a_malformed_database_url_is_refused_without_showing_it(given: str) -> None:
    variables = environ(given, "127.0.0.1:1", *free_ports(2))
    with pytest.raises((SettingsError, StartError), match="DATABASE_URL") as refused:
        await asyncio.wait_for(app.main(variables, asyncio.Event()), TIMEOUT_S)
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("setting", ["ORDERING_HTTP_ADDR", "ORDERING_INTERNAL_ADDR", "ANALYTICS_ZMQ_ADDR"])
async def test_a_port_in_use_names_its_setting(module_dsn: str, setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        variables = environ(module_dsn, "127.0.0.1:1", *free_ports(2))
        variables[setting] = f"tcp://{address}" if "ZMQ" in setting else address
        with pytest.raises(StartError, match=setting) as refused:
            await asyncio.wait_for(app.main(variables, asyncio.Event()), TIMEOUT_S)
    assert address in str(refused.value)


async def test_a_database_without_tables_names_the_migrate_command(gateway_dsn: str) -> None:
    connection = await asyncpg.connect(gateway_dsn)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()
    with pytest.raises(StartError, match="autogrocery migrate"):
        await asyncio.wait_for(
            app.main(environ(gateway_dsn, "127.0.0.1:1", *free_ports(2)), asyncio.Event()), TIMEOUT_S
        )


async def test_a_refused_start_is_one_line_and_exit_code_2() -> None:
    variables = environ(NOWHERE, "127.0.0.1:1", 0, 0, PREVIEW_TTL_S=CANARY)
    process = await command(variables, asyncio.subprocess.PIPE, asyncio.subprocess.PIPE)
    out, err = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
    assert (process.returncode, out) == (2, b"")
    assert err.decode().startswith("autogrocery gateway: PREVIEW_TTL_S is malformed")
    assert err.count(b"\n") == 1
    assert CANARY.encode() not in err


async def use_accounts(gateway: RunningGateway) -> list[str]:
    """Use every account route with valid and invalid requests; returns the texts that no log line may contain."""
    secret, mail, phone = f"password-{CANARY}", f"{CANARY}@example.org", "+15550107788"
    entry = {"device_id": "kiosk-1", "password": secret}
    login, refresh = "/api/client/login", "/api/client/refresh"
    assert (
        await gateway.request("POST", "/api/client/register", entry | {"email": mail, "phone": phone})
    ).status == 201
    assert (await gateway.request("POST", "/api/client/register", entry)).status == 409
    first = (await gateway.request("POST", login, entry)).json
    second = (await gateway.request("POST", refresh, token=first["refresh_token"])).json
    third = (await gateway.request("POST", refresh, token=second["refresh_token"])).json
    assert (
        await gateway.request("POST", refresh, token=first["refresh_token"])
    ).status == 401  # reuse of a refresh token, which is logged
    device = Device(gateway, 1, "kiosk-1", third["access_token"])
    for change in ({"password": secret + "x"}, {"email": secret}, {"device_id": secret}, {"password": secret + "\0"}):
        await gateway.request("POST", login, entry | change)
        await gateway.request("POST", "/api/client/register", entry | {"device_id": "kiosk-2"} | change)
    for raw in (secret.encode(), json.dumps(entry).encode()[:-1], b'{"password":"' + secret.encode() + b"\xff"):
        await gateway.request("POST", login, raw=raw)
    for token in (secret, third["access_token"] + "x"):
        await gateway.request(
            "GET", f"/api/client/{secret}?token={secret}", token=token, headers={"x-request-id": f"<{secret}>"}
        )
    order_id = await device.processing()
    await gateway.send_webhook(webhook_body(order_id))
    await gateway.send_webhook(webhook_body(order_id, "FAILED"), key="whsec_" + "enpo" * 11)
    await device.post("/api/client/password", {"password": secret, "new_password": secret + "-2"})
    bad = await gateway.device()
    await bad.preview(**{secret: 1})
    sent = [pair[name] for pair in (first, second, third) for name in ("access_token", "refresh_token")]
    return [CANARY, phone, "107788", "eyJ", "$2b$", DEVICE_KEY, *WEBHOOK_KEYS, *sent]


async def test_the_log_is_json_lines_without_secrets_or_personal_data(module_dsn: str, tmp_path: Path) -> None:
    async with start_gateway_process(module_dsn, tmp_path) as running:
        never = await use_accounts(running.gateway)
        running.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.process.wait(), TIMEOUT_S) == 0
    text, events = running.stderr.read_text(), [line["event"] for line in running.lines()]
    assert {"gateway_started", "order_dispatched", "order_finished", "gateway_stopping"} <= set(events)
    assert all(line["role"] == "gateway" and line["level"] in {"info", "warning"} for line in running.lines())
    assert not [word for word in never if word in text]
    assert running.stdout.read_bytes() == b""


def workers(parent: int) -> list[int]:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in children if b"password_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


async def test_a_password_worker_that_is_killed_is_replaced(module_dsn: str, tmp_path: Path) -> None:
    async with start_gateway_process(module_dsn, tmp_path) as running:
        entry = {"device_id": "kiosk-9", "password": "correct horse battery"}
        assert (await running.gateway.request("POST", "/api/client/register", entry)).status == 201
        found = workers(running.process.pid)
        assert found
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        assert [(await running.gateway.request("POST", "/api/client/login", entry)).status for _ in range(2)] == [
            200,
            200,
        ]


async def test_a_confirm_in_progress_is_answered_before_the_gateway_ends(module_dsn: str, tmp_path: Path) -> None:
    async with start_gateway_process(module_dsn, tmp_path) as running:
        device, fake_inventory = await running.gateway.device(), running.gateway.fake_inventory
        order_id = await device.previewed()
        fake_inventory.gate = asyncio.Event()
        confirming = asyncio.create_task(device.confirm(order_id))
        await until(lambda: fake_inventory.calls["AssignRobots"])
        running.process.send_signal(signal.SIGTERM)
        await until(lambda: "gateway_stopping" in running.stderr.read_text())
        fake_inventory.gate.set()
        assert (await confirming).json["status"] == "PROCESSING"
        assert await asyncio.wait_for(running.process.wait(), TIMEOUT_S) == 0
