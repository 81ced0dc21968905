"""A backup under load, restored to a point in time: what was acknowledged before it is there, and the audit is clean.

The commands are those of docs/RUNBOOK.md#back-up-and-restore.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import asyncpg
import pytest

from autogrocery.kit.pg.migrate import migrate
from autogrocery.lab.postgres.binaries import find_binaries, popen_as, server_account
from autogrocery.lab.postgres.cluster import USER, server_environment
from autogrocery.lab.postgres.embedded import EmbeddedPostgres
from tests.harness.homes import temporary_home
from tests.harness.running_gateway import serve_gateway, webhook_body
from tests.harness.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.running_gateway import Device

pytestmark = pytest.mark.timeout(150)
DATABASE = "gateway"
DEVICES = 8
PAUSE_S = 0.12
TIMEOUT_S = 60.0
MIDWAY_S = 0.15
ORDERS = 20  # acknowledged between one step and the next


class Acknowledged:
    """Every completed order, in the order of its acknowledgement."""

    def __init__(self) -> None:
        self.completed: list[str] = []
        self.stopping = asyncio.Event()

    async def order(self, device: Device) -> None:
        """Complete orders until stopped."""
        while not self.stopping.is_set():
            order_id = await device.processing()
            assert (await device.gateway.send_webhook(webhook_body(order_id))).status == 200
            self.completed.append(order_id)
            await asyncio.sleep(PAUSE_S)

    async def more(self) -> None:
        """Wait until some more are acknowledged."""
        wanted = len(self.completed) + ORDERS
        await until(lambda: len(self.completed) >= wanted, TIMEOUT_S)


async def back_up(server: EmbeddedPostgres, into: Path) -> None:
    """Copy the running cluster into an empty directory, whose home gets the password."""
    account = server_account(server.data_directory)
    await asyncio.to_thread(_make_home, into, server)
    process = await asyncio.create_subprocess_exec(
        str(server.binaries.directory / "pg_basebackup"),
        *("-D", str(into / "data"), "-c", "fast", "--no-sync", "-X", "none"),
        *("-d", f"host=127.0.0.1 port={server.port} user={USER}"),
        cwd="/",
        env=server_environment() | {"PGPASSWORD": server.password_file.read_text().strip()},
        **popen_as(account),
    )
    async with asyncio.timeout(TIMEOUT_S):
        assert await process.wait() == 0


def _make_home(home: Path, like: EmbeddedPostgres) -> None:
    home.mkdir(mode=0o711)
    (home / "data").mkdir(mode=0o700)
    shutil.copy(like.password_file, home / "password")
    if account := server_account(like.data_directory):
        os.chown(home / "data", account.uid, account.gid)


async def ask(dsn: str, sql: str) -> object:
    connection = await asyncpg.connect(dsn, timeout=TIMEOUT_S)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_restore_to_a_point_keeps_what_was_acknowledged_before_it_and_nothing_after() -> None:
    with temporary_home(on_disk=True) as place:
        archive = place / "archive"
        archive.mkdir(mode=0o777)
        archive.chmod(0o777)
        copy = f"test ! -f {shlex.quote(str(archive))}/%f && cp %p {shlex.quote(str(archive))}/%f"
        archiving = {"archive_mode": "on", "archive_command": copy, "archive_timeout": "60"}
        first = EmbeddedPostgres(place / "first", find_binaries(os.environ), settings=archiving)
        first.start()
        try:
            before, after = await _orders_around_a_point(first, place / "backup")
        finally:
            first.stop()  # its last segment is archived
        interrupted = _restore(place / "backup", place / "interrupted", archive, before[1])
        _stop_midway(EmbeddedPostgres(interrupted, first.binaries))
        second = EmbeddedPostgres(_restore(place / "backup", place / "second", archive, before[1]), first.binaries)
        second.start()
        try:
            await until(lambda: ask(second.dsn(DATABASE), "SELECT NOT pg_is_in_recovery()"), TIMEOUT_S)
            async with serve_gateway(second.dsn(DATABASE)) as gateway:  # requires a clean audit at its end
                rows = await gateway.db.rows("SELECT order_id::text FROM grocery_orders WHERE status = 'COMPLETED'")
        finally:
            second.kill()
            second.stop()
    found = {row["order_id"] for row in rows}
    assert set(before[0]) <= found
    assert not found & set(after)


async def _orders_around_a_point(server: EmbeddedPostgres, backup: Path) -> tuple[tuple[list[str], str], list[str]]:
    """Order, back up meanwhile, note a point in time, and order on.

    Returns the orders that were completed before the point, with the point, and those that began after it.
    """
    await server.ensure_database(DATABASE)
    dsn = server.dsn(DATABASE)
    await migrate(dsn, "autogrocery.gateway.store.migrations", "public")
    async with serve_gateway(dsn) as gateway:
        acknowledged = Acknowledged()
        devices = [await gateway.device() for _ in range(DEVICES)]
        async with asyncio.TaskGroup() as clients:
            for device in devices:
                clients.create_task(acknowledged.order(device))
            await acknowledged.more()
            await back_up(server, backup)
            await acknowledged.more()
            before = list(acknowledged.completed)
            point = str(await ask(dsn, "SELECT clock_timestamp()"))
            await asyncio.sleep(PAUSE_S * 4)  # orders that were under way at the point
            later = len(acknowledged.completed)
            await acknowledged.more()
            acknowledged.stopping.set()
    started = await ask(dsn, f"SELECT array_agg(order_id::text) FROM grocery_orders WHERE created_at > '{point}'")
    assert isinstance(started, list)
    assert acknowledged.completed[later:]
    return (before, point), [one for one in acknowledged.completed if one in started]


def _stop_midway(restoring: EmbeddedPostgres) -> None:
    """Kill a restore soon after its start. It is begun anew from the backup.

    The server may have taken itself for restored, and would then replay its log beyond the point at its next start.
    """
    restoring.prepare()
    restoring.launch()
    time.sleep(MIDWAY_S)
    restoring.kill()
    restoring.stop()


def _restore(backup: Path, home: Path, archive: Path, point: str) -> Path:
    """Copy a backup and have its server recover to a point; returns the copy."""
    subprocess.run(["cp", "-a", backup, home], check=True)
    with (home / "data" / "postgresql.auto.conf").open("a") as settings:
        settings.write(
            f"restore_command = 'cp {shlex.quote(str(archive))}/%f %p'\n"
            f"recovery_target_time = '{point}'\n"
            "recovery_target_action = 'promote'\n"
        )
    signal_file = home / "data" / "recovery.signal"
    signal_file.touch()
    if account := server_account(home / "data"):
        os.chown(signal_file, account.uid, account.gid)
    return home
