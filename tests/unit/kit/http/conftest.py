"""An HTTP application of test routes, served on a free port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.http_probe import Stage, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
async def port(stage: Stage) -> AsyncIterator[int]:
    async with served(stage) as port:
        yield port
