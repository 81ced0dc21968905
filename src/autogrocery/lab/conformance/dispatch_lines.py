"""Lines on AssignRobots, ReleaseItems and GetOrder: K1 to K5."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.lab.conformance.inventory_peer import (
    ALREADY_ASSIGNED,
    RELEASED,
    InventoryPeer,
    new_id,
    state_name,
    units_of,
    until,
)
from autogrocery.lab.conformance.line import PROMISES, Failed, Line, NotChecked, expect
from autogrocery.lab.conformance.reserve_lines import BUYERS, LAPSE_S, SHORT_HOLD_S, UNITS, wait_for_lapse

if TYPE_CHECKING:
    from typing import Any

PICKED: Final = pb.ReportPickRequest
OWN_ROBOTS_S: Final = 20.0  # how long the peer's own robots may take for one small order
WITHOUT_CANCEL: Final = {"EXPIRE": pb.EXPIRE, "NO_ROBOTS": pb.NO_ROBOTS, "SUPERSEDED": pb.SUPERSEDED}
DISPATCHED: Final = frozenset({"ASSIGNED", "COMPLETED", "FAILED"})


async def assign_repeats(peer: InventoryPeer) -> None:
    """The same AssignRobots dispatches once and returns the same assignments."""
    sku, order_id = await peer.fresh(UNITS), new_id()
    await peer.hold(order_id, {sku: 2})
    replies = [await peer.dispatch(order_id, {sku: 2})]
    replies += await asyncio.gather(*(peer.dispatch(order_id, {sku: 2}) for _ in range(4)))
    first, *others = [sorted(one.assignment_id for one in reply.assignments) for reply in replies]
    expect(bool(first), "a dispatch has no assignment")
    expect(all(other == first for other in others), "a repeated dispatch has other assignments: robots went twice")
    await peer.expect_free(sku, UNITS - 2, "after one dispatch, asked for five times")


async def dispatched_order_keeps_its_items(peer: InventoryPeer) -> None:
    """A dispatched order: the same reservation is answered the same, other items are refused."""
    sku, order_id = await peer.fresh(UNITS), new_id()
    await peer.hold(order_id, {sku: 2})
    await peer.dispatch(order_id, {sku: 2})
    same = await peer.reserve(order_id, {sku: 2})
    expect(same.success, "the repeated reservation of a dispatched order was refused")
    expect(units_of(same.items) == {sku: 2}, "the repeated reservation grants something else")
    other = await peer.reserve(order_id, {sku: 3})
    expect(not other.success, "another quantity of a dispatched order was granted")
    expect(other.refusal == pb.ITEMS_DIFFER, "the refusal is not ITEMS_DIFFER")
    again = await peer.assign(order_id, {sku: 3})
    expect(not again.success, "a second dispatch with another quantity was accepted")
    await peer.expect_free(sku, UNITS - 2, "after the refused changes")


async def release_repeats(peer: InventoryPeer) -> None:
    """The same ReleaseItems returns the stock once and is answered the same."""
    sku, order_id = await peer.fresh(UNITS), new_id()
    await peer.hold(order_id, {sku: 2})
    results = [await peer.release(order_id) for _ in range(3)]
    expect(results == [RELEASED] * 3, "a repeated release of a hold was not answered RELEASED each time")
    await peer.expect_free(sku, UNITS, "after one hold, released three times")


async def released_stays_released(peer: InventoryPeer) -> None:
    """After a release of a hold, reserve and assign of the order are refused."""
    sku, order_id = await peer.fresh(UNITS), new_id()
    await peer.hold(order_id, {sku: 2})
    expect(await peer.release(order_id) == RELEASED, "the release of a hold was not answered RELEASED")
    await _expect_tombstone(peer, order_id, sku)


async def unseen_order_is_released(peer: InventoryPeer) -> None:
    """A release of an order that was never seen is RELEASED, and later calls for it are refused."""
    sku, order_id = await peer.fresh(UNITS), new_id()
    expect(await peer.release(order_id) == RELEASED, "the release of an unseen order was not answered RELEASED")
    await _expect_tombstone(peer, order_id, sku)


async def _expect_tombstone(peer: InventoryPeer, order_id: str, sku: str) -> None:
    late = await peer.reserve(order_id, {sku: 2})
    expect(not late.success, "a reservation that came after the release was granted")
    expect(late.refusal == pb.RELEASED, "the refusal of a reservation after the release is not RELEASED")
    expect(not (await peer.assign(order_id, {sku: 2})).success, "a dispatch that came after the release was accepted")
    await peer.expect_free(sku, UNITS, "after the late calls")


async def cancel_withdraws(peer: InventoryPeer) -> None:
    """CANCEL takes back a dispatch that no robot has started; its stock returns, its repetition says the same."""
    sku, order_id = await peer.fresh(UNITS), new_id()
    reply = await peer.dispatch(order_id, {sku: 2})
    results = [await peer.release(order_id) for _ in range(2)]
    if results == [ALREADY_ASSIGNED] * 2 and peer.options.robot is None:
        raise NotChecked("a robot may have started at once: stop the peer's robots and give ROBOT_TOKEN")
    expect(results == [RELEASED] * 2, "CANCEL before any start was not answered RELEASED, twice")
    await peer.expect_free(sku, UNITS, "after the dispatch was withdrawn")
    if peer.options.robot is not None:
        lease = await peer.start(first_of(reply))
        expect(not lease.granted, "a robot could still start the withdrawn assignment")


async def only_cancel_withdraws(peer: InventoryPeer) -> None:
    """A release for any other reason leaves a dispatch with its robots."""
    for name, reason in WITHOUT_CANCEL.items():
        sku, order_id = await peer.fresh(UNITS), new_id()
        await peer.dispatch(order_id, {sku: 2})
        result = await peer.release(order_id, reason)
        expect(result == ALREADY_ASSIGNED, f"a release of a dispatch for {name} was not ALREADY_ASSIGNED")
        await peer.expect_free(sku, UNITS - 2, f"after the refused release for {name}")


async def start_ends_cancelling(peer: InventoryPeer) -> None:
    """After the first start CANCEL is ALREADY_ASSIGNED, permanently."""
    peer.require_robot()
    sku, order_id = await peer.fresh(UNITS), new_id()
    reply = await peer.dispatch(order_id, {sku: 2})
    lease = await peer.start(first_of(reply))
    expect(lease.granted, "StartPick of a new assignment was not granted")
    results = [await peer.release(order_id) for _ in range(3)]
    expect(results == [ALREADY_ASSIGNED] * 3, "CANCEL after the first start was not ALREADY_ASSIGNED each time")
    await peer.expect_free(sku, UNITS - 2, "after the refused cancel")


async def cancel_and_start_have_one_winner(peer: InventoryPeer) -> None:
    """CANCEL and StartPick at once: either the order is released and no robot starts, or a robot starts."""
    peer.require_robot()
    sku = await peer.fresh(UNITS)
    for _ in range(8):
        order_id = new_id()
        reply = await peer.dispatch(order_id, {sku: 1})
        result, lease = await asyncio.gather(peer.release(order_id), peer.start(first_of(reply)))
        both = result == RELEASED and lease.granted
        expect(not both, "an order was released and a robot started on it")
        expect(result == RELEASED or lease.granted, "an order was neither released nor could a robot start on it")


async def assign_and_release_have_one_winner(peer: InventoryPeer) -> None:
    """AssignRobots and a release at once end in one truth: stock is taken if and only if the dispatch stands."""
    for _ in range(8):
        sku, order_id = await peer.fresh(UNITS), new_id()
        await peer.hold(order_id, {sku: 2})
        await peer.show_robot()
        request = pb.ReleaseItemsRequest(order_id=order_id, reason=pb.EXPIRE)
        reply, released = await asyncio.gather(peer.assign(order_id, {sku: 2}), peer.calls.ask("ReleaseItems", request))
        if not reply.success and released.result == ALREADY_ASSIGNED:
            raise Failed("the dispatch was refused, and yet the release says ALREADY_ASSIGNED")
        both = reply.success and released.result == RELEASED
        expect(not both, "the dispatch was accepted, and yet the release for EXPIRE says RELEASED")
        left = UNITS - 2 if reply.success else UNITS
        await peer.expect_free(sku, left, "after dispatch and release at once")


async def dispatched_items_count(peer: InventoryPeer) -> None:
    """Other items than held: they replace the hold in one step, or the call is refused."""
    for held, wanted in ((5, 3), (2, 4)):
        sku, order_id = await peer.fresh(UNITS), new_id()
        await peer.hold(order_id, {sku: held})
        reply = await peer.assign(order_id, {sku: wanted})
        left = UNITS - (wanted if reply.success else held)
        what = "accepted" if reply.success else "refused"
        await peer.expect_free(sku, left, f"hold of {held}, dispatch of {wanted} {what}")
        listed = sum(sum(units_of(one.items).values()) for one in reply.assignments)
        expect(not listed or listed == wanted, f"the assignments have {listed} units, the dispatch has {wanted}")


async def assign_takes_stock(peer: InventoryPeer) -> None:
    """A dispatch without a hold takes its stock."""
    sku = await peer.fresh(UNITS)
    await peer.dispatch(new_id(), {sku: 4})
    await peer.expect_free(sku, UNITS - 4, "after a dispatch of 4 units without a hold")


async def short_assign_is_refused(peer: InventoryPeer) -> None:
    """A dispatch without a hold, for more than there is, is refused and takes nothing."""
    sku = await peer.fresh(3)
    await peer.hold(new_id(), {sku: 2})
    reply = await peer.assign(new_id(), {sku: 2})
    expect(not reply.success, "2 units were dispatched although only 1 was left")
    await peer.expect_free(sku, 1, "after the refused dispatch")


async def lapsed_hold_is_not_promised(peer: InventoryPeer) -> None:
    """A dispatch after its hold has lapsed and others hold the stock is refused."""
    sku, order_id = await peer.fresh(3), new_id()
    await peer.hold(order_id, {sku: 3}, hold_s=SHORT_HOLD_S)
    await wait_for_lapse(peer, sku, 3)
    await peer.hold(new_id(), {sku: 3})
    reply = await peer.assign(order_id, {sku: 3})
    expect(not reply.success, "a dispatch whose hold had lapsed was promised stock that another order holds")
    await peer.expect_free(sku, 0, "after the refused dispatch")


async def lapsed_hold_is_dispatched(peer: InventoryPeer) -> None:
    """A dispatch after its hold has lapsed takes the stock again, or is refused."""
    sku, order_id = await peer.fresh(3), new_id()
    await peer.hold(order_id, {sku: 2}, hold_s=SHORT_HOLD_S)
    await wait_for_lapse(peer, sku, 3)
    reply = await peer.assign(order_id, {sku: 2})
    left = 1 if reply.success else 3
    await peer.expect_free(sku, left, f"a dispatch after the lapse was {'accepted' if reply.success else 'refused'}")


async def last_units_are_dispatched_once(peer: InventoryPeer) -> None:
    """Many dispatches without a hold at once: never more than there are units."""
    units = 7
    sku = await peer.fresh(units)
    replies = await asyncio.gather(*(peer.assign(new_id(), {sku: 1}) for _ in range(BUYERS)))
    sent = sum(reply.success for reply in replies)
    expect(sent <= units, f"{sent} dispatches of one unit were accepted, there were {units} units")
    await peer.expect_free(sku, units - sent, f"after {sent} dispatches")
    if not sent:
        raise NotChecked("every dispatch was refused: no robots? no ROBOT_TOKEN")


async def states_are_told(peer: InventoryPeer) -> None:
    """GetOrder says UNKNOWN, HELD and RELEASED as it is."""
    sku, order_id = await peer.fresh(UNITS), new_id()
    await _expect_state(peer, order_id, {"UNKNOWN"}, "an order that was never seen")
    await peer.hold(order_id, {sku: 1})
    await _expect_state(peer, order_id, {"HELD"}, "a held order")
    await peer.release(order_id)
    await _expect_state(peer, order_id, {"RELEASED"}, "a released order")


async def lapse_is_told(peer: InventoryPeer) -> None:
    """GetOrder says LAPSED of a hold that has lapsed."""
    sku, order_id = await peer.fresh(3), new_id()
    await peer.hold(order_id, {sku: 3}, hold_s=SHORT_HOLD_S)
    await wait_for_lapse(peer, sku, 3)

    async def lapsed() -> bool:
        return await peer.state(order_id) == "LAPSED"

    expect(await until(lapsed, LAPSE_S), "the state of a lapsed hold is not LAPSED")


async def dispatch_is_told(peer: InventoryPeer) -> None:
    """GetOrder says ASSIGNED of a dispatched order, and RELEASED of a withdrawn one."""
    sku, order_id = await peer.fresh(UNITS), new_id()
    await peer.dispatch(order_id, {sku: 1})
    allowed = {"ASSIGNED"} if peer.options.robot else set(DISPATCHED)
    await _expect_state(peer, order_id, allowed, "a dispatched order")
    if await peer.release(order_id) == RELEASED:
        await _expect_state(peer, order_id, {"RELEASED"}, "a withdrawn order")


async def picks_are_told(peer: InventoryPeer) -> None:
    """GetOrder says COMPLETED with the units picked."""
    sku = await peer.fresh(UNITS)
    order_id = await peer.finish({sku: 3})
    reply = await _finished(peer, order_id)
    state, picked = state_name(reply.state), {item.sku: item.picked for item in reply.items}
    if peer.options.robot is None:  # the peer's own robots may have found fewer units
        units = picked.get(sku, 0)
        whole = set(picked) <= {sku} and 0 <= units <= 3  # noqa: PLR2004 - as ordered above
        expect(whole, f"3 units of {sku} were ordered, GetOrder says that {picked} were picked")
        expect((state == "COMPLETED") == (units > 0), f"{units} units were picked, and the order is {state}")
        return
    expect(state == "COMPLETED", f"an order picked in full is {state}, not COMPLETED")
    expect(picked == {sku: 3}, f"3 units of {sku} were picked, GetOrder says {picked}")


async def short_picks_are_told(peer: InventoryPeer) -> None:
    """GetOrder says COMPLETED with fewer units if some were missing, and FAILED if none was picked."""
    peer.require_robot()
    for picked, state in ((1, "COMPLETED"), (0, "FAILED")):
        sku, order_id = await peer.fresh(UNITS), new_id()
        reply = await peer.dispatch(order_id, {sku: 3})
        await peer.pick(reply.assignments, PICKED.SHORT if picked else PICKED.FAILED, {sku: picked})
        told = await _finished(peer, order_id)
        expect(state_name(told.state) == state, f"an order of which {picked} of 3 units were picked is not {state}")
        units = {item.sku: item.picked for item in told.items if item.picked}
        expect(units == ({sku: picked} if picked else {}), f"{picked} of 3 units were picked, GetOrder says {units}")


async def report_repeats(peer: InventoryPeer) -> None:
    """A repeated ReportPick is DUPLICATE and changes nothing; one under an old fence is STALE_FENCE."""
    peer.require_robot()
    sku, order_id = await peer.fresh(UNITS), new_id()
    reply = await peer.dispatch(order_id, {sku: 2})
    results = pb.ReportPickResponse
    for assignment in reply.assignments:
        lease = await peer.start(assignment)
        expect(lease.granted, "StartPick of a new assignment was not granted")
        stale = await peer.report(assignment, lease.fence - 1, PICKED.PICKED, {sku: 2})
        expect(stale == results.STALE_FENCE, "a report under an old fence was not STALE_FENCE")
        told = [await peer.report(assignment, lease.fence, PICKED.PICKED, {sku: 2}) for _ in range(2)]
        expect(told == [results.ACCEPTED, results.DUPLICATE], "a report and its repetition: not ACCEPTED, DUPLICATE")


def first_of(reply: Any) -> Any:
    """Return the first assignment of a dispatch; fails if there is none."""
    expect(bool(reply.assignments), "a dispatch has no assignment")
    return reply.assignments[0]


async def _expect_state(peer: InventoryPeer, order_id: str, allowed: set[str], what: str) -> None:
    state = await peer.state(order_id)
    expect(state in allowed, f"GetOrder of {what} says {state}, not {' or '.join(sorted(allowed))}")


async def _finished(peer: InventoryPeer, order_id: str) -> Any:
    """Return GetOrder's reply once the order has ended; the peer's own robots get some time."""

    async def ended() -> bool:
        return await peer.state(order_id) in {"COMPLETED", "FAILED"}

    if not await until(ended, OWN_ROBOTS_S if peer.options.robot is None else LAPSE_S):
        expect(
            peer.options.robot is None, "all picks were reported, and GetOrder does not say that the order has ended"
        )
        raise NotChecked("no robot picked the order: no ROBOT_TOKEN")
    return await peer.order(order_id)


LINES: Final = (
    Line("K1.10", "A repeated AssignRobots dispatches once", PROMISES, assign_repeats),
    Line("K1.11", "A repeated ReleaseItems releases once", PROMISES, release_repeats),
    Line("K1.12", "A dispatched order keeps its items", PROMISES, dispatched_order_keeps_its_items),
    Line("K2.1", "A released order is refused for ever", PROMISES, released_stays_released),
    Line("K2.2", "The release of an unseen order leaves a tombstone", PROMISES, unseen_order_is_released),
    Line("K3.1", "CANCEL withdraws a dispatch before any start", PROMISES, cancel_withdraws),
    Line("K3.2", "No other reason withdraws a dispatch", PROMISES, only_cancel_withdraws),
    Line("K3.3", "After the first start CANCEL is ALREADY_ASSIGNED", PROMISES, start_ends_cancelling),
    Line(
        "K3.4",
        "CANCEL and StartPick at once have one winner",
        PROMISES,
        cancel_and_start_have_one_winner,
        ("K3.1", "K3.3"),
    ),
    Line(
        "K3.5",
        "AssignRobots and a release at once have one winner",
        PROMISES,
        assign_and_release_have_one_winner,
        ("K2.1", "K3.2"),
    ),
    Line("K4.3", "The items of the dispatch count, not those of the hold", PROMISES, dispatched_items_count),
    Line("K4.4", "A dispatch without a hold takes its stock", PROMISES, assign_takes_stock),
    Line("K4.5", "A dispatch is never promised stock that is short", PROMISES, short_assign_is_refused),
    Line(
        "K4.6",
        "A lapsed hold does not promise others' stock",
        PROMISES,
        lapsed_hold_is_not_promised,
        ("K1.8", "K4.5"),
    ),
    Line(
        "K4.7",
        "A lapsed hold is dispatched from free stock, or refused",
        PROMISES,
        lapsed_hold_is_dispatched,
        ("K1.8",),
    ),
    Line("K4.8", "Dispatches at once never oversell", PROMISES, last_units_are_dispatched_once, ("K4.4", "K4.5")),
    Line("K5.1", "GetOrder tells UNKNOWN, HELD, RELEASED", PROMISES, states_are_told),
    Line("K5.2", "GetOrder tells LAPSED", PROMISES, lapse_is_told, ("K1.8",)),
    Line("K5.3", "GetOrder tells ASSIGNED, and RELEASED if withdrawn", PROMISES, dispatch_is_told),
    Line("K5.4", "GetOrder tells COMPLETED with the units picked", PROMISES, picks_are_told),
    Line("K5.5", "GetOrder tells missing units, and FAILED if none was picked", PROMISES, short_picks_are_told),
    Line("K5.6", "A repeated ReportPick is DUPLICATE, an old fence STALE_FENCE", PROMISES, report_repeats),
)
