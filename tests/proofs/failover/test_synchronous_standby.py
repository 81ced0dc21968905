"""A standby that each commit waits for loses nothing that anybody was told."""

from __future__ import annotations

import pytest

from tests.proofs.failover.pair import open_pair
from tests.proofs.failover.taking_over import DEVICES, TEST_TIMEOUT_S, fail_over, tell

pytestmark = pytest.mark.timeout(TEST_TIMEOUT_S)


async def test_a_synchronous_standby_takes_over_without_losing_a_word() -> None:
    async with open_pair(synchronous=True) as pair:
        found = await fail_over(pair, loses=False)
    tell("synchronous", found)
    assert (found.lost_orders, found.lost_words, found.orphan_dispatches, found.contradictions) == ([], [], [], [])
    assert found.acknowledged > DEVICES
