"""An operator resends a receipt and replays dead letters: one mail goes out, however often it is asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from autogrocery.gateway.actions.ops.act_on_order import OrderPorts, act_on_order
from autogrocery.gateway.actions.ops.record_write import Write
from autogrocery.gateway.actions.ops.replay_dead_letter import replay_dead_letter
from autogrocery.kit.errors import Conflict
from tests.harness.mail_server import Mailbox, serve_smtp
from tests.harness.notifier import end_orders, mail_to, receipts_of

if TYPE_CHECKING:
    from uuid import UUID

    from tests.integration.notifier.conftest import GatewayActions


async def resend(gateway: GatewayActions, order_id: UUID) -> bool:
    ports = OrderPorts(gateway.store, gateway.inventory, gateway.metrics, 600.0)
    write = Write("operator-1", "resend_receipt", f"order:{order_id}", "the customer calls")
    return (await act_on_order(ports, order_id, "resend_receipt", write)).answer.applied


async def replay(gateway: GatewayActions, order_id: UUID) -> bool:
    write = Write("operator-1", "replay", f"receipts:{order_id}", "the server is back")
    return (await replay_dead_letter(gateway.db, "receipts", order_id, write)).answer.applied


@pytest.mark.parametrize("verb", ["resend", "replay"])
async def test_dead_receipt_is_sent_once_after_many_requests(gateway: GatewayActions, verb: str) -> None:
    box = Mailbox()
    box.reply = "550 no such mailbox"
    with serve_smtp(box) as place:
        (order_id,) = await end_orders(gateway, 1)
        outbox = receipts_of(gateway.db, mail_to(f"smtp://{place}"))
        await outbox.relay()
        assert box.messages == []
        box.reply = "250 OK"
        asked = resend if verb == "resend" else replay
        await asyncio.gather(*(asked(gateway, order_id) for _ in range(5)))
        await outbox.relay()
        await outbox.relay()
        assert len(box.messages) == 1
        with pytest.raises(Conflict, match="receipt_sent"):
            await asked(gateway, order_id)
        await outbox.relay()
        assert len(box.messages) == 1


async def test_receipt_that_waits_for_a_retry_is_due_at_once(gateway: GatewayActions) -> None:
    box = Mailbox()
    with serve_smtp(box) as place:
        (order_id,) = await end_orders(gateway, 1)
        await gateway.db.run("UPDATE receipt_outbox SET attempts = 9, next_attempt_at = now() + interval '1 hour'")
        outbox = receipts_of(gateway.db, mail_to(f"smtp://{place}"))
        await outbox.relay()
        assert box.messages == []
        assert await resend(gateway, order_id)
        await outbox.relay()
        assert len(box.messages) == 1


async def test_alert_older_than_a_day_stays_dead(gateway: GatewayActions) -> None:
    (order_id,) = await end_orders(gateway, 1)
    await gateway.db.run(
        "INSERT INTO alert_outbox (order_id, event, user_id, created_at, dead_at)"
        " VALUES ($1, 'PARTIAL', $2, now() - interval '2 days', now())",
        order_id,
        gateway.user_id,
    )
    write = Write("operator-1", "replay", f"alerts:{order_id}", "try")
    with pytest.raises(Conflict, match="too_old"):
        await replay_dead_letter(gateway.db, "alerts", order_id, write)
    await gateway.db.run("UPDATE alert_outbox SET created_at = now()")
    assert (await replay_dead_letter(gateway.db, "alerts", order_id, write)).answer.applied
    await gateway.db.run("DELETE FROM alert_outbox")  # a full order has no alert: the audit would find it
