"""Failover to an asynchronous standby: the lost commits are counted, and nothing else goes wrong."""

from __future__ import annotations

import pytest

from tests.proofs.failover.failover_run import MIN_LOST, TEST_TIMEOUT_S, fail_over, report
from tests.proofs.failover.server_pair import open_server_pair

pytestmark = pytest.mark.timeout(TEST_TIMEOUT_S)


async def test_an_asynchronous_standby_loses_unreplicated_orders_and_contradicts_no_acknowledgement() -> None:
    """Lost are orders without a row, and dispatches of them; every order that has a row is right."""
    async with open_server_pair(synchronous=False) as servers:
        found = await fail_over(servers, loses_commits=True)
    report("asynchronous", found)
    assert len(found.lost_orders) >= MIN_LOST
    assert len(found.orphan_dispatches) >= MIN_LOST
    assert set(found.orphan_dispatches) <= set(found.lost_orders)
    assert found.contradicted == []
    assert found.contradictions == []
