"""A notifier ended by SIGKILL at each of its I/O points, and replaced by another: nothing is lost, and what is sent
twice is the same bytes under the same key."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from autogrocery.kit.ids import uuid7
from tests.harness import figures
from tests.harness.fake_sms import serve_sms
from tests.harness.gateway_actions import add_device, open_gateway_actions
from tests.harness.mail_server import serve_smtp
from tests.harness.notifier_process import running_notifier, start_notifier, tail
from tests.harness.waiting import until

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from autogrocery.kit.pg.db import Db
    from tests.harness.gateway_actions import GatewayActions

ORDERS = 3
KILLED_S = 30.0
SENDING = (
    "receipt_outbox.claim",
    "mail.send",
    "receipt_outbox.settle",
    "alert_outbox.claim",
    "alerts.lock_device",
    "alerts.admit",
    "pg.commit",
    "sms.send",
    "alert_outbox.settle",
)
WITHOUT_SERVERS = ("mail.write", "sms.log")
CASES = [(point, mode, nth) for point in SENDING for mode in ("kill-before", "kill-after") for nth in (1, 2)]


class Copies:
    """Keeps every copy of every mail by its Message-ID."""

    def __init__(self) -> None:
        self.by_name: dict[str, list[bytes]] = {}

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:
        content: bytes = envelope.content
        name = next(line for line in content.splitlines() if line.startswith(b"Message-ID: "))
        self.by_name.setdefault(name.decode().removeprefix("Message-ID: "), []).append(content)
        return "250 OK"


async def ended_orders(gateway: GatewayActions) -> list[UUID]:
    """End orders of devices with an address and a number, each picked short: each owes a receipt and an alert."""
    made = []
    for _ in range(ORDERS):
        user_id = await add_device(gateway.db, uuid7().hex)
        await gateway.db.run(
            "UPDATE smart_devices SET email = 'kitchen@home.example', phone = '+15550177' WHERE id = $1", user_id
        )
        mine = replace(gateway, user_id=user_id)
        order = await mine.preview(milk=2, bread=3)
        await mine.confirm(order.order_id)
        await mine.complete(order.order_id, picked={"milk": 2, "bread": 1})
        made.append(order.order_id)
    return made


async def owed(db: Db) -> int:
    row = await db.row(
        "SELECT (SELECT count(*) FROM receipt_outbox WHERE done_at IS NULL)"
        " + (SELECT count(*) FROM alert_outbox WHERE done_at IS NULL) AS owed"
    )
    assert row is not None
    return int(row["owed"])


async def has_no_session(db: Db) -> bool:
    row = await db.row(
        "SELECT count(*) AS sessions FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'notifier'"
    )
    assert row is not None
    return int(row["sessions"]) == 0


async def kill_and_replace(db: Db, dsn: str, log: Path, fault: str, **settings: str) -> None:
    """Run a notifier that dies at the fault, let its leases end, and run another until nothing is owed."""
    process = await start_notifier(dsn, log, fault, **settings)
    status = await asyncio.wait_for(process.wait(), KILLED_S)
    assert status == -9, (fault, tail(log))
    assert await owed(db) > 0 or ".settle:kill-after" in fault, f"{fault}: it had settled everything before"
    await until(lambda: has_no_session(db))  # of the one that was killed: a claim may still be under way
    for table in ("receipt_outbox", "alert_outbox"):
        await db.run(f"UPDATE {table} SET next_attempt_at = now() WHERE done_at IS NULL")
    async with running_notifier(dsn, log, **settings):
        await until(lambda: nothing_owed(db))


async def nothing_owed(db: Db) -> bool:
    return await owed(db) == 0


@pytest.mark.timeout(600)
@pytest.mark.parametrize("point", SENDING)
async def test_a_notifier_killed_at_any_point_loses_nothing(
    gateway_db: Db, gateway_dsn: str, tmp_path: Path, point: str
) -> None:
    kills = 0
    async with open_gateway_actions(gateway_db) as gateway, serve_sms() as provider:
        for _, mode, nth in (case for case in CASES if case[0] == point):
            if nth > 1 and point.endswith(".settle"):
                continue  # one statement settles the batch
            copies = Copies()
            made = await ended_orders(gateway)
            with serve_smtp(copies) as address:
                fault = f"{point}:{mode}:{nth if not point.endswith('.claim') else 1}"
                settings = {"SMTP_URL": f"smtp://{address}", "SMS_URL": provider.url}
                await kill_and_replace(gateway_db, gateway_dsn, tmp_path / "log", fault, **settings)
            kills += 1
            assert copies.by_name.keys() == {f"<{order_id}@autogrocery.invalid>" for order_id in made}, fault
            assert all(len(sent) <= 2 and len(set(sent)) == 1 for sent in copies.by_name.values()), fault
            keys = [message.key for message in provider.accepted]
            assert {f"{order_id}-partial" for order_id in made} <= set(keys), fault
            assert all(keys.count(key) <= 2 for key in keys), fault
    figures.record(points=1, kills=kills)


@pytest.mark.parametrize("point", WITHOUT_SERVERS)
@pytest.mark.parametrize("mode", ["kill-before", "kill-after"])
async def test_a_notifier_without_servers_killed_at_any_point_loses_nothing(
    gateway_db: Db, gateway_dsn: str, tmp_path: Path, point: str, mode: str
) -> None:
    async with open_gateway_actions(gateway_db) as gateway:
        made = await ended_orders(gateway)
        home = {"AUTOGROCERY_HOME": str(tmp_path)}
        await kill_and_replace(gateway_db, gateway_dsn, tmp_path / "log", f"{point}:{mode}:2", **home)
        files = sorted(file.name for file in (tmp_path / "receipts").iterdir())
        assert files == sorted(f"{order_id}.eml" for order_id in made)
