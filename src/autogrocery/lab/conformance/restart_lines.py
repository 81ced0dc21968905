"""Lines across a restart of the inventory: what it said before, it says after (K1, K2, K5)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from autogrocery.lab.conformance.inventory_peer import RELEASED, InventoryPeer, new_id, units_of
from autogrocery.lab.conformance.line import PROMISES, Failed, Line, NotChecked, expect
from autogrocery.lab.conformance.reserve_lines import UNITS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HELD_UNITS: Final = 2


class Orders:
    """Orders that are made before the one restart of a run, and checked after it."""

    def __init__(self) -> None:
        self.sku = ""
        self.held, self.dispatched, self.released, self.unseen = (new_id() for _ in range(4))
        self.delivery: Any = None
        self.assignments: list[str] = []
        self.why_no_dispatch = ""
        self._failed: Failed | NotChecked | None = None
        self._done = False

    async def through_restart(self, peer: InventoryPeer) -> None:
        """Make the orders and restart the peer, at the first call; later calls return or raise the same."""
        if not self._done:
            self._done = True
            try:
                await self._make(peer)
                await _restart(peer)
            except (Failed, NotChecked) as why:
                self._failed = why
        if self._failed is not None:
            raise self._failed

    async def _make(self, peer: InventoryPeer) -> None:
        self.sku = peer.new_sku()
        self.delivery = peer.delivery({self.sku: UNITS})
        reply = await peer.calls.ask("RestockItems", self.delivery)
        expect(reply.success, f"RestockItems was refused: {reply.message}")
        await peer.hold(self.held, {self.sku: HELD_UNITS})
        await peer.hold(self.released, {self.sku: HELD_UNITS})
        await peer.release(self.released)
        await peer.release(self.unseen)
        try:
            sent = await peer.dispatch(self.dispatched, {self.sku: HELD_UNITS})
            self.assignments = sorted(one.assignment_id for one in sent.assignments)
        except NotChecked as why:
            self.why_no_dispatch = str(why)

    @property
    def left(self) -> int:
        """How many units can be bought."""
        return UNITS - HELD_UNITS - (0 if self.why_no_dispatch else HELD_UNITS)


async def _restart(peer: InventoryPeer) -> None:
    if peer.restart is None:
        raise NotChecked("no --restart-command")
    peer.calls.measuring = False  # a peer that is down is late for the kit alone
    try:
        await peer.restart.run()
    finally:
        peer.calls.measuring = True


async def stock_survives(orders: Orders, peer: InventoryPeer) -> None:
    """Stock is as before, and a repeated delivery adds nothing."""
    await orders.through_restart(peer)
    await peer.expect_free(orders.sku, orders.left, "after the restart")
    again = await peer.calls.ask("RestockItems", orders.delivery)
    expect(again.success, "the repeated delivery was refused after the restart")
    await peer.expect_free(orders.sku, orders.left, "after the delivery was repeated")


async def hold_survives(orders: Orders, peer: InventoryPeer) -> None:
    """A repeated reservation is answered the same; other items are still ITEMS_DIFFER."""
    await orders.through_restart(peer)
    before = await peer.free(orders.sku)
    reply = await peer.hold(orders.held, {orders.sku: HELD_UNITS})
    expect(units_of(reply.items) == {orders.sku: HELD_UNITS}, "the repeated reservation grants something else")
    await peer.expect_free(orders.sku, before, "after the reservation was repeated")


async def dispatch_survives(orders: Orders, peer: InventoryPeer) -> None:
    """A repeated dispatch has the same assignments."""
    await orders.through_restart(peer)
    if orders.why_no_dispatch:
        raise NotChecked(orders.why_no_dispatch)
    before = await peer.free(orders.sku)
    reply = await peer.dispatch(orders.dispatched, {orders.sku: HELD_UNITS})
    again = sorted(one.assignment_id for one in reply.assignments)
    expect(again == orders.assignments, "the repeated dispatch has other assignments: robots went twice")
    await peer.expect_free(orders.sku, before, "after the dispatch was repeated")


async def tombstones_survive(orders: Orders, peer: InventoryPeer) -> None:
    """Released orders stay released, seen before or not."""
    await orders.through_restart(peer)
    for what, order_id in (("a released order", orders.released), ("an unseen, released order", orders.unseen)):
        late = await peer.reserve(order_id, {orders.sku: 1})
        expect(not late.success, f"{what} was held after the restart")
        expect(not (await peer.assign(order_id, {orders.sku: 1})).success, f"{what} was dispatched after the restart")
        expect(await peer.release(order_id) == RELEASED, f"the repeated release of {what} is not RELEASED")


async def states_survive(orders: Orders, peer: InventoryPeer) -> None:
    """GetOrder says the same as before."""
    await orders.through_restart(peer)
    for order_id, state in ((orders.released, "RELEASED"), (orders.unseen, "RELEASED"), (orders.held, "HELD")):
        told = await peer.state(order_id)
        expect(told == state, f"GetOrder says {told} after the restart, not {state}")


def lines() -> tuple[Line, ...]:
    """Return the lines of one run, which share one restart."""
    orders = Orders()

    def line(line_id: str, promise: str, check: Callable[..., Awaitable[None]], *needs: str) -> Line:
        return Line(line_id, promise, PROMISES, partial(check, orders), needs)

    return (
        line("R1", "Stock survives a restart; a repeated delivery adds nothing", stock_survives),
        line("R2", "A hold survives a restart", hold_survives, "K1.1"),
        line("R3", "A dispatch survives a restart; its repetition sends no robots", dispatch_survives, "K1.10"),
        line("R4", "Tombstones survive a restart", tombstones_survive, "K2.1", "K2.2"),
        line("R5", "GetOrder says the same after a restart", states_survive, "K5.1"),
    )
