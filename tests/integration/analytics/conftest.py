from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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


@pytest.fixture
def metrics_log() -> FakeMetricsLog:
    return FakeMetricsLog()


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_home() as directory:
        yield directory
