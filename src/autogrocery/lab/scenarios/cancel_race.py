"""Confirm and cancel of one order at the same moment, at different gateways."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.kit.ids import uuid7
from autogrocery.lab.scenarios.device import CREATED, Device, DeviceCall, OrderEnd
from autogrocery.lab.scenarios.environment import ScenarioResult, checked
from autogrocery.lab.scenarios.fresh_products import FreshProducts, stock_fresh_products
from autogrocery.lab.scenarios.rules import (
    contradictions,
    count_retries,
    overtaken,
    stock_mismatches,
    unexpected_answers,
    unfinished_orders,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autogrocery.lab.scenarios.context import ScenarioContext

NAME: Final = "confirm-vs-cancel"
PROMISE: Final = (
    "An order confirmed and cancelled at the same moment ends in one status, and both answers agree with it."
)
ORDERS: Final = 200
CONCURRENT: Final = 24
HEAD_START_S: Final = 0.012  # about what a confirm takes; either call may be sent up to so much later
EXPECTED: Final = frozenset(
    {"200", "409 order_cancelled", "409 too_late_to_cancel", "410 hold_expired", "409 no_robots"}
)


class Race(Struct, frozen=True):
    """One order: its preview, both answers, and how it ended."""

    preview: DeviceCall
    confirm: DeviceCall | None = None
    cancel: DeviceCall | None = None
    end: OrderEnd | None = None


class Races(Struct, frozen=True):
    """All orders of the scenario, and the units by SKU that were stocked and are available."""

    stocked: Mapping[str, int]
    available: Mapping[str, int]
    races: list[Race]


def check(observed: Races) -> list[str]:
    """Return every violation of the promise."""
    found = unexpected_answers([race.preview for race in observed.races], {"201"})
    ends = []
    for race in observed.races:
        if race.confirm is None or race.cancel is None or race.end is None:
            continue  # the finding about its preview is above
        ends.append(race.end)
        found += unexpected_answers([race.confirm, race.cancel], EXPECTED)
        found += contradictions(race.confirm, race.end, cancel_succeeded=race.cancel.outcome == "200")
        found += contradictions(race.cancel, race.end)
        if race.end.status == "CANCELLED" and race.cancel.outcome != "200":
            found.append(f"order {race.end.order_id}: CANCELLED, and its cancel was answered {race.cancel.outcome}")
    return found + unfinished_orders(ends) + stock_mismatches(observed.stocked, observed.available, ends)


async def play(context: ScenarioContext) -> ScenarioResult:
    """Let every device confirm and cancel its order at the same time."""
    orders = context.of(ORDERS)
    products = await stock_fresh_products(context.environment, NAME, orders, ("bread",))
    slots = asyncio.Semaphore(CONCURRENT)
    head_starts = [context.rng.uniform(-HEAD_START_S, HEAD_START_S) for _ in range(orders)]

    async def race(number: int) -> Race:
        async with slots:
            return await _race(context.devices[number], products, number % 2, head_starts[number])

    races = list(await asyncio.gather(*map(race, range(orders))))
    observed = Races(products.stocked, await products.available(), races)
    calls = [call for one in races for call in (one.preview, one.confirm, one.cancel) if call is not None]
    ended = [one for one in races if one.end is not None and one.confirm is not None]
    cancelled = [one for one in ended if one.end is not None and one.end.status == "CANCELLED"]
    cancelled_after_confirm = sum(one.confirm is not None and one.confirm.outcome == "200" for one in cancelled)
    refused = sum(one.end is not None and one.confirm is not None and overtaken(one.confirm, one.end) for one in ended)
    summary = (
        f"{len(ended)} races: {len(cancelled)} CANCELLED ({cancelled_after_confirm} after a confirm's 200),"
        f" {len(ended) - len(cancelled)} too late to cancel, {refused} refusals overtaken,"
        f" {count_retries(calls)} attempts repeated"
    )
    return checked(NAME, PROMISE, summary, check(observed))


async def _race(device: Device, products: FreshProducts, gateway: int, lead_s: float) -> Race:
    """Confirm at `gateway`, cancel at the other; with `lead_s` > 0 the confirm is sent first, with < 0 the cancel."""
    preview = await device.preview(gateway, dict.fromkeys(products.skus, 1), uuid7().hex)
    if preview.last.http_status != CREATED:
        return Race(preview)
    order_id = preview.order_id

    async def after(pause_s: float) -> None:
        await asyncio.sleep(max(0.0, pause_s))

    async def confirm() -> DeviceCall:
        await after(-lead_s)
        return await device.confirm(gateway, order_id)

    async def cancel() -> DeviceCall:
        await after(lead_s)
        return await device.cancel(1 - gateway, order_id)

    confirmed, cancelled = await asyncio.gather(confirm(), cancel())
    return Race(preview, confirmed, cancelled, await device.end(gateway, order_id))
