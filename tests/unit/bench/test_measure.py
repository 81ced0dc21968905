"""A run ends when every receipt has arrived at the mail server, and tells those that did not."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from bench.environment import Environment, count_violations, open_environment
from bench.job import BEGAN, ENDED, Job
from bench.mail_sink import SinkCommand, SinkCounts
from bench.measure import Load, LoadTarget, Receipts, Snapshot, cpu_of_order_us, make_baskets, measure, receipts_of
from bench.table_growth import fill_tables, make_receipts_due
from tests.harness.bench_figures import tally

if TYPE_CHECKING:
    from autogrocery.lab.postgres.embedded import EmbeddedPostgres
    from bench.job import LoadEvent

ORDERS = 30


def shape(environment: Environment) -> tuple[LoadTarget, Job]:
    """Return the target and a job of ORDERS orders with three lines."""
    job = Job(
        ports=environment.ports,
        connections=2,
        seconds=60.0,
        tokens=environment.tokens,
        baskets=make_baskets(3),
        webhook_key=environment.keys.webhooks,
        warm_up_s=0.0,
        orders=ORDERS,
    )
    audit = partial(count_violations, environment.dsn)
    return LoadTarget(environment.dsn, environment.pids, audit, environment.sink), job


def ignore(_event: LoadEvent) -> None:
    pass


@pytest.mark.timeout(120)
async def test_run_ends_when_the_receipts_of_its_orders_and_of_a_burst_have_arrived(postgres: EmbeddedPostgres) -> None:
    async with open_environment(postgres, connections=2) as environment:
        await fill_tables(environment.dsn, 40, lambda _count: None)
        target, job = shape(environment)
        assert environment.sink is not None
        hooks = {
            BEGAN: partial(make_receipts_due, environment.dsn, 20),
            ENDED: partial(environment.sink.command, SinkCommand(delay_s=0.0)),
        }
        await environment.sink.command(SinkCommand(delay_s=0.2))
        first = await measure(target, job, ignore, hooks=hooks, more_receipts=20)
        second = await measure(target, job, ignore)
    for run, more in ((first, 20), (second, 0)):
        assert run.receipts is not None
        completed = run.tally.all_orders
        assert completed >= ORDERS
        assert (run.receipts.due, run.receipts.arrived, run.missing_receipts) == (completed + more, completed + more, 0)
    assert first.violations == second.violations == 0
    assert {"gateway", "postgresql", "inventory", "pricing", "mail sink", "load"} <= first.cpu_us.keys()
    assert first.rss_after_mib > 20.0


@pytest.mark.timeout(120)
async def test_refused_receipts_are_missing_and_not_waited_for(postgres: EmbeddedPostgres) -> None:
    async with open_environment(postgres, connections=2) as environment:
        target, job = shape(environment)
        assert environment.sink is not None
        await environment.sink.command(SinkCommand(refuse=550))
        run = await measure(target, job, ignore)
    assert run.receipts is not None
    completed = run.tally.all_orders
    assert (run.receipts.due, run.receipts.arrived, run.missing_receipts) == (completed, 0, completed)
    assert run.settled_s < 30.0


LOAD = Load(
    tally(orders=100, all_orders=160, warm_up_orders=40, cpu_s=0.01),
    Snapshot({"gateway": 1.0, "notifier": 2.0, "postgresql": 3.0}, SinkCounts(30, 30, 0)),
    Snapshot({"gateway": 1.1, "notifier": 2.01, "postgresql": 3.1}, SinkCounts(90, 90, 0)),
)
SETTLED = Snapshot({"gateway": 1.5, "notifier": 2.06, "postgresql": 3.12}, SinkCounts(162, 160, 0))


def test_cpu_of_what_lags_behind_counts_until_the_last_receipt() -> None:
    # 100 orders in the measured time, 120 from its start until the last receipt.
    assert cpu_of_order_us(LOAD, SETTLED) == {
        "gateway": 1_000.0,
        "notifier": 500.0,
        "postgresql": 1_000.0,
        "load": 100.0,
    }


def test_receipts_are_counted_by_message_id_and_notifier_by_message() -> None:
    found = receipts_of(LOAD, SETTLED, 161)
    # 162 - 30 messages since the start of the measured time took 60 ms; 140 orders had finished when 90 had arrived.
    assert found == Receipts(due=161, arrived=160, repeated=2, waiting=50, notifier_us=454.5)
    assert found.missing == 1
    assert receipts_of(Load(LOAD.tally, Snapshot({}), Snapshot({})), Snapshot({}), 0) is None
