"""Details of ended orders: asked for once their facts are stored, kept once, "not told" where no peer tells them."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec
import pytest

from autogrocery.analytics.actions.fetch_details import ASK_AGAIN_RUNS, DetailFetcher
from autogrocery.analytics.core.details import DeliveredAisle, Details, ShortLine
from autogrocery.analytics.core.report import DAY_S, Period, Received, ShortAisle, ShortSku, Told
from autogrocery.analytics.peers.picks import Picks
from autogrocery.analytics.store.backlog import Backlog
from autogrocery.analytics.store.report import read_report
from autogrocery.contracts.inventory.picks.v1 import picks_pb2 as pb
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.rpc.channel import open_channel
from tests.harness.analytics_process import AnalyticsProcess
from tests.harness.fact_stores import MILLION, batch, change, fact, fact_store
from tests.harness.fake_pick_history import FakePickHistory, pick_history

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from autogrocery.analytics.store.engine import Engine
    from autogrocery.analytics.store.fact_store import FactStore
    from tests.harness.analytics_gateway import FakeMetricsLog
    from tests.harness.publishers import Publisher

DEATHS: Final = (  # the last of each source after its rows and before its cursor
    "details.add_delivered:kill-after:1",
    "picks.ask:kill-after:1",
    "details.add_picks:kill-after:1",
)
COUNT: Final = """
-- test.count
SELECT (SELECT count() FROM short_lines FINAL) AS short_lines, (SELECT count() FROM delivered FINAL) AS delivered,
       (SELECT count() FROM picks FINAL) AS picks
