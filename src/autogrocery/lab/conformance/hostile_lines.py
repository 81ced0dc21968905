"""Lines on nonsense: a peer refuses it cleanly, keeps its stock, and goes on answering."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.kit.rpc.status import Code
from autogrocery.lab.conformance.inventory_peer import InventoryPeer, new_id
from autogrocery.lab.conformance.line import CALLS, DEADLINES, Line, expect
from autogrocery.lab.conformance.reserve_lines import UNITS

if TYPE_CHECKING:
    from collections.abc import Sequence

INT32_MAX: Final = (1 << 31) - 1
MAX_LINES: Final = 100
LONG: Final = "x" * 70_000
ODD_IDS: Final = ("", "order-7", "00000000-0000-0000-0000-00000000000g", "\0", "' OR 1=1 --", LONG)
UNARY: Final = (
    ("ReserveItems", pb.ReserveItemsRequest()),
    ("AssignRobots", pb.RobotRequest()),
    ("ReleaseItems", pb.ReleaseItemsRequest()),
    ("GetOrder", pb.GetOrderRequest()),
    ("CheckAvailability", pb.CheckAvailabilityRequest()),
    ("RestockItems", pb.RestockRequest()),
    ("GetRestock", pb.GetRestockRequest()),
)


async def calls_exist(peer: InventoryPeer) -> None:
    """Every call of the gateway exists."""
    missing = [method for method, request in UNARY if await peer.calls.status(method, request) is Code.UNIMPLEMENTED]
    expect(not missing, f"UNIMPLEMENTED: {', '.join(missing)}")


async def odd_quantities_are_refused(peer: InventoryPeer) -> None:
    """Quantities of 0, below 0 and beyond all stock are refused, and change nothing."""
    sku = await peer.fresh(UNITS)
    for quantity in (0, -1, -INT32_MAX - 1, INT32_MAX):
        await _expect_refused(peer, [pb.Item(sku=sku, quantity=quantity)])
        await peer.expect_free(sku, UNITS, f"after a quantity of {quantity}")


async def odd_skus_are_refused(peer: InventoryPeer) -> None:
    """Empty SKUs and SKUs of 70 KB are refused."""
    sku = await peer.fresh(UNITS)
    for odd in ("", "\0", LONG):
        await _expect_refused(peer, [pb.Item(sku=sku, quantity=1), pb.Item(sku=odd, quantity=1)])
        reply = await peer.calls.attempt("CheckAvailability", pb.CheckAvailabilityRequest(skus=[odd]))
        expect(reply is None or not reply.items, "CheckAvailability knows a SKU that was never delivered")
    await peer.expect_free(sku, UNITS, "after odd SKUs beside it")


async def duplicates_are_merged_or_refused(peer: InventoryPeer) -> None:
    """A SKU in two lines is summed, or refused; never is only one line held."""
    sku = await peer.fresh(UNITS)
    items = [pb.Item(sku=sku, quantity=1), pb.Item(sku=sku, quantity=2)]
    request = pb.ReserveItemsRequest(order_id=new_id(), items=items, hold_seconds=60)
    reply = await peer.calls.attempt("ReserveItems", request)
    held = 3 if reply is not None and reply.success else 0
    await peer.expect_free(
        sku, UNITS - held, f"a basket with 1 and 2 units of a SKU was {'held' if held else 'refused'}"
    )


async def no_lines_and_many_lines(peer: InventoryPeer) -> None:
    """A basket without lines is refused; one of 101 lines is answered."""
    await _expect_refused(peer, [])
    await _expect_refused(peer, [pb.Item(sku=peer.new_sku(), quantity=1) for _ in range(MAX_LINES + 1)])


async def odd_ids_are_refused(peer: InventoryPeer) -> None:
    """Order ids that are no UUID, empty or of 70 KB are refused."""
    sku = await peer.fresh(UNITS)
    items = [pb.Item(sku=sku, quantity=1)]
    for odd in ODD_IDS:
        shown = repr(odd[:40])
        hold = await peer.calls.attempt(
            "ReserveItems", pb.ReserveItemsRequest(order_id=odd, items=items, hold_seconds=60)
        )
        expect(hold is None or not hold.success, f"an order with the id {shown} was held")
        dispatch = await peer.calls.attempt("AssignRobots", pb.RobotRequest(order_id=odd, items=items))
        expect(dispatch is None or not dispatch.success, f"an order with the id {shown} was dispatched")
        order = await peer.calls.attempt("GetOrder", pb.GetOrderRequest(order_id=odd))
        expect(order is None or order.state == pb.GetOrderResponse.UNKNOWN, f"GetOrder knows the id {shown}")
    await peer.expect_free(sku, UNITS, "after orders with odd ids")


async def odd_deliveries_are_refused(peer: InventoryPeer) -> None:
    """A delivery without lines, with an odd quantity, aisle, SKU or id is refused."""
    sku = peer.new_sku()
    odd = [
        peer.delivery({}),
        peer.delivery({sku: 0}),
        peer.delivery({sku: -5}),
        peer.delivery({"": 5}),
        peer.delivery({LONG: 5}),
        peer.delivery({sku: 5}, order_id="delivery-7"),
    ]
    cellar = peer.delivery({sku: 5})
    cellar.items[0].aisle_type = "cellar"
    for request in (*odd, cellar):
        reply = await peer.calls.attempt("RestockItems", request)
        expect(reply is None or not reply.success, "a delivery that can't be stocked was accepted")


async def undecodable_bytes_are_refused(peer: InventoryPeer) -> None:
    """Bytes that are no message end with an error, whatever its status; the peer goes on answering."""
    sku = await peer.fresh(UNITS)
    service = pb.DESCRIPTOR.services_by_name["InventoryService"]
    for method, _ in UNARY:
        await expect_undecodable(peer, f"/{service.full_name}/{method}")
    await peer.expect_free(sku, UNITS, "after bytes that are no message")


async def expect_undecodable(peer: Any, path: str) -> None:
    """Fail if a call of bytes that are no message is answered with OK, or if the peer is gone after it."""
    for payload in (b"\xff" * 16, b"\x0a\xff\xff\xff\xff\x7f", b"\x0a\x02\xc3\x28"):
        code = await peer.calls.send_bytes(path, payload)
        if payload.startswith(b"\xff"):  # a broken tag; some languages accept a string that is no UTF-8
            expect(code is not Code.OK, f"{path} answered OK to bytes that are no message")
    await peer.answers()


async def _expect_refused(peer: InventoryPeer, items: Sequence[pb.Item]) -> None:
    """Fail if a basket is held or dispatched, or is refused with a status that means trouble at the peer."""
    order_id = new_id()
    hold = await peer.calls.attempt(
        "ReserveItems", pb.ReserveItemsRequest(order_id=order_id, items=items, hold_seconds=60)
    )
    expect(hold is None or not hold.success, "ReserveItems granted a basket that can't be")
    dispatch = await peer.calls.attempt("AssignRobots", pb.RobotRequest(order_id=order_id, items=items))
    expect(dispatch is None or not dispatch.success, "AssignRobots accepted a basket that can't be")


async def answers_in_time(peer: Any) -> None:
    """Every call of this run was answered within the time that the gateway waits."""
    late = peer.calls.late
    expect(not late, f"{len(late)} of {peer.calls.made} calls were late: " + "; ".join(late[:5]))


LINES: Final = (
    Line("U1", "Every call exists", CALLS, calls_exist),
    Line("H1", "Quantities of 0, below 0 and beyond all stock are refused", CALLS, odd_quantities_are_refused),
    Line("H2", "Empty and endless SKUs are refused", CALLS, odd_skus_are_refused),
    Line("H3", "A SKU in two lines is summed or refused", CALLS, duplicates_are_merged_or_refused),
    Line("H4", "A basket without lines or with 101 is refused", CALLS, no_lines_and_many_lines),
    Line("H5", "Ids that are no UUID are refused", CALLS, odd_ids_are_refused),
    Line("H6", "Deliveries that can't be stocked are refused", CALLS, odd_deliveries_are_refused),
    Line("H7", "Bytes that are no message end with an error", CALLS, undecodable_bytes_are_refused),
)
IN_TIME: Final = Line("D1", "Every call was answered while the gateway waits", DEADLINES, answers_in_time)
