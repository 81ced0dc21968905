"""Lines on the webhooks that an inventory sends: signed, repeated until acknowledged, always the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.contracts.webhook import UpdateOrder, UpdateRestock
from autogrocery.lab.conformance.inventory_peer import InventoryPeer, new_id, state_name, until
from autogrocery.lab.conformance.line import WEBHOOKS, Failed, Line, NotChecked, expect
from autogrocery.lab.conformance.listener import FAIL, ORDER_PATH, RESTOCK_PATH, SILENT
from autogrocery.lab.conformance.reserve_lines import UNITS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from autogrocery.lab.conformance.listener import Delivery, WebhookListener

FIRST_S: Final = 30.0  # until the first attempt: the peer's own robots may have to pick first


async def webhook_is_signed(peer: InventoryPeer) -> None:
    """A finished order is told by a webhook, signed as Standard Webhooks 1.0."""
    listener = _listener(peer)
    if not listener.verifies:
        raise NotChecked("no WEBHOOK_SECRET")
    order_id = await peer.finish({await peer.fresh(UNITS): 1})
    first = (await _deliveries(peer, order_id, 1, FIRST_S))[0]
    expect(not first.problem, f"the webhook of a finished order: {first.problem}")


async def webhook_tells_totals(peer: InventoryPeer) -> None:
    """The webhook has the order's final status and the units picked, as GetOrder says."""
    sku, other = await peer.fresh(UNITS), await peer.fresh(UNITS)
    order_id = await peer.finish({sku: 3, other: 2})
    told = _decode(await _deliveries(peer, order_id, 1, FIRST_S))
    order = await peer.order(order_id)
    expect(
        told.status == state_name(order.state), f"the webhook says {told.status}, GetOrder {state_name(order.state)}"
    )
    if told.items is not None:
        units = {one.sku: one.picked for one in told.items}
        counted = {item.sku: item.picked for item in order.items}
        expect(units == counted, f"the webhook says {units} were picked, GetOrder says {counted}")


async def webhook_tells_missing_units(peer: InventoryPeer) -> None:
    """Units that a robot did not find are missing in the webhook too."""
    _listener(peer)
    peer.require_robot()
    sku, order_id = await peer.fresh(UNITS), new_id()
    reply = await peer.dispatch(order_id, {sku: 3})
    await peer.pick(reply.assignments, pb.ReportPickRequest.SHORT, {sku: 1})
    told = _decode(await _deliveries(peer, order_id, 1, FIRST_S))
    units = {one.sku: one.picked for one in told.items or ()}
    expect(units == {sku: 1}, f"1 of 3 units was picked; the webhook says {units}")


async def webhook_is_repeated(peer: InventoryPeer) -> None:
    """After a 500 and after no answer the webhook comes again, with the same webhook-id and body."""
    listener = _listener(peer)
    within_s = peer.options.webhook_repeat_s
    sku, order_id = await peer.fresh(UNITS), new_id()
    listener.plans[order_id] = [FAIL, SILENT]
    reply = await peer.dispatch(order_id, {sku: 1})
    if peer.options.robot is not None:
        await peer.pick(reply.assignments, pb.ReportPickRequest.PICKED, {sku: 1})
    await _deliveries(peer, order_id, 1, FIRST_S)
    for attempt, after in ((2, "a 500"), (3, "no answer")):
        came = await until(_arrived(listener, order_id, attempt), within_s)
        expect(came, f"{within_s:g} s after {after} the webhook had not come again")
    deliveries = listener.of(order_id)
    expect(len({one.webhook_id for one in deliveries}) == 1, "a repeated webhook has another webhook-id")
    expect(len({one.body for one in deliveries}) == 1, "a repeated webhook has another body")
    wrong = [one.problem for one in deliveries if one.problem]
    expect(not wrong, f"{len(wrong)} of {len(deliveries)} attempts: {wrong[0] if wrong else ''}")


