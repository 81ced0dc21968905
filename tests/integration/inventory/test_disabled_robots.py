"""A robot that an operator has disabled is refused, however long its token lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.inventory import loops
from autogrocery.inventory.actions.shut_out import shut_out
from autogrocery.inventory.peers.gateway import open_gateway
from autogrocery.kit.errors import InDoubt, Unauthenticated, Unavailable
from autogrocery.kit.process.loops import JITTER
from autogrocery.kit.security.tokens import Verifier
from tests.harness.running_inventory import ROBOT_SECRET, badge, listening, until

if TYPE_CHECKING:
    from tests.harness.running_inventory import Shop

BEAT = pb.HeartbeatRequest(robot_id="dairy-1")
PROMISED_S = 60.0


@pytest.fixture
def token() -> str:
    """Of user id 7."""
    badged: str = badge("dairy-1", "dairy")[0][1]
    return badged.removeprefix("Bearer ")


async def test_a_disabled_robot_is_refused_and_an_enabled_one_is_heard_again(shop: Shop, token: str) -> None:
    assert await shop.status_of("Heartbeat", BEAT, token) == "OK"
    for disabled, status in (({7}, "UNAUTHENTICATED"), (set(), "OK")):
        shop.gateway.disabled = disabled
        await shop.restart()  # which asks at once

        async def is_so(status: str = status) -> bool:
            return await shop.status_of("Heartbeat", BEAT, token) == status

        await until(is_so)


def test_the_list_is_asked_for_often_enough_although_one_answer_is_lost() -> None:
    assert 2 * loops.SHUT_OUT_EVERY_S * (1 + JITTER) <= PROMISED_S


async def test_while_the_gateway_is_silent_the_last_list_stays_in_force(token: str) -> None:
    verifier = Verifier([ROBOT_SECRET.encode()], issuer="autogrocery", audience="inventory")
    async with listening() as gateway, open_gateway(gateway.url, b"w" * 32) as peer:
        gateway.disabled = {7}
        await shut_out(peer, verifier)
        with pytest.raises(Unauthenticated):
            verifier.verify(token)
    async with open_gateway(gateway.url, b"w" * 32) as peer:
        with pytest.raises((InDoubt, Unavailable)):
            await shut_out(peer, verifier)
    with pytest.raises(Unauthenticated):
        verifier.verify(token)
