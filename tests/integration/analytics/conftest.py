from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autogrocery.analytics import loops
from tests.harness.analytics_gateway import FakeMetricsLog
from tests.harness.homes import temporary_home
from tests.harness.publishers import publishing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.harness.publishers import Publisher


@pytest.fixture
async def publisher() -> AsyncIterator[Publisher]:
    async with publishing() as opened:
        yield opened


@pytest.fixture(autouse=True)
def _quick_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the loops of a role in this process more often: the tests wait for them, and for nothing else."""
    for name, seconds in {
        "FILL_EVERY_S": 0.2,
        "STORE_EVERY_S": 0.2,
        "PRINT_EVERY_S": 0.5,
        "WRITE_EVERY_S": 0.1,
    }.items():
        monkeypatch.setattr(loops, name, seconds)


@pytest.fixture
def metrics_log() -> FakeMetricsLog:
    return FakeMetricsLog()


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_home() as directory:
        yield directory
