"""`autogrocery analytics report` beside the process that has the store, and without it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from autogrocery.lab.ports import free_ports
from tests.harness.analytics_gateway import engine
from tests.harness.fact_stores import change, fact_store

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.analytics_gateway import FakeMetricsLog
    from tests.harness.publishers import Publisher


async def run(home: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "autogrocery", "analytics", *words],
        env={**os.environ, "AUTOGROCERY_HOME": str(home), **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


async def test_report_asks_the_process_that_has_the_store_and_opens_it_afterwards(
    home: Path, metrics_log: FakeMetricsLog, publisher: Publisher
) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    now_us = time.time_ns() // 1_000
    settings = {"AUTOGROCERY_HOME": str(home), "ANALYTICS_HTTP_ADDR": address}
    async with metrics_log.served(), engine(home, metrics_log, publisher.address, **settings) as running:
        await publisher.subscribed()
        await publisher.send(*(change(number, occurred_at_us=now_us, store_id="mart-1") for number in range(1, 6)))
        await running.shows(lambda figures: figures["unique"] == 5)
        asked = await run(home, "report", "--json", ANALYTICS_HTTP_ADDR=address)
        refused = await run(home, "report")
        other = await run(home, "report", "--json", "--mart", "mart-2", ANALYTICS_HTTP_ADDR=address)
    assert sum(step["orders"] for step in json.loads(asked.stdout)["steps"]) == 5
    assert sum(step["orders"] for step in json.loads(other.stdout)["steps"]) == 0
    assert refused.returncode == 2
    assert "or set ANALYTICS_HTTP_ADDR for it and for this command" in refused.stderr
    opened = await run(home, "report", "--html", str(home / "report.html"), CURRENCY="EUR")
    assert "5.00 EUR" in opened.stdout
    assert "5.00 <small>EUR" in (home / "report.html").read_text()


async def test_backfill_beside_the_process_that_has_the_store_is_refused(home: Path) -> None:
    async with fact_store(home / "analytics"):
        ended = await run(home, "backfill", "--since", "2026-01-01")
    assert ended.returncode == 2
    assert f"is in use by process {os.getpid()}" in ended.stderr
