"""Inventory in memory: a scarce shelf and robots that keep K1 to K5 by the real inventory's own decision tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.core.order import Robot, Status
from autogrocery.gateway.peers.inventory import Hold, Refusal, Shortage, Standing, State
from autogrocery.inventory.core.stock import OnAssign, OnRelease, OnReserve, on_assign, on_release, on_reserve
from autogrocery.inventory.core.stock import Standing as Register
from autogrocery.inventory.core.stock import State as InState
from tests.proofs.simulation.drops import Drop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from autogrocery.gateway.core.order import Cause, Line
    from autogrocery.gateway.core.quote import Want
    from tests.proofs.simulation.loop import VirtualLoop

Items = dict[str, int]
UNCHECKED = {Drop.PICK_WITHOUT_START, Drop.RELEASE_REVOKES_STARTED}  # robots then pick what was withdrawn


class Entry(Struct):
    """An order in the register."""

    state: InState
    requested: Items
    items: Items
    until: float = 0.0
    started: bool = False
    dispatches: int = 0
    picked: Items | None = None


class Shelf:
    """The register and the stock. `on_dispatch` is told of every new dispatch; `drop` is a rule it does without."""

    def __init__(self, loop: VirtualLoop, stock: Items, drop: Drop | None = None) -> None:
        self.loop = loop
        self.total = dict(stock)
        self.on_hand = dict(stock)
        self.register: dict[UUID, Entry] = {}
        self.lost = dict.fromkeys(stock, 0)  # found missing by a robot
        self.refused: set[UUID] = set()  # for want of stock or robots
        self.robots_away = False
        self.on_dispatch: Callable[[UUID], object] = lambda _order_id: None
        self.drop = drop

    def reserve(self, order_id: UUID, wants: Sequence[Want], hold_s: float, *, partial: bool) -> Hold:
        wanted = {want.sku: want.quantity for want in wants}
        if wanted.keys() - self.on_hand.keys():
            return Hold({}, Refusal.UNKNOWN_SKU)
        entry = self._known(order_id)
        if entry is None:
            return self._take(order_id, wanted, hold_s, partial=partial)
        match on_reserve(self._standing(entry, wanted), allow_partial=partial):
            case OnReserve.REFUSE_RELEASED:
                answer = Hold({}, Refusal.RELEASED)
            case OnReserve.REFUSE_DIFFERENT:
                answer = Hold({}, Refusal.ITEMS_DIFFER)
            case OnReserve.RENEW:
                entry.until = max(entry.until, self.loop.time() + hold_s)
                answer = self._again(entry, wanted)
            case OnReserve.REPEAT:
                answer = self._again(entry, wanted)
            case OnReserve.RETAKE:
                answer = self._take(order_id, entry.items, hold_s, partial=False, requested=entry.requested)
            case OnReserve.TAKE_ANEW:
                answer = self._take(order_id, wanted, hold_s, partial=partial)
        return answer

    def _again(self, entry: Entry, wanted: Items) -> Hold:
        return Hold(dict(wanted if self.drop is Drop.NO_ITEMS_COMPARED else entry.items))

    def assign(self, order_id: UUID, lines: Sequence[Line]) -> tuple[Robot, ...] | None:
        items = {line.sku: line.quantity for line in lines}
        entry = self._known(order_id)
        if entry is None:
            return self._dispatch(order_id, items)
        match on_assign(self._standing(entry, items)):
            case OnAssign.REFUSE_RELEASED | OnAssign.REFUSE_DIFFERENT:
                return None
            case OnAssign.REPEAT:
                entry.dispatches += self.drop is Drop.ASSIGN_NOT_IDEMPOTENT
                return self._robots(order_id, entry)
            case OnAssign.ALLOCATE if not self.robots_away:
                return self._robots(order_id, self._assigned(order_id, entry))
            case _:
                return self._dispatch(order_id, items)

    def release(self, order_id: UUID, release_as: Status, _cause: Cause | None) -> bool:
        entry = self.register.setdefault(order_id, Entry(InState.LAPSED, {}, {}))
        started = entry.started and self.drop is not Drop.RELEASE_REVOKES_STARTED
        match on_release(entry.state, cancel=release_as is Status.CANCELLED, started=started):
            case OnRelease.ALREADY_ASSIGNED:
                return False
            case OnRelease.RETURN_HELD | OnRelease.RETURN_ALLOCATED:
                self._give_back(entry)
            case _:
                pass
        entry.state = InState.RELEASED
        return True

    def get(self, order_id: UUID) -> Standing:
        entry = self.register.get(order_id)
        if entry is None:
            return Standing(State.UNKNOWN, {})
        return Standing(State(entry.state.lower()), dict(entry.picked or {}))

    def lapse(self) -> None:
        """Give back the stock of holds past their time."""
        for entry in self.register.values():
            if entry.state is InState.HELD and entry.until <= self.loop.time():
                self._give_back(entry)
                entry.state = InState.LAPSED

    def restart(self) -> None:
        """A restart of inventory: nothing is forgotten."""
        if self.drop is Drop.REGISTER_FORGOTTEN:
            for entry in self.register.values():
                if entry.state in {InState.HELD, InState.ASSIGNED}:
                    self._give_back(entry)
            self.register.clear()

    def start(self, order_id: UUID) -> bool:
        """A robot asks before it touches stock; False if the dispatch was withdrawn."""
        entry = self.register.get(order_id)
        if entry is None:
            return False
        entry.started = entry.started or entry.state is InState.ASSIGNED
        return entry.state is InState.ASSIGNED or self.drop is Drop.PICK_WITHOUT_START

    def finish(self, order_id: UUID, picked: Mapping[str, int]) -> None:
        """The robots are done: what was not picked is missing."""
        entry = self.register.get(order_id)
        if entry is None:
            return
        if entry.state is not InState.ASSIGNED and self.drop not in UNCHECKED:
            return
        entry.picked = {sku: picked.get(sku, 0) for sku in entry.items}
        for sku, quantity in entry.items.items():
            self.lost[sku] += quantity - entry.picked[sku]
        entry.state = InState.COMPLETED if any(entry.picked.values()) else InState.FAILED

    def _known(self, order_id: UUID) -> Entry | None:
        entry = self.register.get(order_id)
        buried = entry is not None and entry.state is InState.RELEASED and self.drop is not Drop.NO_TOMBSTONE
        return entry if buried or (entry and entry.state is not InState.RELEASED) else None

    def _take(
        self, order_id: UUID, wanted: Items, hold_s: float, *, partial: bool, requested: Items | None = None
    ) -> Hold:
        """Hold stock for an order that is new, or whose hold is replaced; a shortage leaves all as it was."""
        self.lapse()
        known = self.register.get(order_id)
        own = known.items if known and known.state is InState.HELD else {}
        free = {sku: self.on_hand[sku] + own.get(sku, 0) for sku in wanted}
        if self.drop is Drop.ASSIGN_OVERSELLS and known and known.state is InState.LAPSED:
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
        """Take the stock again, for these items, and assign; a refusal changes nothing."""
        if self.robots_away or self._take(order_id, items, 60.0, partial=False).refusal:
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
        alike = self.drop is Drop.NO_ITEMS_COMPARED
        live = entry.state is InState.HELD and entry.until > self.loop.time()
        return Register(entry.state, live, alike or entry.requested == wanted, alike or entry.items == wanted)

    def _give_back(self, entry: Entry) -> None:
        for sku, quantity in entry.items.items():
            self.on_hand[sku] += quantity