"""


class Counts(msgspec.Struct, frozen=True):
    short_lines: int
    delivered: int
    picks: int


class Source:
    """Tells a short line and a delivery of every order; `answers` False: it does not tell; `down`: it is away."""

    name = "shortfalls"

    def __init__(self) -> None:
        self.asked: list[list[UUID]] = []
        self.answers = True
        self.down = False

    async def ask(self, order_ids: Sequence[UUID]) -> Details | None:
        if self.down:
            raise Unavailable("gateway_unavailable", "it is away")
        self.asked.append(list(order_ids))
        at_us = time.time_ns() // 1_000
        lines = [ShortLine(one, at_us, "milk", "Milk", 3, 1, 150) for one in order_ids]
        return Details(lines) if self.answers else None


async def counts(engine: Engine) -> Counts:
    (found,) = await engine.rows(COUNT, Counts)
    return found


def ended(numbers: range, status: str = "COMPLETED") -> list[Any]:
    now_us = time.time_ns() // 1_000
    return [change(number, status=status, occurred_at_us=now_us, store_id="mart-1") for number in numbers]


def today() -> Period:
    now_s = int(time.time())
    return Period(now_s - DAY_S, now_s + DAY_S)


def keeping_up(store: FactStore) -> Backlog:
    backlog = Backlog(store, None)
    backlog.complete_since_s = 1
    return backlog


async def write(store: FactStore, numbers: range, status: str = "COMPLETED") -> None:
    now_us = time.time_ns() // 1_000
    facts = [fact(number, status=status, occurred_at_us=now_us, store_id="mart-1") for number in numbers]
    await store.write(batch(facts), now_us)


async def test_orders_are_asked_for_once_they_are_stored_each_once(home: Path) -> None:
    source = Source()
    async with fact_store(home) as store:
        fetcher = DetailFetcher(keeping_up(store), source)
        assert not await fetcher.fetch_details()
        await write(store, range(1, 451))
        await write(store, range(451, 461), "PREVIEWED")
        await write(store, range(461, 466), "CANCELLED")
        assert await fetcher.fetch_details()
        assert not await fetcher.fetch_details()
        assert [len(one) for one in source.asked] == [100, 100, 100, 100, 50]
        await write(store, range(500, 501), "FAILED")
        assert await fetcher.fetch_details()
        assert [len(one) for one in source.asked[5:]] == [1]
        assert await counts(store.engine) == Counts(451, 0, 0)
    async with fact_store(home) as store:
        assert not await DetailFetcher(keeping_up(store), source).fetch_details()
    assert len(source.asked) == 6


async def test_source_that_does_not_tell_is_not_told_and_asked_for_all_of_it_later(home: Path) -> None:
    source = Source()
    source.answers = False
    async with fact_store(home) as store:
        fetcher = DetailFetcher(keeping_up(store), source)
        await write(store, range(1, 11))
        assert not await fetcher.fetch_details()
        told = (await read_report(store.engine, today())).told
        assert told == Told(shortfalls=False, picks=False, shortfalls_behind=10, picks_behind=10)
        source.answers = True
        for _ in range(ASK_AGAIN_RUNS):
            assert not await fetcher.fetch_details()
        assert await fetcher.fetch_details()
        told = (await read_report(store.engine, today())).told
        assert told == Told(shortfalls=True, picks=False, shortfalls_behind=0, picks_behind=10)
        assert (await counts(store.engine)).short_lines == 10


async def test_source_that_is_away_delays_and_loses_nothing(home: Path) -> None:
    source = Source()
    async with fact_store(home) as store:
        await write(store, range(1, 11))
        source.down = True
        assert not await DetailFetcher(keeping_up(store), source).fetch_details()
        source.down = False
        assert await DetailFetcher(keeping_up(store), source).fetch_details()
        assert (await counts(store.engine)).short_lines == 10


async def test_after_damage_details_are_asked_for_again(home: Path) -> None:
    source = Source()
    async with fact_store(home) as store:
        fetcher = DetailFetcher(keeping_up(store), source)
        await write(store, range(1, 4))
        assert await fetcher.fetch_details()
        await store.repair()
        await store.load()
        assert await fetcher.fetch_details()
    assert [len(one) for one in source.asked] == [3, 3]


async def test_damage_found_while_a_source_is_asked_makes_the_cursor_begin_anew(home: Path) -> None:
    async with fact_store(home) as store:

        class Slow(Source):
            async def ask(self, order_ids: Sequence[UUID]) -> Details | None:
                if len(self.asked) == 1:
                    await store.repair()
                    await store.load()
                return await super().ask(order_ids)

        source = Slow()
        fetcher = DetailFetcher(keeping_up(store), source)
        await write(store, range(1, 4))
        assert await fetcher.fetch_details()
        await write(store, range(4, 6))
        assert await fetcher.fetch_details()
        assert await fetcher.fetch_details()
        assert not await fetcher.fetch_details()
    assert [len(one) for one in source.asked] == [3, 2, 5]


async def test_order_that_was_not_asked_for_is_dropped(home: Path) -> None:
    class Confused(Source):
        async def ask(self, order_ids: Sequence[UUID]) -> Details | None:
            return await super().ask([*order_ids, UUID(int=7)])

    async with fact_store(home) as store:
        await write(store, range(1, 3))
        assert await DetailFetcher(keeping_up(store), Confused()).fetch_details()
        assert (await counts(store.engine)).short_lines == 2


async def test_inventory_without_the_service_tells_nothing_and_a_malformed_pick_is_no_answer() -> None:
    order_id = UUID(int=1)
    async with pick_history() as target, open_channel(target) as channel:
        assert await Picks(channel).ask([order_id]) is None
    async with (
        pick_history(FakePickHistory(pb.Pick(order_id=str(order_id)))) as target,
        open_channel(target) as channel,
    ):
        with pytest.raises(Unavailable):
            await Picks(channel).ask([order_id])
    with pytest.raises(Unavailable):
        async with open_channel("127.0.0.1:1") as channel:
            await Picks(channel).ask([order_id])


async def test_role_killed_at_every_step_keeps_each_detail_once(
    home: Path, metrics_log: FakeMetricsLog, publisher: Publisher
) -> None:
    *changes, last = ended(range(1, len(DEATHS) + 2))
    order_ids = [one.order_id for one in changes]
    at_us = last.occurred_at_us
    metrics_log.shortfalls = msgspec.to_builtins(
        {
            "short_lines": [ShortLine(UUID(one), at_us, "milk", "Milk", 3, 1, 150) for one in order_ids],
            "delivered": [DeliveredAisle(UUID(order_ids[0]), at_us, "dairy", 10, 9, 1, 2, 1)],
        }
    )
    inventory = FakePickHistory(*(_pick(number, one, at_us) for number, one in enumerate(order_ids, start=1)))
    async with metrics_log.served(), pick_history(inventory) as target:
        role = AnalyticsProcess(home, metrics_log, publisher.address, INVENTORY_GRPC_ADDR=target)
        for death, one in zip(DEATHS, changes, strict=True):
            await role.start(death)
            await publisher.subscribed()
            metrics_log.write(one)
            await publisher.send(one)
            assert await role.died() == -signal.SIGKILL, death
            await publisher.unsubscribed()
        await role.start()
        await role.shows(lambda _: order_ids[-1] in inventory.asked and order_ids[-1] in metrics_log.asked)
        metrics_log.write(last)  # without details: once it is asked for, those before it are kept
        await publisher.send(last)
        await role.shows(lambda _: last.order_id in inventory.asked and last.order_id in metrics_log.asked)
        assert await role.end() == 0
    async with fact_store(home / "analytics") as store:
        report = await read_report(store.engine, today())
    count = len(changes)
    assert report.short_skus == [ShortSku("dairy", "milk", "Milk", count, 2 * count, 300 * count)]
    assert report.short_aisles == [ShortAisle("dairy", count, 1, 2 * count, 300 * count)]
    assert report.received == [Received("dairy", 1, 10, 9, 1, 2, 1)]
    assert [(one.aisle, one.robots, one.picks) for one in report.aisles] == [("dairy", 1, count)]
    assert (report.told.shortfalls, report.told.picks) == (True, True)


def _pick(number: int, order_id: str, at_us: int) -> pb.Pick:
    pick = pb.Pick(
        order_id=order_id,
        assignment_id=str(UUID(int=number)),
        robot_id="dairy-1",
        aisle="dairy",
        units=3,
        picked=1,
        short_skus=["milk"],
    )
    pick.assigned_at.FromMicroseconds(at_us - 10 * MILLION)
    pick.closed_at.FromMicroseconds(at_us - MILLION)
    return pick
