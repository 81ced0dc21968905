"""The database commits, and its answer does not come through."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.kit.process.clock import uuid7
from autogrocery.lab.fault_proxy import CALM, Weather
from autogrocery.lab.scenarios.floor import Result, judged, left_out
from autogrocery.lab.scenarios.laws import repeats, unended, unexplained, untrue, wrong_shelf
from autogrocery.lab.scenarios.shelf import Shelf, fill_shelf

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autogrocery.lab.fault_proxy import FaultProxy
    from autogrocery.lab.scenarios.doors import Device, End, Said
    from autogrocery.lab.scenarios.stage import Stage

NAME: Final = "lost-commits"
PROMISE: Final = "A call whose COMMIT was not answered is repeated at another gateway and finds the one same order, dispatched once at most."
STEPS: Final = ("preview", "confirm", "cancel")
ORDERS: Final = 60  # for each step
AT_ONCE: Final = 10  # calls under way when the database falls silent, at different points of their way
PREVIEW_S: Final = 0.01  # about what a preview takes before its one commit
MOST_USUAL_S: Final = 0.5
SILENT_AFTER: Final = (0.8, 1.5)  # times what a call takes, so that most are past their first read
SILENT_S: Final = 0.3  # long enough for the commits that are under way
EXPECTED: Final[Mapping[str, frozenset[str]]] = {
    "preview": frozenset({"201"}),
    "confirm": frozenset({"200", "410 hold_expired"}),
    "cancel": frozenset({"200", "410 hold_expired"}),
}
DONE: Final[Mapping[str, frozenset[str]]] = {
    "preview": frozenset({"PREVIEWED"}),
    "confirm": frozenset({"PROCESSING", "COMPLETED", "FAILED"}),
    "cancel": frozenset({"releasing", "CANCELLED"}),
}


class Loss(Struct, frozen=True):
    """One call: what was said while the database was silent, at the other gateway, and at the first one again.

    `seen` is how the order stood before the call was repeated ("releasing" while it was being let go), `order_ids` every
    order that this device made, `dispatch` what inventory has of it.
    """

    step: str
    first: Said
    seen: str = ""
    repeated: tuple[Said, ...] = ()
    order_ids: frozenset[str] = frozenset()
    end: End | None = None
    dispatch: frozenset[tuple[str, str]] = frozenset()

    @property
    def lost(self) -> bool:
        """No answer, or a 503: it may have happened."""
        return not self.first.last.definite

    @property
    def committed(self) -> bool:
        """It was lost, and it had happened."""
        return self.lost and self.seen in DONE[self.step]


class Losses(Struct, frozen=True):
    """What was seen of all of them."""

    stocked: Mapping[str, int]
    available: Mapping[str, int]
    losses: list[Loss]


def judge(seen: Losses) -> list[str]:
    """Return every broken promise; that no commit was lost at all is one too, because then nothing was tried."""
    found = []
    for loss in seen.losses:
        found += _unfit_first(loss)
        found += unexplained(loss.repeated, EXPECTED[loss.step])
        told = {call.order_id for call in (loss.first, *loss.repeated)} - {""}
        if len(told | loss.order_ids) != 1:
            found.append(f"{loss.step}: {len(told | loss.order_ids)} orders where there should be one")
        if loss.end is None:
            continue
        found += [flaw for call in (loss.first, *loss.repeated) for flaw in untrue(call, loss.end)]
        if loss.step == "confirm":
            found += _second_dispatch(loss, loss.end)
    ends = [loss.end for loss in seen.losses if loss.end is not None]
    if not any(loss.committed for loss in seen.losses):
        found.append("no COMMIT lost its answer: nothing was tried")
    return found + unended(ends) + wrong_shelf(seen.stocked, seen.available, ends)


def _unfit_first(loss: Loss) -> list[str]:
    word = loss.first.word
    fit = word.partition(" ")[0] in {"202", "429", "503"} or word == "no answer" or word in EXPECTED[loss.step]
    return [] if fit else [f"{loss.step}: {word} while the database was silent: {loss.first.last.detail}"]


def _second_dispatch(loss: Loss, end: End) -> list[str]:
    path = [event.to_status for event in end.events]
    tellings = [
        {(robot.assignment_id, robot.robot_id) for robot in call.last.order.robots or ()}
        for call in (loss.first, *loss.repeated)
        if call.word == "200" and call.last.order is not None
    ]
    if path.count("PROCESSING") > 1 or any(told != loss.dispatch for told in tellings):
        return [f"order {end.order_id}: dispatched {path.count('PROCESSING')} times, {len(loss.dispatch)} assignments"]
    return []


async def play(stage: Stage) -> Result:
    """Silence the database of one gateway while calls are on their way, then of the other, for every step."""
    if len(stage.floor.database_proxies) < len(stage.floor.public_urls):
        return left_out(NAME, PROMISE, "there are no fault proxies between the gateways and PostgreSQL")
    orders = stage.of(ORDERS)
    shelf = await fill_shelf(stage.floor, NAME, orders * len(STEPS), ("bread",))
    losses: list[Loss] = []
    windows = [(step, start) for step in STEPS for start in range(0, orders, AT_ONCE)]
    for number, (step, start) in enumerate(windows):
        losses += await _silence(stage, shelf, step, stage.devices[start : min(start + AT_ONCE, orders)], number % 2)
    seen = Losses(shelf.stocked, await shelf.available(), losses)
    counts = ", ".join(
        f"{step} {sum(one.committed for one in losses if one.step == step)} of {sum(one.lost for one in losses if one.step == step)}"
        for step in STEPS
    )
    told = (
        f"{len(losses)} calls, {sum(one.lost for one in losses)} not answered; committed nevertheless: {counts};"
        f" {repeats([call for one in losses for call in one.repeated])} answers asked again"
    )
    return judged(NAME, PROMISE, told, judge(seen))


async def _silence(stage: Stage, shelf: Shelf, step: str, devices: list[Device], gateway: int) -> list[Loss]:
    """Let `devices` call `gateway`, its database falling silent at a chance moment; then let each repeat its call."""
    basket = dict.fromkeys(shelf.skus, 1)
    callers = [_Caller(device, step, uuid7().hex, basket) for device in devices]
    usual_s = min(MOST_USUAL_S, max(await asyncio.gather(*(caller.begin(gateway) for caller in callers))))
    after_s = usual_s * stage.rng.uniform(*SILENT_AFTER)
    silent = asyncio.create_task(_fall_silent(stage.floor.database_proxies[gateway], after_s))
    leads = [stage.rng.uniform(0.0, usual_s) for _ in callers]
    firsts = await asyncio.gather(
        *(caller.call(gateway, lead_s) for caller, lead_s in zip(callers, leads, strict=True))
    )
    await silent
    return list(
        await asyncio.gather(
            *(_repeat(caller, shelf, gateway, first) for caller, first in zip(callers, firsts, strict=True))
        )
    )


async def _fall_silent(proxy: FaultProxy, after_s: float) -> None:
    """Swallow what PostgreSQL answers, for a moment, then end the connections: their answers are lost for good."""
    await asyncio.sleep(after_s)
    proxy.weather = Weather(swallow_replies=True)
    try:
        await asyncio.sleep(SILENT_S)
    finally:
        proxy.weather = CALM
        proxy.reset_all()


class _Caller:
    """One device with one order, and the call that it makes and repeats."""

    def __init__(self, device: Device, step: str, key: str, basket: dict[str, int]) -> None:
        self.device = device
        self.step = step
        self._key = key
        self._basket = basket
        self._order_id = ""
        self.known: frozenset[str] = frozenset()

    async def begin(self, gateway: int) -> float:
        """Make the order that is to be confirmed or cancelled; returns how long a call takes here, in seconds.

        All callers at once, so that the gateway has a connection for each when its database falls silent.
        """
        self.known = frozenset(await self.device.order_ids(gateway))
        if self.step == "preview":
            return PREVIEW_S
        preview = await self.device.preview(gateway, self._basket, self._key)
        self._order_id = preview.order_id
        return preview.last.took_s

    async def call(self, gateway: int, after_s: float) -> Said:
        """Make the call once."""
        await asyncio.sleep(after_s)
        return await self._call(gateway, once=True)

    async def repeat(self, gateway: int) -> Said:
        """Make the same call until there is a definite answer."""
        return await self._call(gateway, once=False)

    async def _call(self, gateway: int, *, once: bool) -> Said:
        if self.step == "preview":
            return await self.device.preview(gateway, self._basket, self._key, once=once)
        ask = self.device.confirm if self.step == "confirm" else self.device.cancel
        return await ask(gateway, self._order_id, once=once)


async def _repeat(caller: _Caller, shelf: Shelf, gateway: int, first: Said) -> Loss:
    other, device = 1 - gateway, caller.device
    made = frozenset(await device.order_ids(other)) - caller.known
    before = await device.order(other, next(iter(made))) if made else None
    repeated = (await caller.repeat(other), await caller.repeat(gateway))
    order_id = repeated[0].order_id
    if caller.step == "preview" and order_id:
        await device.cancel(other, order_id)
    end = await device.end(other, order_id) if order_id else None
    order_ids = frozenset(await device.order_ids(gateway)) - caller.known
    dispatch = frozenset(await shelf.dispatch_of(order_id)) if caller.step == "confirm" and order_id else frozenset()
    seen = (before.dispatch if before.dispatch == "releasing" else before.status) if before else ""
    return Loss(caller.step, first, seen, repeated, order_ids, end, dispatch)
