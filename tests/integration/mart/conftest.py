from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.harness.mart import Mart, open_mart

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@pytest.fixture(scope="module")
def dsns(module_dsn_of: Callable[[str], str]) -> tuple[str, str, str]:
    """DSNs of the databases of gateway, inventory and pricing."""
    return module_dsn_of("public"), module_dsn_of("inventory"), module_dsn_of("pricing")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mart(dsns: tuple[str, str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mart]:
    """The module's mart, with a robot of three classes each and stock; audited at the end."""
    async with open_mart(dsns, tmp_path_factory.mktemp("mart")) as opened:
        yield opened
