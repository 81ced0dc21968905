"""What goes wrong with a store that runs: it is away, its disk is full, a part is damaged, a spooled batch is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from autogrocery.analytics.actions.store_batches import store_batches
from autogrocery.analytics.core.batch import BATCH_FACTS, MAX_WAITING
from autogrocery.analytics.core.counters import Counters
from autogrocery.analytics.core.marks import Mark
from autogrocery.analytics.store.backlog import Backlog
from autogrocery.analytics.store.embedded import open_embedded
from autogrocery.analytics.store.fact_store import FactStore
from autogrocery.analytics.store.server import address_of, open_server
from autogrocery.analytics.store.spool import Spool
from autogrocery.kit.process import faults
from autogrocery.kit.process.faults import Fault, Mode, SimulatedDeath
from autogrocery.lab.ports import free_ports
from tests.harness.analytics_gateway import engine
from tests.harness.clickhouse_server import clickhouse_server
from tests.harness.fact_stores import FOREVER, Totals, batch, change, fact, fact_store, totals

if TYPE_CHECKING:
    from tests.harness.analytics_gateway import FakeMetricsLog
    from tests.harness.publishers import Publisher

NOW_US: Final = 1_800_000_000_000_000
TIMEOUT_S: Final = 60.0
ONE_PART: Final = """
-- test.part
SELECT path FROM system.parts WHERE active AND table = 'facts' ORDER BY name LIMIT 1
"""
FILL_DISK: Final = """
import asyncio, os, sys
from pathlib import Path
from autogrocery.kit.errors import Unavailable
from tests.harness.fact_stores import batch, fact, fact_store, totals

async def main():
    place = Path(sys.argv[1])
    async with fact_store(place / "store") as store:
        await store.write(batch(fact(number) for number in range(1, 1_001)), 1)
        with (place / "filler").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(1 << 14))
            except OSError as error:
                print("full:", error.strerror)
        refused = 0
        for attempt in range(3):
            try:
                await store.write(batch(fact(number) for number in range(1_001, 5_001)), 2)
                await store.compute_minutes()
            except Unavailable as error:
                refused += 1
                print(error.detail)
        (place / "filler").unlink()
        await store.write(batch(fact(number) for number in range(1_001, 5_001)), 2)
        await store.compute_minutes()
        print("refused", refused, await totals(store.engine), list(store.marks))

asyncio.run(main())
"""


WITHOUT_EXTRA: Final = """
import asyncio, os, sys
from importlib.machinery import PathFinder

