"""Two gateways behind HAProxy are restarted one after the other under load: no request fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.gateway_pair import gateway_pair

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(150)


async def test_no_request_fails_while_two_gateways_are_restarted_in_turn(module_dsn: str, tmp_path: Path) -> None:
    async with gateway_pair(module_dsn, tmp_path) as pair, pair.ordering() as outcome:
        await pair.restart_in_turn(outcome)
