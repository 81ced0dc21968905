"""Lines on stock and on ReserveItems: K1, and the holds of K4."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.lab.conformance.inventory_peer import InventoryPeer, new_id, units_of, until
from autogrocery.lab.conformance.line import CALLS, PROMISES, Line, expect

if TYPE_CHECKING:
    from typing import Any

BUYERS: Final = 20
UNITS: Final = 20
SHORT_HOLD_S: Final = 2
LAPSE_S: Final = 10.0  # a peer may free lapsed holds in a loop of its own
CLOCK_SKEW_S: Final = 2.0


async def stock_is_entered_once(peer: InventoryPeer) -> None:
    """A shelved delivery is for sale at once; its repetition adds nothing."""
    sku = peer.new_sku()
    request = peer.delivery({sku: UNITS})
    replies = [await peer.calls.ask("RestockItems", request) for _ in range(3)]
    expect(all(reply.success for reply in replies), "a repeated RestockItems was not answered the same")
    expect(all(reply.order_id == request.order_id for reply in replies), "the reply has another order_id")
    await peer.expect_free(sku, UNITS, "after one shelved delivery, sent three times")


async def other_delivery_is_refused(peer: InventoryPeer) -> None:
    """Other content under a delivery's id is refused and changes nothing."""
    sku = peer.new_sku()
    request = peer.delivery({sku: UNITS})
    reply = await peer.calls.ask("RestockItems", request)
    expect(reply.success, f"RestockItems was refused: {reply.message}")
    other = await peer.calls.ask("RestockItems", peer.delivery({sku: UNITS + 1}, order_id=request.order_id))
    expect(not other.success, "other quantities under the same id were accepted")
    await peer.expect_free(sku, UNITS, "after the refused delivery")


async def other_aisle_is_refused(peer: InventoryPeer) -> None:
    """A delivery that puts a known product into another aisle is refused and changes nothing."""
    sku = await peer.fresh(UNITS)
    request = peer.delivery({sku: UNITS})
    request.items[0].aisle_type = "meat" if request.items[0].aisle_type != "meat" else "bread"
    reply = await peer.calls.attempt("RestockItems", request)
    expect(reply is None or not reply.success, "a product was accepted for two aisles")
    await peer.expect_free(sku, UNITS, "after the refused delivery")


async def deliveries_are_told(peer: InventoryPeer) -> None:
    """GetRestock says UNKNOWN for an unknown delivery and RECEIVING for one that is to be put away."""
    states = pb.GetRestockResponse
    unknown = await peer.calls.ask("GetRestock", pb.GetRestockRequest(order_id=new_id()))
    expect(unknown.state == states.UNKNOWN, "the state of an unknown delivery is not UNKNOWN")
    request = peer.delivery({peer.new_sku(): UNITS}, shelved=False)
    reply = await peer.calls.ask("RestockItems", request)
    expect(reply.success, f"RestockItems was refused: {reply.message}")
    known = await peer.calls.ask("GetRestock", pb.GetRestockRequest(order_id=request.order_id))
    allowed = {states.RECEIVING} if peer.options.robot else {states.RECEIVING, states.RECEIVED}
    expect(known.state in allowed, "the state of an accepted delivery is not RECEIVING")


async def availability_omits_unknown(peer: InventoryPeer) -> None:
    """CheckAvailability counts what can be bought and leaves unknown SKUs out."""
    sku, unknown = await peer.fresh(UNITS), peer.new_sku()
    await peer.hold(new_id(), {sku: 3})
    reply = await peer.calls.ask("CheckAvailability", pb.CheckAvailabilityRequest(skus=[sku, unknown]))
    found = {level.sku: level.available for level in reply.items}
    expect(found == {sku: UNITS - 3}, f"with 3 of {UNITS} units held it said {found}")


async def reserve_repeats(peer: InventoryPeer) -> None:
    """The same ReserveItems holds once and is answered the same, one after the other and at once."""
    sku, order_id = await peer.fresh(UNITS), new_id()
    replies = [await peer.hold(order_id, {sku: 2})]
    replies += await asyncio.gather(*(peer.hold(order_id, {sku: 2}) for _ in range(4)))
    expect(all(units_of(reply.items) == {sku: 2} for reply in replies), "a repeated reply does not grant 2 units")
    expect(all(reply.order_id == order_id for reply in replies), "a reply has another order_id")
    await peer.expect_free(sku, UNITS - 2, "after five reservations under one id")


