"""A robot that an operator has disabled is refused, however long its token lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.inventory import loops
from autogrocery.inventory.actions.disable_robots import disable_robots
from autogrocery.inventory.peers.gateway import open_gateway
from autogrocery.kit.backoff import SPREAD
from autogrocery.kit.errors import InDoubt, Unauthenticated, Unavailable
from autogrocery.kit.security.tokens import Verifier
from tests.harness.running_inventory import ROBOT_SECRET, robot_token, run_gateway_stub
from tests.harness.waiting import until

if TYPE_CHECKING:
    from tests.harness.running_inventory import RunningInventory

BEAT = pb.HeartbeatRequest(robot_id="dairy-1")
MAX_DELAY_S = 60.0


@pytest.fixture
def token() -> str:
    """A robot's token with user id 7."""
    return robot_token("dairy-1", "dairy")


async def test_disabled_robot_is_unauthenticated_and_enabled_robot_is_ok(
    inventory: RunningInventory, token: str
) -> None:
    assert await inventory.status_of("Heartbeat", BEAT, token) == "OK"
    for disabled, status in (({7}, "UNAUTHENTICATED"), (set(), "OK")):
        inventory.gateway.disabled = disabled
        await inventory.restart()  # which loads the list at once

        async def has_status(status: str = status) -> bool:
            return await inventory.status_of("Heartbeat", BEAT, token) == status

        await until(has_status)


def test_disabled_list_is_loaded_within_60_s_even_if_one_request_fails() -> None:
    assert 2 * loops.DISABLE_ROBOTS_EVERY_S * (1 + SPREAD) <= MAX_DELAY_S


async def test_last_disabled_list_stays_in_force_without_gateway(token: str) -> None:
    verifier = Verifier([ROBOT_SECRET.encode()], issuer="autogrocery", audience="inventory")
    async with run_gateway_stub() as gateway, open_gateway(gateway.url, b"w" * 32) as peer:
        gateway.disabled = {7}
        await disable_robots(peer, verifier)
        with pytest.raises(Unauthenticated):
            verifier.verify(token)
    async with open_gateway(gateway.url, b"w" * 32) as peer:
        with pytest.raises((InDoubt, Unavailable)):
            await disable_robots(peer, verifier)
    with pytest.raises(Unauthenticated):
        verifier.verify(token)
