"""The alert of an order that ended: one by its key, whatever the provider says or keeps to itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

from autogrocery.gateway.actions.send_alert import Manners
from autogrocery.gateway.loops import alert_loop
from autogrocery.gateway.peers.sms import open_sms
from autogrocery.kit.process.faults import Fault, Mode, arm
from tests.harness.fake_sms import serve_sms
from tests.proofs.battery.stage import trace
from tests.proofs.battery.states import MAKERS

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.peers.sms import Sms
    from tests.harness.gateway_actions import House

pytestmark = pytest.mark.asyncio(loop_scope="module")
STATES: Final = {"completed_short": "partial", "failed_dispatched": "failed"}


async def finished(house: House, state: str) -> UUID:
    await house.db.run("UPDATE smart_devices SET phone = '+15550177' WHERE id = $1", house.user_id)
    return await MAKERS[state](house)


async def relay(house: House, sms: Sms) -> None:
    await alert_loop(house.db, sms, "mart-test", Manners())._verb()


async def later(house: House, sms: Sms) -> None:
    await house.db.run("UPDATE alert_outbox SET next_attempt_at = now() WHERE done_at IS NULL AND dead_at IS NULL")
    await relay(house, sms)


async def stands(house: House, order_id: UUID) -> str:
    row = await house.db.row("SELECT * FROM alert_outbox WHERE order_id = $1", order_id)
    assert row is not None
    return "done" if row["done_at"] else "buried" if row["dead_at"] else "due"


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("state", STATES)
async def test_an_alert_relayed_twice_is_told_once(house: House, state: str, *, at_once: bool) -> None:
    async with serve_sms() as provider, open_sms(provider.url) as sms:
        order_id = await finished(house, state)
        before = await trace(house, order_id)
        if at_once:
            await asyncio.gather(relay(house, sms), relay(house, sms))
        else:
            await relay(house, sms)
            await relay(house, sms)
        assert [message.key for message in provider.taken] == [f"{order_id}-{STATES[state]}"]
        assert (await stands(house, order_id), await trace(house, order_id)) == ("done", before)


@pytest.mark.parametrize("after_taking", [False, True])
@pytest.mark.parametrize(("status", "stood"), [(503, "due"), (429, "due"), (401, "due"), (400, "buried")])
async def test_a_refused_alert_waits_or_is_buried_and_costs_the_order_nothing(
    house: House, status: int, stood: str, *, after_taking: bool
) -> None:
    async with serve_sms() as provider, open_sms(provider.url) as sms:
        provider.status, provider.after_taking = status, after_taking
        order_id = await finished(house, "completed_short")
        unchanged = await trace(house, order_id)
        await relay(house, sms)
        assert await stands(house, order_id) == stood
        provider.status = 201
        await later(house, sms)
        assert await stands(house, order_id) == ("done" if stood == "due" else "buried")
        assert provider.keys <= {f"{order_id}-partial"}
        assert await trace(house, order_id) == unchanged


@pytest.mark.parametrize("mode", [Mode.ERROR_BEFORE, Mode.EFFECT_THEN_ERROR])
async def test_an_alert_in_doubt_is_sent_again_under_the_same_key(house: House, mode: Mode) -> None:
    async with serve_sms() as provider, open_sms(provider.url) as sms:
        order_id = await finished(house, "completed_short")
        with arm(Fault("sms.send", mode)):
            await relay(house, sms)
        assert await stands(house, order_id) == "due"
        await later(house, sms)
        assert await stands(house, order_id) == "done"
        assert len(provider.taken) == (2 if mode is Mode.EFFECT_THEN_ERROR else 1)
        assert provider.keys == {f"{order_id}-partial"}
