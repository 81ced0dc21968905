"""The analytics role as a process of its own, which may be killed, and which keeps its store in a home."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

from tests.harness.analytics_gateway import Engine, FakeMetricsLog

if TYPE_CHECKING:
    from pathlib import Path

ENDS_WITHIN_S = 20.0


class AnalyticsProcess(Engine):
    """One role in one home; `faults` are armed in the next start only."""

    def __init__(self, home: Path, metrics_log: FakeMetricsLog, address: str, **environ: str) -> None:
        super().__init__(home / "analytics.json")
        self._environ = {
            **os.environ,
            "AUTOGROCERY_HOME": str(home),
            "ANALYTICS_ZMQ_ADDR": address,
            "GATEWAY_WEBHOOK_URL": metrics_log.url,
            "ANALYTICS_STATUS_FILE": str(home / "analytics.json"),
            **environ,
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, faults: str = "") -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "autogrocery.lab.faulty_role",
            "analytics",
            env=self._environ | {"AUTOGROCERY_FAULTS": faults},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
        )

    async def died(self) -> int:
        """Wait for the process's end by itself and return its exit status."""
        assert self._process is not None
        async with asyncio.timeout(ENDS_WITHIN_S):
            return await self._process.wait()

    async def end(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(with_signal)
        return await self.died()
