"""Confirm and cancel of one order at the same moment, at different gateways."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.kit.process.clock import uuid7
from autogrocery.lab.scenarios.doors import CREATED, Device, End, Said
from autogrocery.lab.scenarios.floor import Result, judged
from autogrocery.lab.scenarios.laws import overtaken, repeats, unended, unexplained, untrue, wrong_shelf
from autogrocery.lab.scenarios.shelf import Shelf, fill_shelf

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autogrocery.lab.scenarios.stage import Stage

NAME: Final = "confirm-vs-cancel"
PROMISE: Final = (
    "An order confirmed and cancelled at the same moment ends in one truth, and both callers were told that one."
)
ORDERS: Final = 200
AT_ONCE: Final = 24
HEAD_START_S: Final = 0.012  # about what a confirm takes; up to so much later comes the one or the other
EXPECTED: Final = frozenset(
    {"200", "409 order_cancelled", "409 too_late_to_cancel", "410 hold_expired", "409 no_robots"}
)


class Race(Struct, frozen=True):
    """One order: its preview, what both callers were told, and how it ended."""

    preview: Said
    confirm: Said | None = None
    cancel: Said | None = None
    end: End | None = None


class Races(Struct, frozen=True):
    """What was seen of all of them."""

    stocked: Mapping[str, int]
    available: Mapping[str, int]
    races: list[Race]


def judge(seen: Races) -> list[str]:
    """Return every broken promise."""
    found = unexplained([race.preview for race in seen.races], {"201"})
    ends = []
    for race in seen.races:
        if race.confirm is None or race.cancel is None or race.end is None:
            continue  # its preview is told above
        ends.append(race.end)
        found += unexplained([race.confirm, race.cancel], EXPECTED)
        found += untrue(race.confirm, race.end, cancel_told=race.cancel.word == "200")
        found += untrue(race.cancel, race.end)
        if race.end.status == "CANCELLED" and race.cancel.word != "200":
            found.append(f"order {race.end.order_id}: CANCELLED, and its cancel was told {race.cancel.word}")
    return found + unended(ends) + wrong_shelf(seen.stocked, seen.available, ends)


async def play(stage: Stage) -> Result:
    """Let every device confirm and cancel its order at once."""
    orders = stage.of(ORDERS)
    shelf = await fill_shelf(stage.floor, NAME, orders, ("bread",))
    room = asyncio.Semaphore(AT_ONCE)
    leads = [stage.rng.uniform(-HEAD_START_S, HEAD_START_S) for _ in range(orders)]

    async def race(number: int) -> Race:
        async with room:
            return await _race(stage.devices[number], shelf, number % 2, leads[number])

    races = list(await asyncio.gather(*map(race, range(orders))))
    seen = Races(shelf.stocked, await shelf.available(), races)
    calls = [call for one in races for call in (one.preview, one.confirm, one.cancel) if call is not None]
    ended = [one for one in races if one.end is not None and one.confirm is not None]
    cancelled = [one for one in ended if one.end is not None and one.end.status == "CANCELLED"]
    withdrawn = sum(one.confirm is not None and one.confirm.word == "200" for one in cancelled)
    refused = sum(one.end is not None and one.confirm is not None and overtaken(one.confirm, one.end) for one in ended)
    told = (
        f"{len(ended)} races: {len(cancelled)} CANCELLED ({withdrawn} after a confirm's 200),"
        f" {len(ended) - len(cancelled)} too late to cancel, {refused} refusals overtaken, {repeats(calls)} answers asked again"
    )
    return judged(NAME, PROMISE, told, judge(seen))


async def _race(device: Device, shelf: Shelf, gateway: int, lead_s: float) -> Race:
    """Confirm at `gateway`, cancel at the other; `lead_s` > 0 lets the confirm go first, < 0 the cancel."""
    preview = await device.preview(gateway, dict.fromkeys(shelf.skus, 1), uuid7().hex)
    if preview.last.http_status != CREATED:
        return Race(preview)
    order_id = preview.order_id

    async def after(pause_s: float) -> None:
        await asyncio.sleep(max(0.0, pause_s))

    async def confirm() -> Said:
        await after(-lead_s)
        return await device.confirm(gateway, order_id)

    async def cancel() -> Said:
        await after(lead_s)
        return await device.cancel(1 - gateway, order_id)

    confirmed, cancelled = await asyncio.gather(confirm(), cancel())
    return Race(preview, confirmed, cancelled, await device.end(gateway, order_id))
