"""The alert of an ended order has one idempotency key, whatever the SMS provider answers or does not answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

from autogrocery.kit.process.faults import Fault, Mode, arm
from autogrocery.notifier.peers.sms import open_sms
from tests.harness.fake_sms import serve_sms
from tests.harness.notifier import alerts_of
from tests.proofs.battery.environment import snapshot
from tests.proofs.battery.states import STATES

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.notifier.peers.sms import Sms
    from tests.harness.gateway_actions import GatewayActions

pytestmark = pytest.mark.asyncio(loop_scope="module")
ALERTS: Final = {"completed_short": "partial", "failed_dispatched": "failed"}


async def finished_with_contact(gateway: GatewayActions, state: str) -> UUID:
    await gateway.db.run("UPDATE smart_devices SET phone = '+15550177' WHERE id = $1", gateway.user_id)
    return await STATES[state](gateway)


async def relay(gateway: GatewayActions, sms: Sms) -> None:
    await alerts_of(gateway.db, sms).relay()


async def later(gateway: GatewayActions, sms: Sms) -> None:
    await gateway.db.run("UPDATE alert_outbox SET next_attempt_at = now() WHERE done_at IS NULL AND dead_at IS NULL")
    await relay(gateway, sms)


async def outbox_state(gateway: GatewayActions, order_id: UUID) -> str:
    row = await gateway.db.row("SELECT * FROM alert_outbox WHERE order_id = $1", order_id)
    assert row is not None
    return "done" if row["done_at"] else "buried" if row["dead_at"] else "due"


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("state", ALERTS)
async def test_an_alert_relayed_twice_is_sent_once(gateway: GatewayActions, state: str, *, at_once: bool) -> None:
    async with serve_sms() as provider, open_sms(provider.url) as sms:
        order_id = await finished_with_contact(gateway, state)
        before = await snapshot(gateway, order_id)
        if at_once:
            await asyncio.gather(relay(gateway, sms), relay(gateway, sms))
        else:
            await relay(gateway, sms)
            await relay(gateway, sms)
        assert [message.key for message in provider.accepted] == [f"{order_id}-{ALERTS[state]}"]
        assert (await outbox_state(gateway, order_id), await snapshot(gateway, order_id)) == ("done", before)


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize(("status", "state_after"), [(503, "due"), (429, "due"), (401, "due"), (400, "buried")])
async def test_a_refused_alert_is_retried_or_buried_and_leaves_the_order_unchanged(
    gateway: GatewayActions, status: int, state_after: str, *, after_effect: bool
) -> None:
    async with serve_sms() as provider, open_sms(provider.url) as sms:
        provider.status, provider.after_effect = status, after_effect
        order_id = await finished_with_contact(gateway, "completed_short")
        unchanged = await snapshot(gateway, order_id)
        await relay(gateway, sms)
        assert await outbox_state(gateway, order_id) == state_after
        provider.status = 201
        await later(gateway, sms)
        assert await outbox_state(gateway, order_id) == ("done" if state_after == "due" else "buried")
        assert provider.keys <= {f"{order_id}-partial"}
        assert await snapshot(gateway, order_id) == unchanged


@pytest.mark.parametrize("mode", [Mode.ERROR_BEFORE, Mode.EFFECT_THEN_ERROR])
async def test_an_alert_in_doubt_is_sent_again_under_the_same_key(gateway: GatewayActions, mode: Mode) -> None:
    async with serve_sms() as provider, open_sms(provider.url) as sms:
        order_id = await finished_with_contact(gateway, "completed_short")
        with arm(Fault("sms.send", mode)):
            await relay(gateway, sms)
        assert await outbox_state(gateway, order_id) == "due"
        await later(gateway, sms)
        assert await outbox_state(gateway, order_id) == "done"
        assert len(provider.accepted) == (2 if mode is Mode.EFFECT_THEN_ERROR else 1)
        assert provider.keys == {f"{order_id}-partial"}
