from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import aiohttp
import pytest

from autogrocery.analytics.app import main
from autogrocery.analytics.settings import Endpoints, Settings, load
from autogrocery.contracts.analytics.metric import encode
from autogrocery.kit.process.run import StartError
from autogrocery.kit.process.settings import SettingsError
from autogrocery.lab.ports import free_ports
from tests.harness.analytics_gateway import engine, metric
from tests.harness.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.analytics_gateway import FakeMetricsLog
    from tests.harness.publishers import Publisher


async def test_published_metrics_are_counted_once(
    tmp_path: Path, metrics_log: FakeMetricsLog, publisher: Publisher
) -> None:
    numbers = [metric(number) for number in (1, 3, 2, 3, 4)]
    async with metrics_log.served(), engine(tmp_path, metrics_log, publisher.address) as running:
        await publisher.subscribed()
        await publisher.send(*numbers)
        figures = await running.shows(lambda figures: figures["received"] == 5)
    assert (figures["unique"], figures["duplicates"], figures["invalid"], figures["gaps_open"]) == (4, 1, 0, 0)
    assert figures["duration_ms"]["count"] == 4
    assert figures["epochs"] == [{"epoch": 1, "last_sequence": 4, "seen": 4}]
    assert figures["updated_at"].endswith("Z")


async def test_lost_messages_are_recovered_from_the_log(
    tmp_path: Path, metrics_log: FakeMetricsLog, publisher: Publisher
) -> None:
    async with metrics_log.served(), engine(tmp_path, metrics_log, publisher.address) as running:
        await publisher.subscribed()
        await until(lambda: metrics_log.queries)
        every = [metric(number) for number in range(1, 301)]
        metrics_log.write(*every)
        await publisher.send(*(one for one in every if one.sequence == 1 or one.sequence % 3))
        figures = await running.shows(lambda figures: figures["unique"] == 300)
    assert (figures["gaps_open"], figures["gaps_recovered"], figures["duplicates"]) == (0, 100, 0)


async def test_tail_of_an_ended_epoch_is_recovered(
    tmp_path: Path, metrics_log: FakeMetricsLog, publisher: Publisher
) -> None:
    async with metrics_log.served(), engine(tmp_path, metrics_log, publisher.address) as running:
        await publisher.subscribed()
        await until(lambda: metrics_log.queries)  # the past is read at the start, while the log is empty
        metrics_log.write(metric(1), metric(2))
        await publisher.send(metric(1), metric(2))
        await running.shows(lambda figures: figures["unique"] == 2)
        metrics_log.write(*(metric(number) for number in range(3, 6)))
        metrics_log.write(metric(1, epoch=2))
        await publisher.send(metric(1, epoch=2))
        figures = await running.shows(lambda figures: figures["unique"] == 6)
    assert (figures["gaps_open"], figures["gaps_recovered"]) == (0, 3)


async def test_void_number_closes_its_gap(tmp_path: Path, metrics_log: FakeMetricsLog, publisher: Publisher) -> None:
    async with metrics_log.served(), engine(tmp_path, metrics_log, publisher.address) as running:
        await publisher.subscribed()
        metrics_log.write(metric(1), metric(3))
        await publisher.send(metric(1), metric(3))
        await running.shows(lambda figures: figures["gaps_open"] == 1)
        metrics_log.void[1] = [2]
        figures = await running.shows(lambda figures: figures["gaps_open"] == 0)
    assert (figures["voids"], figures["unique"], figures["gaps_recovered"]) == (1, 2, 0)


async def test_engine_started_late_reads_the_past_from_the_log(
    tmp_path: Path, metrics_log: FakeMetricsLog, publisher: Publisher
) -> None:
    metrics_log.write(*(metric(number, epoch=epoch) for epoch in (1, 2) for number in range(1, 251)))
    async with metrics_log.served(), engine(tmp_path, metrics_log, publisher.address) as running:
        figures = await running.shows(lambda figures: figures["unique"] == 500)
    assert (figures["from_log"], figures["gaps_open"], figures["gaps_recovered"], figures["received"]) == (500, 0, 0, 0)


async def test_engine_fills_gaps_once_the_log_is_available(
    tmp_path: Path, metrics_log: FakeMetricsLog, publisher: Publisher
) -> None:
    async with engine(tmp_path, metrics_log, publisher.address) as running:
        await publisher.subscribed()
        metrics_log.write(metric(1), metric(2))
        await publisher.send(metric(2))
        await running.shows(lambda figures: (figures["unique"], figures["gaps_open"]) == (1, 1))
        async with metrics_log.served():
            await running.shows(lambda figures: (figures["unique"], figures["gaps_open"]) == (2, 0))


async def test_epoch_unknown_to_the_log_does_not_block_others(
    tmp_path: Path, metrics_log: FakeMetricsLog, publisher: Publisher
) -> None:
    async with metrics_log.served(), engine(tmp_path, metrics_log, publisher.address) as running:
        await publisher.subscribed()
        metrics_log.write(metric(1), metric(2))
        await publisher.send(metric(3, epoch=(1 << 64) - 1), metric(2))
        figures = await running.shows(lambda figures: figures["unique"] == 3 and figures["gaps_open"] == 2)
    assert "18446744073709551615" not in {query.get("epoch") for query in metrics_log.queries}
    assert (1 << 64) - 1 in {
        one["epoch"] for one in figures["epochs"]
    }  # their order depends on which message came last


