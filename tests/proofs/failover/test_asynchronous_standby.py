"""A standby that follows at its leisure: what it loses is known and counted, and nothing else goes wrong."""

from __future__ import annotations

import pytest

from tests.proofs.failover.pair import open_pair
from tests.proofs.failover.taking_over import LOST_AT_LEAST, TEST_TIMEOUT_S, fail_over, tell

pytestmark = pytest.mark.timeout(TEST_TIMEOUT_S)


async def test_an_asynchronous_standby_loses_what_it_did_not_hear_and_contradicts_nobody() -> None:
    """What it lost is counted: orders without a row, and robots without an order. All that has a row is right."""
    async with open_pair(synchronous=False) as pair:
        found = await fail_over(pair, loses=True)
    tell("asynchronous", found)
    assert len(found.lost_orders) >= LOST_AT_LEAST
    assert len(found.orphan_dispatches) >= LOST_AT_LEAST
    assert set(found.orphan_dispatches) <= set(found.lost_orders)
    assert found.lost_words == []
    assert found.contradictions == []