class WithoutExtra(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in {"chdb", "clickhouse_connect"} else PathFinder.find_spec(name, path, target)

sys.meta_path[:] = [WithoutExtra if one is PathFinder else one for one in sys.meta_path]
from autogrocery.analytics.app import main
from autogrocery.kit.process.run import run

async def stop_soon(environ, stop):
    asyncio.get_running_loop().call_later(0.5, stop.set)
    await main(environ, stop)

sys.exit(run("analytics", stop_soon, os.environ))
"""


async def test_batches_wait_on_disk_while_the_server_is_away(home: Path) -> None:
    async with clickhouse_server(home / "server") as server, open_server(address_of(server.url)) as client:
        backlog, counters = Backlog(FactStore(client, FOREVER), Spool(home / "spool", 1 << 20)), Counters()
        for start in range(1, 501, 50):
            for number in range(start, start + 50):
                backlog.waiting.add(fact(number))
            assert not await store_batches(backlog, counters)
        assert (backlog.spooled, len(backlog.waiting)) == (10, 0)
        assert not backlog.keeps_up
        # The process ends here; another one finds the files.
        backlog = Backlog(FactStore(client, FOREVER), Spool(home / "spool", 1 << 20))
        async with server.serving():
            while await store_batches(backlog, counters):
                pass
            await backlog.flush()
            assert backlog.keeps_up
            assert await totals(client) == Totals(500, 500, 50_000, 50_000)
            assert list(backlog.store.marks) == [Mark(1, 1, 500)]
    assert not list((home / "spool").iterdir())


async def test_full_spool_leaves_batches_in_memory_until_there_is_no_room(home: Path) -> None:
    async with clickhouse_server(home / "server") as server, open_server(address_of(server.url)) as client:
        backlog, counters = Backlog(FactStore(client, FOREVER), Spool(home / "spool", 1 << 20)), Counters()
        number = 0
        while backlog.waiting.has_room:
            for _ in range(BATCH_FACTS):
                number += 1
                backlog.waiting.add(fact(number))
            await store_batches(backlog, counters)
        assert backlog.spooled >= 1
        assert len(backlog.waiting) <= MAX_WAITING
        assert sum(file.stat().st_size for file in (home / "spool").iterdir()) <= 1 << 20
        async with server.serving():
            await backlog.load(counters)
            await backlog.flush()
            assert await totals(client) == Totals(number, number, number * 100, number * 100)


async def test_role_stores_everything_that_was_sent_while_its_server_was_away(
    home: Path, metrics_log: FakeMetricsLog, publisher: Publisher
) -> None:
    changes = [change(number) for number in range(1, 2_001)]
    async with clickhouse_server(home / "server") as server, metrics_log.served():
        settings = {"ANALYTICS_URL": server.url, "AUTOGROCERY_HOME": str(home)}
        for part in (changes[:700], changes[700:1_300]):
            async with engine(home, metrics_log, publisher.address, **settings) as running:
                await publisher.subscribed()
                metrics_log.write(*part)
                await publisher.send(*part[::2])
                await running.shows(lambda figures: figures["store"]["spooled_batches"])
            await publisher.unsubscribed()
        async with server.serving(), engine(home, metrics_log, publisher.address, **settings) as running:
            await publisher.subscribed()
            metrics_log.write(*changes[1_300:])
            await publisher.send(*changes[1_300:])
            figures = await running.shows(lambda figures: figures["unique"] == 2_000, 30.0)
            assert figures["gaps_open"] == 0
        assert await totals(server.engine) == Totals(2_000, 2_000, 200_000, 200_000)


async def test_what_neither_spool_nor_memory_has_room_for_is_read_from_the_log_afterwards(
    home: Path, metrics_log: FakeMetricsLog, publisher: Publisher
) -> None:
    metrics_log.page = BATCH_FACTS
    changes = [change(number) for number in range(1, 10 * BATCH_FACTS + 1)]
    async with clickhouse_server(home / "server") as server, metrics_log.served():
        settings = {"ANALYTICS_URL": server.url, "AUTOGROCERY_HOME": str(home), "ANALYTICS_SPOOL_MB": "1"}
        async with engine(home, metrics_log, publisher.address, **settings) as running:
            await publisher.subscribed()
            metrics_log.write(*changes)
            await publisher.send(*changes)
            figures = await running.shows(lambda figures: figures["store"]["rows_behind"] >= MAX_WAITING, 30.0)
            assert figures["store"]["rows_behind"] < len(changes)
            assert sum(file.stat().st_size for file in (home / "analytics" / "spool").iterdir()) <= 1 << 20
            async with server.serving():
                await running.shows(lambda figures: figures["unique"] == len(changes), 45.0)
        assert (await totals(server.engine)).facts == len(changes)


@pytest.mark.parametrize("how", ["overwrite", "truncate"])
async def test_damaged_part_is_set_aside_and_its_facts_are_asked_for_again(
    home: Path, metrics_log: FakeMetricsLog, publisher: Publisher, how: str
) -> None:
    metrics_log.write(*map(change, range(1, 301)))
    async with fact_store(home / "analytics") as store:
        for start in (1, 101, 201):
            await store.write(batch(fact(number) for number in range(start, start + 100)), NOW_US + start)
        await store.compute_minutes()
        (part,) = await store.engine.rows(ONE_PART, dict)
    _damage(f"{part['path']}/data.bin", how)
    settings = {"AUTOGROCERY_HOME": str(home)}
    async with metrics_log.served(), engine(home, metrics_log, publisher.address, **settings) as running:
        figures = await running.shows(lambda figures: figures["from_log"] >= 100 and figures["gaps_open"] == 0)
    assert figures["unique"] == 300
    async with fact_store(home / "analytics") as store:
        assert await totals(store.engine) == Totals(300, 300, 30_000, 30_000)
        assert list(store.marks) == [Mark(1, 1, 300)]


@pytest.mark.parametrize("point", ["damage.detach", "damage.forget_marks", "facts.add_minutes"])
async def test_repair_that_died_is_begun_again(home: Path, point: str) -> None:
    async with fact_store(home) as store:
        await store.write(batch(fact(number) for number in range(1, 101)), NOW_US)
        (part,) = await store.engine.rows(ONE_PART, dict)
        await store.write(batch(fact(number) for number in range(101, 201)), NOW_US)
        await store.compute_minutes()
    _damage(f"{part['path']}/data.bin", "overwrite")

    async def repair() -> None:
        async with open_embedded(home) as engine:
            store = FactStore(engine, FOREVER)
            await store.repair()
            await store.load()
            await store.compute_minutes()

    with faults.arm(Fault(point, Mode.KILL_AFTER), simulated=True), pytest.raises(SimulatedDeath):
        await repair()
    async with fact_store(home) as store:
        assert list(store.marks) == [Mark(1, 101, 200)]
        await store.write(batch(fact(number) for number in range(1, 101)), NOW_US)
        await store.compute_minutes()
        assert await totals(store.engine) == Totals(200, 200, 20_000, 20_000)
    async with fact_store(home) as store:
        assert list(store.marks) == [Mark(1, 1, 200)]
        assert not store.has_uncomputed_minutes


def _damage(file: str, how: str) -> None:
    size = Path(file).stat().st_size
    if how == "truncate":
        os.truncate(file, size // 2)
        return
    with Path(file).open("r+b") as damaged:
        damaged.seek(size // 2)
        damaged.write(bytes(255 - byte for byte in damaged.read(64)) or b"\0")


async def test_damaged_spooled_batch_is_set_aside_and_not_marked(home: Path) -> None:
    spool = Spool(home / "spool", 1 << 20)
    for number in (1, 2):
        assert await spool.append(batch([fact(number)], number))
    first = min((home / "spool").iterdir())
    first.write_bytes(first.read_bytes()[:-3])
    async with fact_store(home / "store") as store:
        backlog = Backlog(store, Spool(home / "spool", 1 << 20))
        await backlog.flush()
        assert list(store.marks) == [Mark(1, 2, 2)]
    assert [file.suffix for file in (home / "spool").iterdir()] == [".damaged"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_disk_that_is_full_refuses_batches_until_there_is_room(home: Path) -> None:
    mount = 'mount -t tmpfs -o size=16m none "$0" && exec "$1" -c "$2" "$0"'
    command = ["unshare", "--mount", "sh", "-c", mount, str(home), sys.executable, FILL_DISK]
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("not allowed to mount")
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert "refused 3 " in ended.stdout, ended.stdout + ended.stderr
    assert str(Totals(5_000, 5_000, 500_000, 500_000)) in ended.stdout
    assert str([Mark(1, 1, 5_000)]) in ended.stdout


def test_role_without_the_extra_counts_and_says_so(home: Path) -> None:
    (port,) = free_ports(1)
    environ = {**os.environ, "AUTOGROCERY_HOME": str(home), "ANALYTICS_ZMQ_ADDR": f"tcp://127.0.0.1:{port}"}
    command = [sys.executable, "-c", WITHOUT_EXTRA]
    ended = subprocess.run(command, env=environ, check=False, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert ended.returncode == 0, ended.stderr
    assert "the extra is not installed: pip install 'autogrocery[analytics]'" in ended.stderr
    assert not list(home.iterdir())


async def test_status_says_why_facts_are_not_stored(
    tmp_path: Path, metrics_log: FakeMetricsLog, publisher: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    async with engine(tmp_path, metrics_log, publisher.address, ANALYTICS_URL="memory:") as running:
        figures = await running.shows(lambda figures: figures)
    assert figures["store"] is None
    assert "facts_are_not_stored" in capsys.readouterr().err
