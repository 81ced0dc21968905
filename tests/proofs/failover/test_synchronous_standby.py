"""Failover to a synchronous standby, which every commit waits for, loses no acknowledgement."""

from __future__ import annotations

import pytest

from tests.proofs.failover.failover_run import DEVICES, TEST_TIMEOUT_S, fail_over, report
from tests.proofs.failover.server_pair import open_server_pair

pytestmark = pytest.mark.timeout(TEST_TIMEOUT_S)


async def test_a_synchronous_standby_loses_no_acknowledgement() -> None:
    async with open_server_pair(synchronous=True) as servers:
        found = await fail_over(servers, loses_commits=False)
    report("synchronous", found)
    assert (found.lost_orders, found.contradicted, found.orphan_dispatches, found.contradictions) == ([], [], [], [])
    assert found.acknowledged > DEVICES