async def reserve_renews(peer: InventoryPeer) -> None:
    """The same ReserveItems renews the hold to at least hold_seconds from now."""
    sku, order_id = await peer.fresh(UNITS), new_id()
    await peer.hold(order_id, {sku: 2}, hold_s=SHORT_HOLD_S)
    reply = await peer.hold(order_id, {sku: 2}, hold_s=60)
    asked_until = time.time() + 60 - CLOCK_SKEW_S
    if reply.HasField("expires_at"):
        expires_at = reply.expires_at.ToMicroseconds() / 1e6
        expect(expires_at >= asked_until, "expires_at of the renewed hold is sooner than hold_seconds from now")
    await asyncio.sleep(SHORT_HOLD_S + 1.5)
    await peer.expect_free(sku, UNITS - 2, "past the end of the first hold, which was renewed")


async def other_items_differ(peer: InventoryPeer) -> None:
    """Other items on a held order are ITEMS_DIFFER; the hold stays."""
    sku, order_id = await peer.fresh(UNITS), new_id()
    await peer.hold(order_id, {sku: 2})
    reply = await peer.reserve(order_id, {sku: 3})
    expect(not reply.success, "another quantity on a held order was granted")
    expect(reply.refusal == pb.ITEMS_DIFFER, "the refusal is not ITEMS_DIFFER")
    await peer.expect_free(sku, UNITS - 2, "after the refused change")


async def shortage_is_refused(peer: InventoryPeer) -> None:
    """A shortage is refused as SHORTAGE, with what is available, and holds nothing."""
    sku, other = await peer.fresh(3), await peer.fresh(UNITS)
    reply = await peer.reserve(new_id(), {sku: 5, other: 1})
    expect(not reply.success, "5 units were granted of 3")
    expect(reply.refusal == pb.SHORTAGE, "the refusal is not SHORTAGE")
    told = [(short.sku, short.requested, short.available) for short in reply.shortages]
    expect(told == [(sku, 5, 3)], f"shortages should name {sku}, requested 5, available 3")
    await peer.expect_free(other, UNITS, "after a refusal, of the line that was in stock")


async def shortage_is_not_remembered(peer: InventoryPeer) -> None:
    """A refusal for lack of stock is not remembered: once there is stock, the same call is granted."""
    sku, order_id, first = await peer.fresh(3), new_id(), new_id()
    await peer.hold(first, {sku: 3})
    refused = await peer.reserve(order_id, {sku: 2})
    expect(not refused.success, "2 units were granted although all were held")
    await peer.release(first)
    again = await peer.reserve(order_id, {sku: 2})
    expect(again.success, "the same order was refused again although the stock is back")


async def unknown_sku_is_refused(peer: InventoryPeer) -> None:
    """An unknown SKU is UNKNOWN_SKU; nothing of the order is held."""
    sku = await peer.fresh(UNITS)
    reply = await peer.reserve(new_id(), {sku: 1, peer.new_sku(): 1})
    expect(not reply.success, "a SKU that was never delivered was granted")
    expect(reply.refusal == pb.UNKNOWN_SKU, "the refusal is not UNKNOWN_SKU")
    await peer.expect_free(sku, UNITS, "after the refusal")


async def partial_is_granted(peer: InventoryPeer) -> None:
    """With allow_partial what there is is held, and a repetition holds the same."""
    sku, other, order_id = await peer.fresh(3), await peer.fresh(UNITS), new_id()
    replies = [await peer.reserve(order_id, {sku: 5, other: 2}, partial=True) for _ in range(2)]
    for reply in replies:
        expect(reply.success, "a partial reservation was refused although there is some stock")
        granted = units_of(reply.items)
        expect(granted == {sku: 3, other: 2}, f"it should grant what there is, 3 and 2 units; it granted {granted}")
    await peer.expect_free(other, UNITS - 2, "after the repeated partial reservation")


async def hold_lapses(peer: InventoryPeer) -> None:
    """A hold that is not renewed lapses, and its units can be bought by others."""
    sku = await peer.fresh(3)
    await peer.hold(new_id(), {sku: 3}, hold_s=SHORT_HOLD_S)
    await wait_for_lapse(peer, sku, 3)


