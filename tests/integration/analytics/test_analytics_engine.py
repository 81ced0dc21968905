from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import zmq
import zmq.asyncio

from autogrocery.analytics.app import main
from autogrocery.analytics.settings import Settings, load
from autogrocery.contracts.analytics.metric import OrderMetric, encode
from autogrocery.kit.process.run import StartError
from autogrocery.kit.process.settings import SettingsError
from tests.harness.analytics_gateway import History, engine, free_port, metric, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Publisher:
    """A socket that says when a subscriber has come, so that nothing is lost but what a test wants lost."""

    def __init__(self, socket: zmq.asyncio.Socket, address: str) -> None:
        self._socket = socket
        self.address = address

    async def subscribed(self) -> None:
        async with asyncio.timeout(10.0):
            await self._socket.recv()

    async def send(self, *metrics: OrderMetric) -> None:
        for one in metrics:
            await self._socket.send(encode(one))

    async def send_raw(self, *frames: bytes) -> None:
        await self._socket.send_multipart(frames)


@pytest.fixture
async def publisher() -> AsyncIterator[Publisher]:
    context = zmq.asyncio.Context()
    socket = context.socket(zmq.XPUB)
    socket.setsockopt(zmq.LINGER, 0)
    address = f"tcp://127.0.0.1:{free_port()}"
    socket.bind(address)
    yield Publisher(socket, address)
    socket.close()
    context.term()


@pytest.fixture
def history() -> History:
    return History()


async def test_what_is_published_is_counted_once(tmp_path: Path, history: History, publisher: Publisher) -> None:
    numbers = [metric(number) for number in (1, 3, 2, 3, 4)]
    async with history.served(), engine(tmp_path, history, publisher.address) as running:
        await publisher.subscribed()
        await publisher.send(*numbers)
        told = await running.shows(lambda told: told["received"] == 5)
    assert (told["unique"], told["duplicates"], told["invalid"], told["gaps_open"]) == (4, 1, 0, 0)
    assert told["duration_ms"]["count"] == 4
    assert told["epochs"] == [{"epoch": 1, "last_sequence": 4, "seen": 4}]
    assert told["updated_at"].endswith("Z")


async def test_lost_frames_are_recovered_from_the_log(tmp_path: Path, history: History, publisher: Publisher) -> None:
    async with history.served(), engine(tmp_path, history, publisher.address) as running:
        await publisher.subscribed()
        await until(lambda: history.asked)
        every = [metric(number) for number in range(1, 301)]
        history.write(*every)
        await publisher.send(*(one for one in every if one.sequence == 1 or one.sequence % 3))
        told = await running.shows(lambda told: told["unique"] == 300)
    assert (told["gaps_open"], told["gaps_recovered"], told["duplicates"]) == (0, 100, 0)


async def test_the_tail_of_a_dead_epoch_is_found(tmp_path: Path, history: History, publisher: Publisher) -> None:
    async with history.served(), engine(tmp_path, history, publisher.address) as running:
        await publisher.subscribed()
        await until(lambda: history.asked)  # the past is read at the start, and holds nothing yet
        history.write(metric(1), metric(2))
        await publisher.send(metric(1), metric(2))
        await running.shows(lambda told: told["unique"] == 2)
        history.write(*(metric(number) for number in range(3, 6)))
        history.write(metric(1, epoch=2))
        await publisher.send(metric(1, epoch=2))
        told = await running.shows(lambda told: told["unique"] == 6)
    assert (told["gaps_open"], told["gaps_recovered"]) == (0, 3)


async def test_a_void_number_closes_its_gap(tmp_path: Path, history: History, publisher: Publisher) -> None:
    async with history.served(), engine(tmp_path, history, publisher.address) as running:
        await publisher.subscribed()
        history.write(metric(1), metric(3))
        await publisher.send(metric(1), metric(3))
        await running.shows(lambda told: told["gaps_open"] == 1)
        history.void[1] = [2]
        told = await running.shows(lambda told: told["gaps_open"] == 0)
    assert (told["voids"], told["unique"], told["gaps_recovered"]) == (1, 2, 0)


