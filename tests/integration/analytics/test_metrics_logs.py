"""The metrics logs of several gateways, and a gateway whose answers can't be used."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import pytest
from aiohttp import web

from autogrocery.analytics.actions.fill_gaps import fill_gaps
from autogrocery.analytics.core.counters import Counters
from autogrocery.analytics.peers import metrics_log as peer
from autogrocery.analytics.peers.metrics_log import open_metrics_logs
from autogrocery.analytics.settings import Settings
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.process.settings import SettingsError
from autogrocery.lab.ports import free_ports
from tests.harness.analytics_gateway import FakeMetricsLog, engine, metric
from tests.harness.web_site import serving_web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.harness.publishers import Publisher

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

EPOCHS: Final = {"epochs": [{"epoch": 1, "last_sequence": 3}]}


@asynccontextmanager
async def answering(answer: Handler) -> AsyncIterator[str]:
    """Serve a gateway that answers every request for its log in this way."""
    (port,) = free_ports(1)
    app = web.Application()
    app.router.add_get("/internal/metrics-log", answer)
    async with serving_web(app, port):
        yield f"http://127.0.0.1:{port}"


def listing(page: object) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response(page if "epoch" in request.query else EPOCHS)

    return answer


def spaces(*, compressed: bool) -> Handler:
    async def answer(_request: web.Request) -> web.Response:
        response = web.Response(body=b'{"epochs":[' + b" " * (2 << 20) + b"]}")
        if compressed:
            response.enable_compression()
        return response

    return answer


async def drip(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(40):
        await response.write(b" ")
        await asyncio.sleep(0.05)
    return response


async def test_every_mart_is_read_while_another_is_away(
    tmp_path: Path, metrics_log: FakeMetricsLog, publisher: Publisher
) -> None:
    other, gone = FakeMetricsLog(), FakeMetricsLog()
    metrics_log.write(*(metric(number) for number in range(1, 31)))
    other.write(*(metric(number, epoch=2) for number in range(1, 51)))
    logs = {"ANALYTICS_LOG_URLS": f"{gone.url}, {metrics_log.url},{other.url}"}
    async with metrics_log.served(), other.served(), engine(tmp_path, metrics_log, publisher.address, **logs) as role:
        await role.shows(lambda figures: (figures["unique"], figures["gaps_open"]) == (80, 0))
        gone.write(*(metric(number, epoch=3) for number in range(1, 21)))
        async with gone.served():  # its past is asked for whenever it comes
            figures = await role.shows(lambda figures: (figures["unique"], figures["gaps_open"]) == (100, 0))
    assert (figures["duplicates"], figures["from_log"]) == (0, 100)


async def test_tail_of_a_gateway_that_is_gone_is_read_from_another_on_its_database(
    tmp_path: Path, metrics_log: FakeMetricsLog, publisher: Publisher
) -> None:
    gone = FakeMetricsLog()
    logs = {"ANALYTICS_LOG_URLS": f"{gone.url},{metrics_log.url}"}
    async with metrics_log.served(), engine(tmp_path, metrics_log, publisher.address, **logs) as role:
        await publisher.subscribed()
        metrics_log.write(*(metric(number) for number in range(1, 61)))
        await publisher.send(*(metric(number) for number in range(1, 41)))  # dies before it has sent the rest
        figures = await role.shows(lambda figures: (figures["unique"], figures["gaps_open"]) == (60, 0))
    assert figures["from_log"] >= 20  # the tail at least: the log may be read before the frames arrive


async def test_log_that_two_gateways_have_is_read_once(metrics_log: FakeMetricsLog) -> None:
    again = FakeMetricsLog()
    for log in (metrics_log, again):
        log.write(*(metric(number) for number in range(1, 251)))
    counters = Counters()
    async with metrics_log.served(), again.served(), open_metrics_logs([metrics_log.url, again.url]) as logs:
        assert not await fill_gaps(logs, counters)
    assert counters.unique == counters.from_log == 250
    assert [query for query in again.queries if "epoch" in query] == []


@pytest.mark.parametrize(
    "page",
    [
        "nonsense",
        {"metrics": "none"},
        {"metrics": [{"order_id": 1}]},
        {"metrics": [], "void": [-1, 0, 4, 1 << 63]},
        {"metrics": [], "next_after": -1},
        {"metrics": [], "next_after": 1},
        {"metrics": [{"order_id": "x", "status": "?", "duration_seconds": 1, "timestamp": 1, "epoch": 9}]},
    ],
)
async def test_nonsense_in_a_page_leaves_its_numbers_missing(page: object) -> None:
    counters = Counters()
    async with asyncio.timeout(10.0), answering(listing(page)) as url, open_metrics_logs([url]) as logs:
        for _ in range(2):
            try:
                await fill_gaps(logs, counters)
            except Unavailable as error:
                assert url in error.detail  # noqa: PT017 - not every page is refused
    assert (counters.unique, counters.invalid) == (0, 0)
    assert sum(len(gap) for gap in counters.epochs[1].missing_ranges(time.monotonic())) == 3


@pytest.mark.parametrize("compressed", [False, True])
async def test_answer_that_is_too_large_is_not_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch, compressed: object
) -> None:
    monkeypatch.setattr(peer, "MAX_BYTES", 1 << 20)
    async with answering(spaces(compressed=bool(compressed))) as url, open_metrics_logs([url]) as logs:
        with pytest.raises(Unavailable) as refused:
            await logs[0].epochs()
    assert refused.value.detail == f"{url}: more than 1,048,576 bytes"


async def test_answer_that_is_too_slow_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "TIMEOUT_S", 0.3)
    async with answering(drip) as url, open_metrics_logs([url]) as logs:
        started_s = time.monotonic()
        with pytest.raises(Unavailable) as refused:
            await logs[0].epochs()
        assert time.monotonic() - started_s < 1.5
    assert refused.value.detail == f"{url} did not respond (TimeoutError)"


def test_logs_are_named_by_their_setting() -> None:
    default = Settings(gateway_webhook_url="http://a:1").metrics_logs
    assert default == {"GATEWAY_WEBHOOK_URL": "http://a:1"}
    several = Settings(analytics_log_urls="http://a:1, http://b:2,http://a:1").metrics_logs
    assert list(several.values()) == ["http://a:1", "http://b:2"]
    with pytest.raises(SettingsError, match="ANALYTICS_LOG_URLS is malformed"):
        _ = Settings(analytics_log_urls="http://a:1,b:2").metrics_logs
