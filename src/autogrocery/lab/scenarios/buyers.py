"""Four buyers for each unit, baskets crossing, all at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.kit.process.clock import uuid7
from autogrocery.lab.scenarios.deadlocks import Jams, jams_since, lengths
from autogrocery.lab.scenarios.doors import CREATED, OK, Device, End, Said
from autogrocery.lab.scenarios.floor import Result, judged
from autogrocery.lab.scenarios.laws import repeats, unended, unexplained, untrue, wrong_shelf
from autogrocery.lab.scenarios.shelf import fill_shelf

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autogrocery.lab.scenarios.stage import Stage

NAME: Final = "buyers"
PROMISE: Final = "Of four times as many buyers as units, exactly as many as there are units buy; nothing is oversold, nothing deadlocks."
BUYERS: Final = 200
BUYERS_PER_UNIT: Final = 4
ROUNDS: Final = 5  # a quote that expired before its confirm got through is asked for anew

STRAY_LOCK_TIMEOUTS: Final = 2  # a disk that stalls for half a second; baskets that lock crosswise make hundreds


class Buyer(Struct, frozen=True):
    """One buyer's calls, in order, and how each order that it was quoted ended."""

    calls: tuple[Said, ...]
    ends: tuple[End, ...] = ()

    @property
    def bought(self) -> bool:
        """Its last word was a confirm's 200."""
        return bool(self.calls) and self.calls[-1].step == "confirm" and self.calls[-1].last.http_status == OK


class Sale(Struct, frozen=True):
    """What was seen of one sale."""

    stocked: Mapping[str, int]
    available: Mapping[str, int]
    buyers: list[Buyer]
    jams: Jams = Jams()


def judge(sale: Sale) -> list[str]:
    """Return every broken promise of a sale.

    An order of which the robots could pick nothing (FAILED) gives its units back, and they may be sold once more.
    """
    calls = [call for buyer in sale.buyers for call in buyer.calls]
    ends = [end for buyer in sale.buyers for end in buyer.ends]
    units = min(sale.stocked.values())
    bought = sum(buyer.bought for buyer in sale.buyers)
    failed = sum(end.status == "FAILED" for end in ends)
    found = unexplained(
        calls, {"201", "200", "409 insufficient_stock", "410 hold_expired", "409 no_robots", "409 order_cancelled"}
    )
    if not units <= bought <= units + failed:
        found.append(f"{bought} bought, with {units} units and {failed} orders whose units came back")
    for buyer in sale.buyers:
        if not buyer.bought and (not buyer.calls or buyer.calls[-1].word != "409 insufficient_stock"):
            heard = buyer.calls[-1].word if buyer.calls else "nothing"
            found.append(f"a buyer went away with {heard}, neither an order nor insufficient_stock")
        for end in buyer.ends:
            found += [flaw for call in buyer.calls if call.order_id == end.order_id for flaw in untrue(call, end)]
    if sale.jams.deadlocks or sale.jams.lock_timeouts > STRAY_LOCK_TIMEOUTS:
        found.append(f"{sale.jams.deadlocks} deadlocks and {sale.jams.lock_timeouts} lock timeouts in the logs")
    return found + unended(ends) + wrong_shelf(sale.stocked, sale.available, ends)


async def play(stage: Stage) -> Result:
    """Sell the last units of two articles to everybody at once."""
    buyers = stage.of(BUYERS)
    shelf = await fill_shelf(stage.floor, NAME, max(1, buyers // BUYERS_PER_UNIT), ("produce", "produce"))
    before = await asyncio.to_thread(lengths, stage.floor.logs)
    baskets = (dict.fromkeys(shelf.skus, 1), dict.fromkeys(reversed(shelf.skus), 1))
    went = await asyncio.gather(*(_buy(stage.devices[number], number, baskets[number % 2]) for number in range(buyers)))
    available = await shelf.available()
    sale = Sale(shelf.stocked, available, list(went), await asyncio.to_thread(jams_since, before))
    calls = [call for buyer in went for call in buyer.calls]
    turned_away = sum(call.word == "409 insufficient_stock" for call in calls)
    told = (
        f"{buyers} buyers of {min(shelf.stocked.values())} units: {sum(buyer.bought for buyer in went)} bought,"
        f" {turned_away} times insufficient_stock, {sum(available.values())} left, {repeats(calls)} answers asked again,"
        f" {sale.jams.deadlocks} deadlocks, {sale.jams.lock_timeouts} lock timeouts"
    )
    return judged(NAME, PROMISE, told, judge(sale))


async def _buy(device: Device, number: int, basket: dict[str, int]) -> Buyer:
    """Preview at one gateway, confirm at one of the two, until there is an order or no stock."""
    calls: list[Said] = []
    quoted: list[str] = []
    for _ in range(ROUNDS):
        preview = await device.preview(number // 2 % 2, basket, uuid7().hex)
        calls.append(preview)
        if preview.last.http_status != CREATED or preview.last.order is None:
            break
        quoted.append(preview.last.order.order_id)
        calls.append(await device.confirm(number // 4 % 2, quoted[-1]))
        if calls[-1].last.http_status == OK or not calls[-1].last.definite:
            break
    return Buyer(tuple(calls), tuple([await device.end(number % 2, order_id) for order_id in quoted]))