async def test_an_engine_that_starts_late_has_the_whole_past(
    tmp_path: Path, history: History, publisher: Publisher
) -> None:
    history.write(*(metric(number, epoch=epoch) for epoch in (1, 2) for number in range(1, 251)))
    async with history.served(), engine(tmp_path, history, publisher.address) as running:
        told = await running.shows(lambda told: told["unique"] == 500)
    assert (told["from_log"], told["gaps_open"], told["gaps_recovered"], told["received"]) == (500, 0, 0, 0)


async def test_an_engine_without_the_log_counts_on_and_fills_up_later(
    tmp_path: Path, history: History, publisher: Publisher
) -> None:
    async with engine(tmp_path, history, publisher.address) as running:
        await publisher.subscribed()
        history.write(metric(1), metric(2))
        await publisher.send(metric(2))
        await running.shows(lambda told: (told["unique"], told["gaps_open"]) == (1, 1))
        async with history.served():
            await running.shows(lambda told: (told["unique"], told["gaps_open"]) == (2, 0))


async def test_an_epoch_the_log_does_not_know_hinders_no_other(
    tmp_path: Path, history: History, publisher: Publisher
) -> None:
    async with history.served(), engine(tmp_path, history, publisher.address) as running:
        await publisher.subscribed()
        history.write(metric(1), metric(2))
        await publisher.send(metric(3, epoch=(1 << 64) - 1), metric(2))
        told = await running.shows(lambda told: told["unique"] == 3 and told["gaps_open"] == 2)
    assert "18446744073709551615" not in {asked.get("epoch") for asked in history.asked}
    assert (1 << 64) - 1 in {one["epoch"] for one in told["epochs"]}  # in which order depends on what was heard last


async def test_what_is_no_metric_is_counted_as_invalid(tmp_path: Path, history: History, publisher: Publisher) -> None:
    async with history.served(), engine(tmp_path, history, publisher.address) as running:
        await publisher.subscribed()
        for frames in ((b"",), (b"garbage" * 9,), (encode(metric(1))[:60],), (b"topic", encode(metric(1)))):
            await publisher.send_raw(*frames)
        await publisher.send(metric(1))
        told = await running.shows(lambda told: told["received"] == 5)
    assert (told["invalid"], told["unique"]) == (4, 1)


async def test_a_log_that_answers_nonsense_changes_nothing(
    tmp_path: Path, history: History, publisher: Publisher
) -> None:
    history.last[1] = "many"  # type: ignore[assignment]
    async with history.served(), engine(tmp_path, history, publisher.address) as running:
        await publisher.subscribed()
        await publisher.send(metric(1))
        await running.shows(lambda told: told["unique"] == 1 and len(history.asked) > 1)


async def test_a_person_reads_a_line_of_figures(
    tmp_path: Path, history: History, publisher: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    history.write(metric(1))
    told = ""
    async with history.served(), engine(tmp_path, history, publisher.address), asyncio.timeout(20.0):
        while "COMPLETED" not in told:
            told = capsys.readouterr().out
            await asyncio.sleep(0.05)
    assert "1 metrics" in told
    assert "p50 1.0 s" in told
    assert "gaps open 0" in told


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
def test_the_subscriber_is_the_other_end_of_the_publisher(
    environ: dict[str, str], addresses: list[str], binds: object
) -> None:
    assert load(environ).subscription == (addresses, binds)


def test_a_list_that_connects_and_binds_is_refused() -> None:
    with pytest.raises(SettingsError, match="ANALYTICS_ZMQ_ADDR"):
        _ = Settings(analytics_zmq_addr=">tcp://a:1,tcp://b:2").subscription


@pytest.mark.parametrize(
    "flaw", [{"ANALYTICS_ZMQ_TARGET": "nowhere"}, {"ANALYTICS_STATUS_FILE": "/nowhere/at/all.json"}]
)
async def test_what_cannot_be_used_stops_the_start(flaw: dict[str, str]) -> None:
    with pytest.raises(StartError, match=next(iter(flaw))):
        await main({"ANALYTICS_ZMQ_ADDR": f"tcp://127.0.0.1:{free_port()}", **flaw}, asyncio.Event())
