"""Inventory in memory: scarce stock, and the decision tables of the reference inventory
(docs/PROTOCOL.md#what-a-peer-promises)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.core.order import Robot, Status
from autogrocery.gateway.peers.inventory import Hold, OrderReport, OrderState, Refusal, Shortage
from autogrocery.inventory.core.stock import (
    AssignDecision,
    ReleaseDecision,
    ReserveDecision,
    decide_assign,
    decide_release,
    decide_reserve,
)
from autogrocery.inventory.core.stock import RegisterEntry as Register
from autogrocery.inventory.core.stock import State as InState
from tests.proofs.simulation.omitted_rules import Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from autogrocery.gateway.core.order import Cause, Line
    from autogrocery.gateway.core.quote import RequestedItem
    from tests.proofs.simulation.loop import VirtualLoop

Items = dict[str, int]
PICKS_UNCHECKED = {
    Rule.PICK_WITHOUT_START,
    Rule.RELEASE_REVOKES_STARTED,
}  # under these omissions robots pick withdrawn orders


class Entry(Struct):
    """An order in the register."""

    state: InState
    requested: Items
    items: Items
    until: float = 0.0
    started: bool = False
    dispatches: int = 0
    picked: Items | None = None


class MemoryInventory:
    """The register and the stock. `on_dispatch` is called for every new dispatch; `omitted` is a rule that it does not
    keep."""

    def __init__(self, loop: VirtualLoop, stock: Items, omitted: Rule | None = None) -> None:
        self.loop = loop
        self.total = dict(stock)
        self.on_hand = dict(stock)
        self.register: dict[UUID, Entry] = {}
        self.lost = dict.fromkeys(stock, 0)  # units not picked
        self.refused: set[UUID] = set()  # orders refused for lack of stock or robots
        self.no_robots = False
        self.on_dispatch: Callable[[UUID], object] = lambda _order_id: None
        self.omitted = omitted

    def reserve(self, order_id: UUID, wants: Sequence[RequestedItem], hold_s: float, *, partial: bool) -> Hold:
        wanted = {want.sku: want.quantity for want in wants}
        if wanted.keys() - self.on_hand.keys():
            return Hold({}, Refusal.UNKNOWN_SKU)
        entry = self._known(order_id)
        if entry is None:
            return self._take(order_id, wanted, hold_s, partial=partial)
        match decide_reserve(self._standing(entry, wanted), allow_partial=partial):
            case ReserveDecision.REFUSE_RELEASED:
                answer = Hold({}, Refusal.RELEASED)
            case ReserveDecision.REFUSE_DIFFERENT:
                answer = Hold({}, Refusal.ITEMS_DIFFER)
            case ReserveDecision.RENEW:
                entry.until = max(entry.until, self.loop.time() + hold_s)
                answer = self._again(entry, wanted)
            case ReserveDecision.REPEAT:
                answer = self._again(entry, wanted)
            case ReserveDecision.HOLD_AGAIN:
                answer = self._take(order_id, entry.items, hold_s, partial=False, requested=entry.requested)
            case ReserveDecision.REPLACE_HOLD:
                answer = self._take(order_id, wanted, hold_s, partial=partial)
        return answer

    def _again(self, entry: Entry, wanted: Items) -> Hold:
        return Hold(dict(wanted if self.omitted is Rule.NO_ITEMS_COMPARED else entry.items))

    def assign(self, order_id: UUID, lines: Sequence[Line]) -> tuple[Robot, ...] | None:
        items = {line.sku: line.quantity for line in lines}
        entry = self._known(order_id)
        if entry is None:
            return self._dispatch(order_id, items)
        match decide_assign(self._standing(entry, items)):
            case AssignDecision.REFUSE_RELEASED | AssignDecision.REFUSE_DIFFERENT:
                return None
            case AssignDecision.REPEAT:
                entry.dispatches += self.omitted is Rule.ASSIGN_NOT_IDEMPOTENT
                return self._robots(order_id, entry)
            case AssignDecision.ALLOCATE if not self.no_robots:
                return self._robots(order_id, self._assigned(order_id, entry))
            case _:
                return self._dispatch(order_id, items)

    def release(self, order_id: UUID, release_as: Status, _cause: Cause | None) -> bool:
        entry = self.register.setdefault(order_id, Entry(InState.LAPSED, {}, {}))
        started = entry.started and self.omitted is not Rule.RELEASE_REVOKES_STARTED
        match decide_release(entry.state, cancel=release_as is Status.CANCELLED, started=started):
            case ReleaseDecision.ALREADY_ASSIGNED:
                return False
            case ReleaseDecision.RETURN_HELD | ReleaseDecision.RETURN_ALLOCATED:
                self._give_back(entry)
            case _:
                pass
        entry.state = InState.RELEASED
        return True

    def get(self, order_id: UUID) -> OrderReport:
        entry = self.register.get(order_id)
        if entry is None:
            return OrderReport(OrderState.UNKNOWN, {})
        return OrderReport(OrderState(entry.state.lower()), dict(entry.picked or {}))

    def lapse(self) -> None:
        """Return the stock of overdue holds."""
        for entry in self.register.values():
            if entry.state is InState.HELD and entry.until <= self.loop.time():
                self._give_back(entry)
                entry.state = InState.LAPSED

    def restart(self) -> None:
        """Restart inventory: nothing is lost."""
        if self.omitted is Rule.REGISTER_FORGOTTEN:
            for entry in self.register.values():
                if entry.state in {InState.HELD, InState.ASSIGNED}:
                    self._give_back(entry)
            self.register.clear()

    def start(self, order_id: UUID) -> bool:
        """Grant a robot its lease; False if the dispatch was withdrawn."""
        entry = self.register.get(order_id)
        if entry is None:
            return False
        entry.started = entry.started or entry.state is InState.ASSIGNED
        return entry.state is InState.ASSIGNED or self.omitted is Rule.PICK_WITHOUT_START

    def finish(self, order_id: UUID, picked: Mapping[str, int]) -> None:
        """End the picking; units that were not picked are lost."""
        entry = self.register.get(order_id)
        if entry is None:
            return
        if entry.state is not InState.ASSIGNED and self.omitted not in PICKS_UNCHECKED:
            return
        entry.picked = {sku: picked.get(sku, 0) for sku in entry.items}
        for sku, quantity in entry.items.items():
            self.lost[sku] += quantity - entry.picked[sku]
        entry.state = InState.COMPLETED if any(entry.picked.values()) else InState.FAILED

    def _known(self, order_id: UUID) -> Entry | None:
        entry = self.register.get(order_id)
        buried = entry is not None and entry.state is InState.RELEASED and self.omitted is not Rule.NO_TOMBSTONE
        return entry if buried or (entry and entry.state is not InState.RELEASED) else None

    def _take(
        self, order_id: UUID, wanted: Items, hold_s: float, *, partial: bool, requested: Items | None = None
    ) -> Hold:
        """Hold stock for a new order, or replace its hold; a shortage changes nothing."""
        self.lapse()
        known = self.register.get(order_id)
        own = known.items if known and known.state is InState.HELD else {}
        free = {sku: self.on_hand[sku] + own.get(sku, 0) for sku in wanted}
        if self.omitted is Rule.ASSIGN_OVERSELLS and known and known.state is InState.LAPSED:
            free = dict(wanted)
        short = tuple(Shortage(sku, n, free[sku]) for sku, n in wanted.items() if free[sku] < n)
        granted = {sku: min(n, free[sku]) for sku, n in wanted.items() if free[sku]}
        if (short and not partial) or not granted:
            return Hold({}, Refusal.SHORTAGE, short)
        if known and known.state is InState.HELD:
            self._give_back(known)
        for sku, quantity in granted.items():
            self.on_hand[sku] -= quantity
        self.register[order_id] = Entry(InState.HELD, requested or dict(wanted), granted, self.loop.time() + hold_s)
        if known:
            self.register[order_id].dispatches = known.dispatches
        return Hold(dict(granted), None, short)

    def _dispatch(self, order_id: UUID, items: Items) -> tuple[Robot, ...] | None:
        """Take the stock for these items and assign; a refusal changes nothing."""
        if self.no_robots or self._take(order_id, items, 60.0, partial=False).refusal:
            self.refused.add(order_id)
            return None
        return self._robots(order_id, self._assigned(order_id, self.register[order_id]))

    def _assigned(self, order_id: UUID, entry: Entry) -> Entry:
        entry.state = InState.ASSIGNED
        entry.dispatches += 1
        self.on_dispatch(order_id)
        return entry

    def _robots(self, order_id: UUID, entry: Entry) -> tuple[Robot, ...]:
        return tuple(Robot(f"r-{sku}", "dairy", f"{order_id}-{sku}") for sku in entry.items)

    def _standing(self, entry: Entry, wanted: Items) -> Register:
        alike = self.omitted is Rule.NO_ITEMS_COMPARED
        live = entry.state is InState.HELD and entry.until > self.loop.time()
        return Register(entry.state, live, alike or entry.requested == wanted, alike or entry.items == wanted)

    def _give_back(self, entry: Entry) -> None:
        for sku, quantity in entry.items.items():
            self.on_hand[sku] += quantity
