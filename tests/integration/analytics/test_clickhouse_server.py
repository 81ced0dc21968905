"""The store on a ClickHouse server: the real client over HTTP, and a cluster's tables parsed by the embedded engine."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from autogrocery.analytics.core.details import Details, Ended, RobotPick, ShortLine
from autogrocery.analytics.core.marks import Mark
from autogrocery.analytics.core.report import DAY_S, Period, ShortSku, Told
from autogrocery.analytics.store import schema
from autogrocery.analytics.store.details import DetailCursor
from autogrocery.analytics.store.fact_store import FactStore
from autogrocery.analytics.store.report import read_report
from autogrocery.analytics.store.server import CLUSTER_SETTINGS, address_of, open_server
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.process.settings import SettingsError
from tests.harness.clickhouse_server import PASSWORD, USER, ClickHouseServer, clickhouse_server
from tests.harness.fact_stores import FOREVER, MILLION, Totals, batch, fact, totals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NOW_US = 1_800_000_000_000_000


@pytest.fixture
async def server(home: Path) -> AsyncIterator[ClickHouseServer]:
    async with clickhouse_server(home) as opened:
        yield opened


async def test_facts_are_stored_and_counted_over_http(server: ClickHouseServer) -> None:
    async with server.serving(), open_server(address_of(server.url)) as engine:
        store = FactStore(engine, FOREVER)
        await store.load()
        for _ in range(2):
            await store.write(batch([fact(number, store_id="it's") for number in range(1, 501)]), NOW_US)
            await store.compute_minutes()
        assert await totals(engine) == Totals(500, 500, 50_000, 50_000)
        assert store.changes == {"COMPLETED": 500}
        again = FactStore(engine, FOREVER)
        await again.load()
        assert list(again.marks) == [Mark(1, 1, 500)]
    assert server.settings["async_insert"] == "0"
    assert not any(PASSWORD in query for query in server.queries)


async def test_report_with_details_is_read_over_http(server: ClickHouseServer) -> None:
    order_id, at_us = fact(1).order_id, fact(1).occurred_at
    pick = RobotPick(order_id, UUID(int=7), "dairy-1", "dairy", 3, 2, ["milk"], at_us - 60 * MILLION, at_us, "it's")
    line = ShortLine(order_id, at_us, "milk", "Milk", 3, 2, 150, "it's")
    since_s = at_us // MILLION // DAY_S * DAY_S
    async with server.serving(), open_server(address_of(server.url)) as engine:
        store = FactStore(engine, FOREVER)
        await store.load()
        await store.write(batch([fact(1, store_id="it's")]), NOW_US)
        await store.compute_minutes()
        page = [Ended(store.stored_batch, "it's", order_id)]
        for name in ("shortfalls", "picks"):
            cursor = DetailCursor(store, name)
            await cursor.next_page()
            await cursor.keep(page, Details([line], [], [pick]))
        report = await read_report(engine, Period(since_s, since_s + DAY_S, DAY_S, "it's"))
    assert report.short_skus == [ShortSku("dairy", "milk", "Milk", 1, 1, 150)]
    assert [(one.robots, one.picks, one.busy_s, one.peak_busy_s) for one in report.aisles] == [(1, 1, 60.0, 60.0)]
    assert report.told == Told(shortfalls=True, picks=True)


async def test_server_that_is_away_raises_unavailable_and_is_connected_to_again(server: ClickHouseServer) -> None:
    async with open_server(address_of(server.url)) as engine:
        store = FactStore(engine, FOREVER)
        for _ in range(2):
            with pytest.raises(Unavailable):
                await store.load()
            async with server.serving():
                await store.load()
                await store.write(batch([fact(1)]), NOW_US)
            with pytest.raises(Unavailable):
                await store.write(batch([fact(2)]), NOW_US)
        async with server.serving():
            await store.write(batch([fact(2)]), NOW_US)
            assert (await totals(engine)).facts == 2


async def test_wrong_password_is_told_without_it(server: ClickHouseServer) -> None:
    url = server.url.replace("correct", "incorrect")
    async with server.serving(), open_server(address_of(url)) as engine:
        with pytest.raises(Unavailable) as raised:
            await FactStore(engine, FOREVER).load()
    assert "Authentication failed" in raised.value.detail
    assert "horse" not in raised.value.detail


async def test_cluster_gets_a_replicated_and_a_distributed_table_for_each(server: ClickHouseServer) -> None:
    statements = [schema.CREATE_MIGRATIONS, *(one for parts in schema.files().values() for one in parts)]
    for statement in statements:
        replicated, distributed = schema.clustered(statement, "marts")
        assert "ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/" in replicated
        assert "_local ON CLUSTER marts (" in replicated
        assert "ENGINE = Distributed(marts, currentDatabase(), " in distributed
        for one in (statement, replicated, distributed):
            await server.engine.rows("\n-- test.parse\nEXPLAIN AST {statement}", dict, statement=one)
    facts = schema.clustered(statements[1], "marts")
    assert "cityHash64(store_id, order_id)" in facts[1]


async def test_cluster_settings_are_sent(server: ClickHouseServer) -> None:
    async with server.serving(), open_server(address_of(f"{server.url}?cluster=marts")) as engine:
        await engine.rows("\n-- test.one\nSELECT 1", dict)
    assert {name: server.settings[name] for name in CLUSTER_SETTINGS} == {
        name: str(value) for name, value in CLUSTER_SETTINGS.items()
    }


def test_url_is_read_with_defaults_and_escapes() -> None:
    address = address_of("clickhouse://mart:a%40b@db.example:9/facts?cluster=marts")
    assert (address.host, address.port, address.user, address.password) == ("db.example", 9, "mart", "a@b")
    assert (address.database, address.cluster, address.secure) == ("facts", "marts", False)
    plain = address_of("clickhouses://[::1]")
    assert (plain.host, plain.port, plain.user, plain.database, plain.secure) == (
        "::1",
        8443,
        "default",
        "default",
        True,
    )


@pytest.mark.parametrize(
    "url",
    [
        "postgres://x",
        "clickhouse://",
        "clickhouse://h:99999",
        "clickhouse://h/a-b",
        "clickhouse://h/d?cluster=a;DROP",
        "clickhouse://h/d?unknown=1",
        "clickhouse://u:cAnArY@h:port/d",
    ],
)
def test_malformed_url_raises_settings_error_without_the_password(url: str) -> None:
    with pytest.raises(SettingsError, match="ANALYTICS_URL is malformed") as raised:
        address_of(url)
    assert "cAnArY" not in str(raised.value)
    assert USER not in "".join(str(raised.value).split("expected")[:1])
