"""The status of a gateway: JSON for machines, a page for people, and the figures that it follows."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import msgspec
import pytest

from autogrocery.contracts.ops.status import Figures
from tests.harness.running_gateway import serve_gateway
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.harness.running_gateway import RunningGateway

MAX_PAGE_BYTES = 15_000
AS_A_BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.fixture
async def gateway(gateway_dsn: str) -> AsyncIterator[RunningGateway]:
    async with serve_gateway(gateway_dsn) as opened:
        yield opened


async def test_machines_get_json_and_browsers_a_small_page(gateway: RunningGateway) -> None:
    for accept in ("*/*", "application/json"):
        found = await gateway.request("GET", "/status", headers={"accept": accept}, inside=True)
        assert (found.status, sorted(found.json)) == (200, ["metrics", "orders", "peers", "restocks", "store_id"])
    page = await gateway.request("GET", "/status", headers=AS_A_BROWSER, inside=True)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert len(page.body) <= MAX_PAGE_BYTES


async def test_page_may_run_its_own_script_and_ask_its_own_gateway_only(gateway: RunningGateway) -> None:
    page = await gateway.request("GET", "/status", headers=AS_A_BROWSER, inside=True)
    policy, text = page.headers["content-security-policy"], page.body.decode()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for kind in ("script", "style"):
        (inline,) = re.findall(rf"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)|\bstyle=|\bon[a-z]+=\"", text) == []


async def test_figures_count_orders_and_name_none(gateway: RunningGateway) -> None:
    device = await gateway.device()
    order_id = await device.processing()
    reply = await gateway.request("GET", "/status/figures", inside=True)
    figures = msgspec.json.decode(reply.body, type=Figures)
    assert figures.database == "up"
    assert figures.in_flight is not None
    assert (figures.in_flight.processing, figures.today["PROCESSING"]) == (1, 1)
    assert [peer.state for peer in figures.peers] == ["up", "up"]
    assert order_id not in reply.body.decode()
    assert device.device_id not in reply.body.decode()


async def test_stream_sends_the_figures_again_and_again(gateway: RunningGateway) -> None:
    async with gateway.session.get(
        f"{gateway.internal}/status/figures", headers={"accept": "text/event-stream"}
    ) as response:
        assert response.content_type == "text/event-stream"
        events = []
        async for line in response.content:
            if line.startswith(b"data: "):
                events.append(json.loads(line.removeprefix(b"data: ")))
            if len(events) == 2:
                break
    assert events[0]["at"] < events[1]["at"]


async def test_figures_say_that_the_database_is_away_and_that_it_is_back(
    gateway: RunningGateway, gateway_dsn: str
) -> None:
    async def database() -> str:
        reply = await gateway.request("GET", "/status/figures", inside=True)
        figures = msgspec.json.decode(reply.body, type=Figures)
        assert [peer.name for peer in figures.peers] == ["inventory", "pricing"]
        return figures.database

    name = urlsplit(gateway_dsn).path.removeprefix("/")
    admin = await asyncpg.connect(urlunsplit(urlsplit(gateway_dsn)._replace(path="/postgres")))
    try:
        await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        await until(lambda: _is(database, "away"), 10.0, 0.1)
    finally:
        await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        await admin.close()
    await until(lambda: _is(database, "up"), 10.0, 0.1)


async def _is(ask: Callable[[], Awaitable[str]], expected: str) -> bool:
    return await ask() == expected