async def lapsed_hold_is_taken_again(peer: InventoryPeer) -> None:
    """The same ReserveItems takes a lapsed hold again."""
    sku, order_id = await peer.fresh(3), new_id()
    await peer.hold(order_id, {sku: 3}, hold_s=SHORT_HOLD_S)
    await wait_for_lapse(peer, sku, 3)
    reply = await peer.hold(order_id, {sku: 3})
    expect(units_of(reply.items) == {sku: 3}, "the reply does not grant the 3 units")
    await peer.expect_free(sku, 0, "after the lapsed hold was taken again")


async def last_units_are_held_once(peer: InventoryPeer) -> None:
    """Of many buyers at once, exactly as many get a unit as there are."""
    units = 7
    sku = await peer.fresh(units)
    replies = await asyncio.gather(*(peer.reserve(new_id(), {sku: 1}) for _ in range(BUYERS)))
    granted = sum(reply.success for reply in replies)
    expect(granted == units, f"{granted} of {BUYERS} buyers at once were granted one of {units} units")
    await peer.expect_free(sku, 0, "after the rush")


async def opposite_baskets_do_not_block(peer: InventoryPeer) -> None:
    """Baskets of the same products in opposite order, at once: all are answered in time, none waits for another."""
    one, other = await peer.fresh(BUYERS), await peer.fresh(BUYERS)

    async def buy(first: str, second: str) -> Any:
        items = [pb.Item(sku=sku, quantity=1) for sku in (first, second)]
        request = pb.ReserveItemsRequest(order_id=new_id(), items=items, hold_seconds=60)
        return await peer.calls.ask("ReserveItems", request)

    pairs = [(one, other), (other, one)] * (BUYERS // 2)
    replies = await asyncio.gather(*(buy(*pair) for pair in pairs))
    expect(all(reply.success for reply in replies), "a basket was refused although the stock suffices for all")
    await peer.expect_free(one, 0, "after all baskets")


async def wait_for_lapse(peer: InventoryPeer, sku: str, units: int) -> None:
    """Wait until a hold of SHORT_HOLD_S seconds has lapsed; fails if it does not."""

    async def is_free() -> bool:
        return await peer.free(sku) == units

    lapsed = await until(is_free, SHORT_HOLD_S + LAPSE_S)
    expect(lapsed, f"{LAPSE_S:g} s after hold_seconds the units of a hold were not available again")


LINES: Final = (
    Line("S1", "A shelved delivery is for sale at once, and only once", PROMISES, stock_is_entered_once),
    Line("S2", "Other content under a delivery's id is refused", PROMISES, other_delivery_is_refused),
    Line("S3", "GetRestock tells a delivery's state", PROMISES, deliveries_are_told),
    Line("S4", "CheckAvailability counts what can be bought, without unknown SKUs", CALLS, availability_omits_unknown),
    Line("S5", "A product stays in its aisle", PROMISES, other_aisle_is_refused),
    Line("K1.1", "A repeated ReserveItems holds once and is answered the same", PROMISES, reserve_repeats),
    Line("K1.2", "The same ReserveItems renews the hold", PROMISES, reserve_renews),
    Line("K1.3", "Other items on a held order are ITEMS_DIFFER", PROMISES, other_items_differ),
    Line("K1.4", "A shortage is SHORTAGE with what is available; nothing is held", CALLS, shortage_is_refused),
    Line("K1.5", "A refusal for lack of stock is not remembered", PROMISES, shortage_is_not_remembered, ("K1.4",)),
    Line("K1.6", "An unknown SKU is UNKNOWN_SKU; nothing is held", CALLS, unknown_sku_is_refused),
    Line("K1.7", "allow_partial grants what there is, and the same again", PROMISES, partial_is_granted),
    Line("K1.8", "A hold lapses after hold_seconds", PROMISES, hold_lapses),
    Line("K1.9", "The same ReserveItems takes a lapsed hold again", PROMISES, lapsed_hold_is_taken_again, ("K1.8",)),
    Line(
        "K4.1", "Of many buyers at once, as many get a unit as there are", PROMISES, last_units_are_held_once, ("K1.4",)
    ),
    Line("K4.2", "Baskets in opposite order do not block each other", PROMISES, opposite_baskets_do_not_block),
)
