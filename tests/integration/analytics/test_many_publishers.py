"""Several gateways on one host: each publishes its own epoch, and the engine stores what all of them say."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from autogrocery.gateway.core.order import Status
from autogrocery.gateway.core.status_change import StatusChange
from autogrocery.gateway.peers.metrics import Metrics, metric_of
from autogrocery.kit import bus
from autogrocery.kit.ids import uuid7
from autogrocery.kit.process.clock import now
from autogrocery.lab.ports import free_ports
from tests.harness.analytics_gateway import engine

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.analytics_gateway import FakeMetricsLog

PUBLISHERS, CHANGES = 3, 200


async def test_every_change_of_three_publishers_is_stored_though_the_engine_is_late(
    home: Path, metrics_log: FakeMetricsLog
) -> None:
    addresses = [f"tcp://127.0.0.1:{port}" for port in free_ports(PUBLISHERS)]
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(metrics_log.served())
        running = []
        for address in addresses:
            opened = bus.open_publisher("TEST_ADDR", address, point="metrics.publish")
            running.append(Metrics(await stack.enter_async_context(opened), "mart-1"))

        async def publish() -> None:
            for metrics in running:
                for _ in range(CHANGES):
                    at, number = now(), metrics.reserve_numbers()
                    one = StatusChange(uuid7(), 3, Status.COMPLETED, at, at, 100, 1, 1, number)
                    metrics_log.write(metric_of(one, "mart-1"))
                    await metrics.publish([one])

        await publish()
        started = engine(home, metrics_log, ",".join(addresses), AUTOGROCERY_HOME=str(home))
        found = await stack.enter_async_context(started)
        await found.shows(lambda figures: figures["unique"] == PUBLISHERS * CHANGES)
        await publish()
        figures = await found.shows(lambda figures: figures["unique"] == 2 * PUBLISHERS * CHANGES)
    assert {one["epoch"]: one["last_sequence"] for one in figures["epochs"]} == {
        metrics.epoch: 2 * CHANGES for metrics in running
    }