async def delivery_is_told(peer: InventoryPeer) -> None:
    """A delivery's totals are told by webhooks that never decrease, up to RECEIVED."""
    listener = _listener(peer)
    peer.require_robot()
    robot = peer.options.robot
    assert robot is not None
    sku = peer.new_sku()
    request = peer.delivery({sku: 5}, shelved=False)
    accepted = await peer.calls.ask("RestockItems", request)
    expect(accepted.success, f"RestockItems was refused: {accepted.message}")
    putaway = await peer.work_off(until_sku=sku)
    if putaway is None:
        raise Failed("ListWork does not have the putaway of an accepted delivery")
    lease = await peer.start(putaway)
    expect(lease.granted, "StartPick of a new putaway was not granted")
    for sequence, (received, damaged, done) in enumerate(((3, 1, False), (5, 1, True)), start=1):
        report = pb.ReportPutawayRequest(
            assignment_id=putaway.assignment_id,
            robot_id=robot.robot_id,
            sequence=sequence,
            items=[pb.RestockedItem(sku=sku, received=received, damaged=damaged)],
            done=done,
            fence=lease.fence,
        )
        await peer.calls.ask("ReportPutaway", report, robot.token)
        await peer.expect_free(sku, received - damaged, f"after {received} units were put away, {damaged} damaged")

    async def received_all() -> bool:
        return any(_decode_restock(one).status == "RECEIVED" for one in listener.of(request.order_id))

    expect(await until(received_all, FIRST_S), "no webhook says RECEIVED of a delivery that was put away")
    totals = [sum(one.received for one in _decode_restock(told).items) for told in listener.of(request.order_id)]
    expect(totals == sorted(totals), f"the totals of a delivery decrease: {totals}")
    expect(totals[-1] == 5, f"5 units came, the last webhook says {totals[-1]}")  # noqa: PLR2004 - as reported above


def _listener(peer: InventoryPeer) -> WebhookListener:
    if peer.listener is None:
        raise NotChecked("no --webhook-listen")
    return peer.listener


def _arrived(listener: WebhookListener, order_id: str, attempts: int) -> Callable[[], Awaitable[bool]]:
    async def arrived() -> bool:
        return len(listener.of(order_id)) >= attempts

    return arrived


async def _deliveries(peer: InventoryPeer, order_id: str, attempts: int, within_s: float) -> list[Delivery]:
    """Return the deliveries about an order once there are so many; fails if it ended and none came."""
    listener = _listener(peer)
    if not await until(_arrived(listener, order_id, attempts), within_s):
        state = await peer.state(order_id)
        if state == "ASSIGNED" and peer.options.robot is None:
            raise NotChecked("no robot picked the order: no ROBOT_TOKEN")
        raise Failed(f"the order is {state}, and within {within_s:g} s no webhook came to --webhook-listen")
    return listener.of(order_id)


def _decode(deliveries: list[Delivery]) -> UpdateOrder:
    first = deliveries[0]
    expect(first.path == ORDER_PATH, f"the webhook of an order came to {first.path}, not {ORDER_PATH}")
    try:
        return msgspec.json.decode(first.body, type=UpdateOrder)
    except msgspec.MsgspecError as error:
        raise Failed(f"the webhook's body is not the contract's: {error}") from None


def _decode_restock(delivery: Delivery) -> UpdateRestock:
    expect(delivery.path == RESTOCK_PATH, f"the webhook of a delivery came to {delivery.path}, not {RESTOCK_PATH}")
    try:
        return msgspec.json.decode(delivery.body, type=UpdateRestock)
    except msgspec.MsgspecError as error:
        raise Failed(f"the webhook's body is not the contract's: {error}") from None


LINES: Final = (
    Line("W1", "A finished order's webhook is signed", WEBHOOKS, webhook_is_signed),
    Line("W2", "It has the final status and the units picked", WEBHOOKS, webhook_tells_totals),
    Line("W3", "It has fewer units if some were missing", WEBHOOKS, webhook_tells_missing_units),
    Line("W4", "It is repeated after a 500 and after no answer, the same", WEBHOOKS, webhook_is_repeated),
    Line("W5", "A delivery's webhooks have totals that never decrease", WEBHOOKS, delivery_is_told),
)