async def test_malformed_messages_are_counted_as_invalid(
    tmp_path: Path, metrics_log: FakeMetricsLog, publisher: Publisher
) -> None:
    async with metrics_log.served(), engine(tmp_path, metrics_log, publisher.address) as running:
        await publisher.subscribed()
        for frames in ((b"",), (b"garbage" * 9,), (encode(metric(1))[:60],), (b"topic", encode(metric(1)))):
            await publisher.send_raw(*frames)
        await publisher.send(metric(1))
        figures = await running.shows(lambda figures: figures["received"] == 5)
    assert (figures["invalid"], figures["unique"]) == (4, 1)


async def test_malformed_response_of_the_log_changes_nothing(
    tmp_path: Path, metrics_log: FakeMetricsLog, publisher: Publisher
) -> None:
    metrics_log.last[1] = "many"  # type: ignore[assignment]
    async with metrics_log.served(), engine(tmp_path, metrics_log, publisher.address) as running:
        await publisher.subscribed()
        await publisher.send(metric(1))
        await running.shows(lambda figures: figures["unique"] == 1 and len(metrics_log.queries) > 1)


async def test_figures_are_printed_on_one_line(
    tmp_path: Path, metrics_log: FakeMetricsLog, publisher: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics_log.write(metric(1))
    printed = ""
    async with metrics_log.served(), engine(tmp_path, metrics_log, publisher.address), asyncio.timeout(20.0):
        while "COMPLETED" not in printed:
            printed = capsys.readouterr().out
            await asyncio.sleep(0.05)
    assert "1 metrics" in printed
    assert "p50 1.0 s" in printed
    assert "gaps open 0" in printed


async def test_figures_and_lag_are_served_over_http(
    home: Path, metrics_log: FakeMetricsLog, publisher: Publisher
) -> None:
    port = free_ports(1)[0]
    settings = {"ANALYTICS_HTTP_ADDR": f"127.0.0.1:{port}", "AUTOGROCERY_HOME": str(home)}
    async with (
        metrics_log.served(),
        engine(home, metrics_log, publisher.address, **settings) as running,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        await publisher.subscribed()
        await publisher.send(metric(1, occurred_at_us=(time.time_ns() // 1_000) - 60_000_000), metric(3))
        await publisher.send_raw(b"garbage")
        await running.shows(lambda figures: (figures["unique"], figures["gaps_open"]) == (2, 1))
        async with session.get("/status") as response:
            status = await response.json()
        async with session.get("/metrics") as response:
            lines = dict(line.rsplit(" ", 1) for line in (await response.text()).splitlines() if line[0] != "#")
    assert status["store"]["available"] is True
    assert status["store"]["rows_behind"] == 0
    assert 60.0 <= float(lines["analytics_newest_fact_age_seconds"]) < 120.0
    assert lines["analytics_gaps_open"] == "1.0"
    assert lines["analytics_rows_behind"] == "0.0"
    assert lines["analytics_frames_poisoned"] == "1.0"
    assert lines["analytics_store_available"] == "1.0"
    assert lines['analytics_status_changes{status="COMPLETED"}'] == "2.0"


async def test_each_start_asks_for_the_epochs_since_the_first_one(
    home: Path, metrics_log: FakeMetricsLog, publisher: Publisher
) -> None:
    first: list[dict[str, str]] = []
    async with metrics_log.served():
        for _ in range(2):
            metrics_log.queries.clear()
            async with engine(home, metrics_log, publisher.address, AUTOGROCERY_HOME=str(home)):
                await until(lambda: metrics_log.queries)
            first.append(metrics_log.queries[0])
    assert first[0] == first[1]
    assert abs(int(first[0]["since"]) - (time.time() - 7 * 86_400)) < 60


@pytest.mark.parametrize(
    ("environ", "addresses", "binds"),
    [
        ({}, ["tcp://127.0.0.1:5557"], False),
        ({"ANALYTICS_ZMQ_ADDR": "tcp://a:1,@tcp://b:2"}, ["tcp://a:1", "tcp://b:2"], False),
        ({"ANALYTICS_ZMQ_ADDR": ">tcp://a:1"}, ["tcp://a:1"], True),
        (
            {"ANALYTICS_ZMQ_ADDR": "tcp://x:1", "ANALYTICS_ZMQ_TARGET": "tcp://a:1, >tcp://b:2"},
            ["tcp://a:1", "tcp://b:2"],
            False,
        ),
        ({"ANALYTICS_ZMQ_TARGET": "@tcp://a:1"}, ["tcp://a:1"], True),
    ],
)
def test_subscription_binds_where_the_publisher_connects(
    environ: dict[str, str], addresses: list[str], binds: object
) -> None:
    assert load(environ).subscription == Endpoints(addresses, bool(binds))


def test_addresses_that_connect_and_bind_raise_settings_error() -> None:
    with pytest.raises(SettingsError, match="ANALYTICS_ZMQ_ADDR"):
        _ = Settings(analytics_zmq_addr=">tcp://a:1,tcp://b:2").subscription


@pytest.mark.parametrize(
    "invalid", [{"ANALYTICS_ZMQ_TARGET": "nowhere"}, {"ANALYTICS_STATUS_FILE": "/nowhere/at/all.json"}]
)
async def test_unusable_address_or_status_file_raises_start_error(invalid: dict[str, str]) -> None:
    with pytest.raises(StartError, match=next(iter(invalid))):
        await main({"ANALYTICS_ZMQ_ADDR": f"tcp://127.0.0.1:{free_ports(1)[0]}", **invalid}, asyncio.Event())
