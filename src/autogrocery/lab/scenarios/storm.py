"""Twenty confirms of one order at once, over all gateways."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.kit.process.clock import uuid7
from autogrocery.lab.scenarios.doors import CREATED, Device, End, Said
from autogrocery.lab.scenarios.floor import Result, judged
from autogrocery.lab.scenarios.laws import repeats, unended, unexplained, untrue
from autogrocery.lab.scenarios.shelf import Shelf, fill_shelf

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autogrocery.lab.scenarios.stage import Stage

NAME: Final = "twenty-confirms"
PROMISE: Final = (
    "Twenty confirms of one order over two gateways dispatch it once; every answer names the same assignments."
)
ORDERS: Final = 10
CONFIRMS: Final = 20

Shares = set[tuple[str, str]]


class Storm(Struct, frozen=True):
    """One order: its preview, all confirms, its end, and the assignments (id, robot) that inventory has for it."""

    preview: Said
    confirms: tuple[Said, ...] = ()
    end: End | None = None
    dispatch: Shares = set()


class Storms(Struct, frozen=True):
    """What was seen of all of them; an order takes one unit of every SKU, each in an aisle of its own."""

    stocked: Mapping[str, int]
    available: Mapping[str, int]
    storms: list[Storm]


def judge(seen: Storms) -> list[str]:
    """Return every broken promise."""
    found = unexplained([storm.preview for storm in seen.storms], {"201"})
    for storm in seen.storms:
        if storm.end is None:
            continue
        found += unexplained(storm.confirms, {"200"})
        for confirm in storm.confirms:
            found += untrue(confirm, storm.end)
        tellings = [_shares(call) for call in storm.confirms if call.word == "200"] + [storm.dispatch]
        if len(storm.dispatch) != len(seen.stocked) or any(told != storm.dispatch for told in tellings):
            others = {len(told - storm.dispatch) for told in tellings}
            found.append(
                f"order {storm.end.order_id}: {len(storm.dispatch)} assignments for {len(seen.stocked)} aisles,"
                f" up to {max(others)} others were told"
            )
        path = [event.to_status for event in storm.end.events]
        if path.count("PROCESSING") != 1:
            found.append(f"order {storm.end.order_id}: {path.count('PROCESSING')} dispatches in its history")
    ends = [storm.end for storm in seen.storms if storm.end is not None]
    return found + unended(ends) + _wrong_shelf(seen, ends)


def _shares(call: Said) -> Shares:
    order = call.last.order
    return {(robot.assignment_id, robot.robot_id) for robot in (order.robots if order is not None else None) or ()}


def _wrong_shelf(seen: Storms, ends: list[End]) -> list[str]:
    """Return the SKUs of which not exactly the picked units are gone."""
    found = []
    for sku, units in seen.stocked.items():
        picked = sum(
            line.picked or 0
            for end in ends
            if end.order is not None and end.status == "COMPLETED"
            for line in end.order.items
            if line.sku == sku
        )
        if seen.available.get(sku) != units - picked:
            found.append(f"{sku}: {units} stocked, {picked} picked, {seen.available.get(sku)} are available")
    return found


async def play(stage: Stage) -> Result:
    """Confirm every order twenty times at once, one order after the other."""
    orders = stage.of(ORDERS)
    shelf = await fill_shelf(stage.floor, NAME, orders * CONFIRMS, ("meat", "party"))
    storms = [await _storm(stage.devices[number], shelf) for number in range(orders)]
    seen = Storms(shelf.stocked, await shelf.available(), storms)
    confirms = [confirm for storm in storms for confirm in storm.confirms]
    waited = sum(answer.http_status == 202 for confirm in confirms for answer in confirm.answers)  # noqa: PLR2004
    told = (
        f"{orders} orders, {sum(call.word == '200' for call in confirms)} of {len(confirms)} confirms were told 200"
        f" ({waited} times 202 first), {sum(len(storm.dispatch) for storm in storms)} assignments"
        f" in {len(shelf.skus)} aisles, {repeats(confirms)} answers asked again"
    )
    return judged(NAME, PROMISE, told, judge(seen))


async def _storm(device: Device, shelf: Shelf) -> Storm:
    preview = await device.preview(0, dict.fromkeys(shelf.skus, 1), uuid7().hex)
    if preview.last.http_status != CREATED:
        return Storm(preview)
    order_id = preview.order_id
    confirms = await asyncio.gather(*(device.confirm(number % 2, order_id) for number in range(CONFIRMS)))
    end = await device.end(1, order_id)
    return Storm(preview, tuple(confirms), end, await shelf.dispatch_of(order_id))
