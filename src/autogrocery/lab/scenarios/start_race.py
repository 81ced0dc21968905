"""A cancel and a robot's start of the same order at the same moment, seen from both sides."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.kit.process.clock import uuid7
from autogrocery.lab.scenarios.doors import CREATED, OK, Device, End, Said
from autogrocery.lab.scenarios.floor import Result, judged
from autogrocery.lab.scenarios.laws import repeats, unended, unexplained, untrue
from autogrocery.lab.scenarios.shelf import Shelf, fill_shelf

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from autogrocery.lab.scenarios.stage import Stage

    AskInventory = Callable[[str], Awaitable[tuple[str, dict[str, int]]]]

NAME: Final = "cancel-vs-start"
PROMISE: Final = (
    "A cancel while robots set out either withdraws all of the order and returns its stock, or comes too late for all of it:"
    " gateway, inventory and device tell the same."
)
ORDERS: Final = 200
AT_ONCE: Final = 24
AISLES: Final = ("bread", "dairy")  # two robots an order: the first start of either decides for both
CONFIRMED: Final = frozenset({"200", "409 no_robots", "410 hold_expired"})
CANCELLED: Final = frozenset({"200", "409 too_late_to_cancel"})
REGISTER: Final = {"CANCELLED": "RELEASED", "COMPLETED": "COMPLETED", "FAILED": "FAILED"}
FIRST_LEAD_S: Final = 0.05  # robots hear of work within a tenth of a second
LEAST_LEAD_S, MOST_LEAD_S = 0.001, 0.5
STEP: Final = 1.15


class Race(Struct, frozen=True):
    """One order: its calls, the cancel asked twice, its end at the gateway, and what inventory's register says of it."""

    preview: Said
    confirm: Said | None = None
    cancel: Said | None = None
    again: Said | None = None
    end: End | None = None
    register: str = ""
    picked: Mapping[str, int] = {}


class Races(Struct, frozen=True):
    """What was seen of all of them."""

    stocked: Mapping[str, int]
    available: Mapping[str, int]
    races: list[Race]


class Lead:
    """How long a cancel waits behind the confirm's 200: longer after one that won, shorter after one that came too late.

    So about half of them win, however fast the machine is: that is where the race is.
    """

    def __init__(self) -> None:
        self.wait_s = FIRST_LEAD_S

    def learn(self, cancel: Said) -> None:
        """Take the answer of one race into account."""
        longer = self.wait_s * (STEP if cancel.word == "200" else 1 / STEP)
        self.wait_s = min(MOST_LEAD_S, max(LEAST_LEAD_S, longer))


def judge(seen: Races) -> list[str]:
    """Return every broken promise."""
    found = unexplained([race.preview for race in seen.races], {"201"})
    ends = []
    for race in seen.races:
        if race.confirm is None or race.end is None:
            continue  # its preview is told above
        ends.append(race.end)
        found += unexplained([race.confirm], CONFIRMED)
        found += untrue(race.confirm, race.end, cancel_told=race.cancel is not None and race.cancel.word == "200")
        found += _two_truths(race, race.end)
    return found + unended(ends) + _wrong_shelf(seen, ends)


def _two_truths(race: Race, end: End) -> list[str]:
    """Return where device, gateway and inventory do not tell the same of one order."""
    if race.cancel is None or race.again is None:
        return []  # it was never PROCESSING
    order = f"order {end.order_id}"
    found = unexplained([race.cancel, race.again], CANCELLED) + untrue(race.cancel, end) + untrue(race.again, end)
    if race.cancel.word != race.again.word:
        found.append(f"{order}: a cancel was told {race.cancel.word}, and asked again {race.again.word}")
    if race.register != REGISTER.get(end.status):
        found.append(f"{order}: it ended {end.status}, and inventory says {race.register}")
    charged = _picked(end)
    reported = {sku: units for sku, units in race.picked.items() if units}
    if charged != reported:
        found.append(f"{order}: {charged} were charged, and robots picked {reported}")
    return found


def _wrong_shelf(seen: Races, ends: list[End]) -> list[str]:
    """Return every SKU of which more or less is left than what was picked accounts for.

    Each article is the only one of its aisle and each line one unit, so a robot picks it or leaves it: nothing is written off.
    """
    taken = {sku: sum(_picked(end).get(sku, 0) for end in ends) for sku in seen.stocked}
    return [
        f"{sku}: {units} were stocked, {taken[sku]} picked, {seen.available.get(sku)} are available"
        for sku, units in seen.stocked.items()
        if seen.available.get(sku) != units - taken[sku]
    ]


def _picked(end: End) -> dict[str, int]:
    if end.order is None or end.status != "COMPLETED":
        return {}
    return {line.sku: line.picked for line in end.order.items if line.picked}


async def play(stage: Stage) -> Result:
    """Let every device cancel its order just when robots set out for it."""
    orders = stage.of(ORDERS)
    shelf = await fill_shelf(stage.floor, NAME, orders, AISLES)
    room, lead = asyncio.Semaphore(AT_ONCE), Lead()
    async with shelf.asking() as ask:

        async def race(number: int) -> Race:
            async with room:
                return await _race(stage.devices[number], shelf, number % 2, lead, ask)

        races = list(await asyncio.gather(*map(race, range(orders))))
    seen = Races(shelf.stocked, await shelf.available(), races)
    raced = [one for one in races if one.cancel is not None and one.end is not None]
    withdrawn = sum(one.end is not None and one.end.status == "CANCELLED" for one in raced)
    calls = [call for one in races for call in (one.preview, one.confirm, one.cancel, one.again) if call is not None]
    told = (
        f"{len(raced)} races: {withdrawn} CANCELLED and their stock returned, {len(raced) - withdrawn} too late to cancel,"
        f" {repeats(calls)} answers asked again"
    )
    return judged(NAME, PROMISE, told, judge(seen))


async def _race(device: Device, shelf: Shelf, gateway: int, lead: Lead, ask: AskInventory) -> Race:
    """Confirm at `gateway`, and cancel at the other a little later."""
    preview = await device.preview(gateway, dict.fromkeys(shelf.skus, 1), uuid7().hex)
    if preview.last.http_status != CREATED:
        return Race(preview)
    order_id = preview.order_id
    confirm = await device.confirm(gateway, order_id)
    if confirm.last.http_status != OK:
        return Race(preview, confirm, end=await device.end(gateway, order_id))
    await asyncio.sleep(lead.wait_s)
    cancel = await device.cancel(1 - gateway, order_id)
    lead.learn(cancel)
    end = await device.end(gateway, order_id)
    register, picked = await ask(order_id)
    return Race(preview, confirm, cancel, await device.cancel(gateway, order_id), end, register, picked)
