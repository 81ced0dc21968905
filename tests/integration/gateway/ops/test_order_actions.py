"""An operator's actions on orders: each runs the loops' code, twice or at once as once, and is refused with a 409."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest

from tests.harness.operators import READ, REASON, unregistered
from tests.harness.running_gateway import webhook_body

if TYPE_CHECKING:
    from tests.harness.operators import Operator
    from tests.harness.running_gateway import Device

pytestmark = pytest.mark.asyncio(loop_scope="module")
DOWN = grpc.StatusCode.UNAVAILABLE
MISSING = "018f0000-0000-7000-8000-00000000beef"


async def stuck(device: Device) -> str:
    """Confirm an order while inventory gives no clear answer; its sweeper sleeps for ten minutes."""
    order_id, inventory = await device.previewed(), device.gateway.fake_inventory
    inventory.abort_with = {"AssignRobots": DOWN}
    assert (await device.confirm(order_id)).status == 202
    await device.gateway.db.run(
        "UPDATE grocery_orders SET due_at = now() + interval '10 minutes' WHERE order_id = $1", order_id
    )
    return order_id


async def test_retry_dispatch_of_a_stuck_order_dispatches_it_and_is_logged(device: Device, operator: Operator) -> None:
    order_id = await stuck(device)
    device.gateway.fake_inventory.clear_faults()
    reply = await operator.act(order_id, "retry_dispatch")
    assert (reply.status, reply.json["applied"]) == (200, True)
    assert (reply.json["before"], reply.json["after"]) == ("PREVIEWED/DISPATCH", "PROCESSING")
    (entry,) = await operator.log_of(f"order:{order_id}")
    assert (entry["operator"], entry["action"], entry["reason"]) == ("operator-1", "retry_dispatch", REASON)
    assert (entry["outcome"], entry["before"]["status"], entry["after"]["status"]) == (
        "done",
        "PREVIEWED",
        "PROCESSING",
    )
    again = await operator.act(order_id, "retry_dispatch")
    assert (again.status, again.code) == (409, "not_owed")
    assert device.gateway.fake_inventory.dispatches[order_id] == 1


async def test_retry_dispatch_without_an_answer_of_inventory_is_in_doubt_and_the_order_stays_owed(
    device: Device, operator: Operator
) -> None:
    order_id = await stuck(device)
    reply = await operator.act(order_id, "retry_dispatch")
    assert (reply.status, reply.json["applied"], reply.json["after"]) == (200, False, "PREVIEWED/DISPATCH")
    assert (await operator.log_of(f"order:{order_id}"))[0]["outcome"] == "in_doubt"
    device.gateway.fake_inventory.clear_faults()
    await device.wait_for_status(order_id, "PROCESSING")


async def test_ten_retries_at_once_dispatch_once(device: Device, operator: Operator) -> None:
    order_id = await stuck(device)
    device.gateway.fake_inventory.clear_faults()
    replies = await asyncio.gather(*(operator.act(order_id, "retry_dispatch") for _ in range(10)))
    assert {reply.status for reply in replies} <= {200, 409}
    assert device.gateway.fake_inventory.dispatches[order_id] == 1
    assert (await device.order(order_id))["status"] == "PROCESSING"


async def test_release_cancels_a_quote_once(device: Device, operator: Operator) -> None:
    order_id = await device.previewed()
    first, second = [await operator.act(order_id, "release") for _ in range(2)]
    assert (first.json["applied"], first.json["after"]) == (True, "CANCELLED")
    assert (second.status, second.json["before"], second.json["after"]) == (200, "CANCELLED", "CANCELLED")
    assert (await device.confirm(order_id)).code == "order_cancelled"


async def test_release_of_an_order_that_is_picked_returns_409_and_it_goes_on(
    device: Device, operator: Operator
) -> None:
    order_id = await device.processing()
    device.gateway.fake_inventory.started.add(order_id)
    reply = await operator.act(order_id, "release")
    assert (reply.status, reply.code) == (409, "too_late_to_cancel")
    assert (await device.order(order_id))["status"] == "PROCESSING"
    assert (await operator.log_of(f"order:{order_id}"))[0]["outcome"] == "refused:too_late_to_cancel"


async def test_release_before_the_picking_takes_the_dispatch_back(device: Device, operator: Operator) -> None:
    order_id = await device.processing()
    reply = await operator.act(order_id, "release")
    assert (reply.json["before"], reply.json["after"]) == ("PROCESSING", "CANCELLED")
    assert device.gateway.fake_inventory.dispatches[order_id] == 0


async def test_release_and_confirm_at_once_agree(device: Device, operator: Operator) -> None:
    for _ in range(5):
        order_id = await device.previewed()
        released, _confirmed = await asyncio.gather(operator.act(order_id, "release"), device.confirm(order_id))
        assert released.status in {200, 409}
        status = (await device.order(order_id))["status"]
        assert device.gateway.fake_inventory.dispatches[order_id] == (status == "PROCESSING")


async def test_release_of_an_overdue_quote_expires_it(device: Device, operator: Operator) -> None:
    order_id = await device.previewed()
    await device.gateway.db.run(
        "UPDATE grocery_orders SET expires_at = now(), due_at = now() + interval '10 minutes' WHERE order_id = $1",
        order_id,
    )
    assert (await operator.act(order_id, "release")).json["after"] == "EXPIRED"
    assert (await operator.act(order_id, "release")).code == "order_ended"


async def test_reconcile_finds_what_a_lost_webhook_would_have_said(device: Device, operator: Operator) -> None:
    order_id = await device.processing()
    device.gateway.fake_inventory.finish(order_id)
    reply = await operator.act(order_id, "reconcile")
    assert (reply.json["applied"], reply.json["after"]) == (True, "COMPLETED")
    assert (await operator.act(order_id, "reconcile")).code == "order_ended"


async def test_reconcile_after_a_corrected_contradiction_clears_the_flag(device: Device, operator: Operator) -> None:
    order_id, inventory = await device.processing(), device.gateway.fake_inventory
    was, inventory.state[order_id] = inventory.state[order_id], 1
    reply = await operator.act(order_id, "reconcile")
    assert "contradicts" in reply.json["words"]
    flagged = (await operator.log_of(f"order:{order_id}"))[0]["after"]["attention"]
    assert flagged
    inventory.abort_with = {"GetOrder": DOWN}
    assert (await operator.act(order_id, "reconcile")).json["applied"] is False
    assert (await operator.log_of(f"order:{order_id}"))[0]["after"]["attention"] == flagged
    inventory.clear_faults()
    inventory.state[order_id] = was
    assert (await operator.act(order_id, "reconcile")).json["after"] == "PROCESSING"
    assert (await operator.log_of(f"order:{order_id}"))[0]["after"]["attention"] is None


async def test_resend_receipt_makes_a_dead_one_due_and_never_one_that_was_sent(
    device: Device, operator: Operator
) -> None:
    order_id, db = await device.processing(), device.gateway.db
    assert (await operator.act(order_id, "resend_receipt")).code == "no_receipt"
    assert (await device.gateway.send_webhook(webhook_body(order_id))).status == 200
    await db.run(
        "UPDATE receipt_outbox SET done_at = NULL, dead_at = now(), last_error = 'mail_refused' WHERE order_id = $1",
        order_id,
    )
    listed = (await operator.get("/dead-letters?kind=receipts")).json["data"]
    assert [one["last_error"] for one in listed if one["id"] == order_id] == ["mail_refused"]
    assert (await operator.act(order_id, "resend_receipt")).json["words"] == "The receipt is due again."
    await db.run("UPDATE receipt_outbox SET done_at = now() WHERE order_id = $1", order_id)
    assert (await operator.act(order_id, "resend_receipt")).code == "receipt_sent"


async def test_actions_on_what_does_not_exist_return_404(device: Device, operator: Operator) -> None:
    order_id = await device.previewed()
    assert (await operator.act(MISSING, "release")).code == "order_not_found"
    assert (await operator.act("nonsense", "release")).code == "order_not_found"
    assert (await operator.act(order_id, "delete")).code == "no_such_action"


async def test_actions_in_a_wrong_state_return_409(device: Device, operator: Operator) -> None:
    order_id = await device.previewed()
    assert (await operator.act(order_id, "retry_dispatch")).code == "not_owed"
    assert (await operator.act(order_id, "reconcile")).code == "not_dispatched"
    owed = await stuck(device)
    assert (await operator.act(owed, "reconcile")).code == "call_owed"


async def test_same_key_answers_the_same_and_another_request_under_it_is_refused(
    device: Device, operator: Operator
) -> None:
    order_id = await device.previewed()
    first, second = [await operator.act(order_id, "release", key=f"key-{order_id}") for _ in range(2)]
    assert first.json == second.json
    assert (first.headers.get("idempotency-replayed"), second.headers["idempotency-replayed"]) == (None, "true")
    assert len(await operator.log_of(f"order:{order_id}")) == 1
    other = await operator.act(await device.previewed(), "release", key=f"key-{order_id}")
    assert (other.status, other.code) == (422, "idempotency_mismatch")


async def test_audit_log_only_grows(device: Device, operator: Operator) -> None:
    order_id, db = await device.previewed(), device.gateway.db
    await operator.act(order_id, "release")
    for statement in (
        "DELETE FROM ops_audit_log",
        "UPDATE ops_audit_log SET reason = 'another'",
        "TRUNCATE ops_audit_log",
    ):
        with pytest.raises(Exception, match="only grows"):
            await db.run(statement)


async def test_operator_who_may_only_read_changes_nothing(device: Device) -> None:
    reader = unregistered(device.gateway, READ)
    order_id = await device.previewed()
    for method, path in (
        ("POST", f"/orders/{order_id}/release"),
        ("PUT", "/switches/pause_previews"),
        ("POST", f"/devices/{device.device_id}/disable"),
        ("PATCH", f"/devices/{device.device_id}"),
        ("POST", "/enrolment-codes"),
        ("POST", f"/dead-letters/receipts/{order_id}/replay"),
        ("POST", f"/restocks/{order_id}/retry"),
    ):
        assert (await reader.send(method, path, on=True)).code == "insufficient_scope"
    assert (await reader.get("/switches")).status == 200
    assert (await device.order(order_id))["status"] == "PREVIEWED"
