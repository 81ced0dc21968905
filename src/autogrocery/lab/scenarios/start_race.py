"""A cancel and a robot's start of the same order at the same moment, checked at gateway, inventory and device."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.kit.ids import uuid7
from autogrocery.lab.scenarios.device import CREATED, OK, Device, DeviceCall, OrderEnd
from autogrocery.lab.scenarios.environment import ScenarioResult, checked
from autogrocery.lab.scenarios.fresh_products import FreshProducts, stock_fresh_products
from autogrocery.lab.scenarios.rules import contradictions, count_retries, unexpected_answers, unfinished_orders

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autogrocery.lab.scenarios.context import ScenarioContext
    from autogrocery.lab.scenarios.fresh_products import ReadOrder

NAME: Final = "cancel-vs-start"
PROMISE: Final = (
    "A cancel while robots start either withdraws all of the order and returns its stock, or is too late for all of it:"
    " gateway, inventory and device agree."
)
ORDERS: Final = 200
CONCURRENT: Final = 24
AISLES: Final = ("bread", "dairy")  # two robots an order: the first start of either decides for both
CONFIRMED: Final = frozenset({"200", "409 no_robots", "410 hold_expired"})
CANCELLED: Final = frozenset({"200", "409 too_late_to_cancel"})
REGISTER_STATE: Final = {"CANCELLED": "RELEASED", "COMPLETED": "COMPLETED", "FAILED": "FAILED"}
FIRST_LEAD_S: Final = 0.05  # robots get new work within 0.1 s
MIN_LEAD_S, MAX_LEAD_S = 0.001, 0.5
STEP: Final = 1.15


class Race(Struct, frozen=True):
    """One order: its calls, two cancels, its end at the gateway, and its state and picks in inventory."""

    preview: DeviceCall
    confirm: DeviceCall | None = None
    cancel: DeviceCall | None = None
    second_cancel: DeviceCall | None = None
    end: OrderEnd | None = None
    register: str = ""
    picked: Mapping[str, int] = {}


class Races(Struct, frozen=True):
    """All orders of the scenario, and the units by SKU that were stocked and are available."""

    stocked: Mapping[str, int]
    available: Mapping[str, int]
    races: list[Race]


class Lead:
    """Delay of a cancel after the confirm's 200: grows after a cancel that succeeded, shrinks after one too late.

    So about half of them succeed on a machine of any speed, which keeps both calls in the race.
    """

    def __init__(self) -> None:
        self.wait_s = FIRST_LEAD_S

    def adjust(self, cancel: DeviceCall) -> None:
        """Adjust the delay by the outcome of one cancel."""
        longer = self.wait_s * (STEP if cancel.outcome == "200" else 1 / STEP)
        self.wait_s = min(MAX_LEAD_S, max(MIN_LEAD_S, longer))


def check(observed: Races) -> list[str]:
    """Return every violation of the promise."""
    found = unexpected_answers([race.preview for race in observed.races], {"201"})
    ends = []
    for race in observed.races:
        if race.confirm is None or race.end is None:
            continue  # the finding about its preview is above
        ends.append(race.end)
        found += unexpected_answers([race.confirm], CONFIRMED)
        found += contradictions(
            race.confirm, race.end, cancel_succeeded=race.cancel is not None and race.cancel.outcome == "200"
        )
        found += _disagreements(race, race.end)
    return found + unfinished_orders(ends) + _stock_mismatches(observed, ends)


def _disagreements(race: Race, end: OrderEnd) -> list[str]:
    """Return where device, gateway and inventory disagree about one order."""
    if race.cancel is None or race.second_cancel is None:
        return []  # it was never PROCESSING
    order = f"order {end.order_id}"
    found = (
        unexpected_answers([race.cancel, race.second_cancel], CANCELLED)
        + contradictions(race.cancel, end)
        + contradictions(race.second_cancel, end)
    )
    if race.cancel.outcome != race.second_cancel.outcome:
        found.append(
            f"{order}: a cancel was answered {race.cancel.outcome}, and when repeated {race.second_cancel.outcome}"
        )
    if race.register != REGISTER_STATE.get(end.status):
        found.append(f"{order}: it ended {end.status}, and inventory has {race.register}")
    charged = _picked(end)
    reported = {sku: units for sku, units in race.picked.items() if units}
    if charged != reported:
        found.append(f"{order}: {charged} were charged, and robots picked {reported}")
    return found


def _stock_mismatches(observed: Races, ends: list[OrderEnd]) -> list[str]:
    """Return a finding for each SKU whose available units are not those stocked less those picked.

    Each product is alone in its aisle and each line is one unit: a robot picks it or leaves it, nothing is written off.
    """
    taken = {sku: sum(_picked(end).get(sku, 0) for end in ends) for sku in observed.stocked}
    return [
        f"{sku}: {units} were stocked, {taken[sku]} picked, {observed.available.get(sku)} are available"
        for sku, units in observed.stocked.items()
        if observed.available.get(sku) != units - taken[sku]
    ]


def _picked(end: OrderEnd) -> dict[str, int]:
    if end.order is None or end.status != "COMPLETED":
        return {}
    return {line.sku: line.picked for line in end.order.items if line.picked}


async def play(context: ScenarioContext) -> ScenarioResult:
    """Let every device cancel its order just when robots start on it."""
    orders = context.of(ORDERS)
    products = await stock_fresh_products(context.environment, NAME, orders, AISLES)
    slots, lead = asyncio.Semaphore(CONCURRENT), Lead()
    async with products.open_order_reader() as read_order:

        async def race(number: int) -> Race:
            async with slots:
                return await _race(context.devices[number], products, number % 2, lead, read_order)

        races = list(await asyncio.gather(*map(race, range(orders))))
    observed = Races(products.stocked, await products.available(), races)
    raced = [one for one in races if one.cancel is not None and one.end is not None]
    cancelled = sum(one.end is not None and one.end.status == "CANCELLED" for one in raced)
    calls = [
        call for one in races for call in (one.preview, one.confirm, one.cancel, one.second_cancel) if call is not None
    ]
    summary = (
        f"{len(raced)} races: {cancelled} CANCELLED and their stock returned,"
        f" {len(raced) - cancelled} too late to cancel,"
        f" {count_retries(calls)} attempts repeated"
    )
    return checked(NAME, PROMISE, summary, check(observed))


async def _race(device: Device, products: FreshProducts, gateway: int, lead: Lead, read_order: ReadOrder) -> Race:
    """Confirm at `gateway`, and cancel at the other a little later."""
    preview = await device.preview(gateway, dict.fromkeys(products.skus, 1), uuid7().hex)
    if preview.last.http_status != CREATED:
        return Race(preview)
    order_id = preview.order_id
    confirm = await device.confirm(gateway, order_id)
    if confirm.last.http_status != OK:
        return Race(preview, confirm, end=await device.end(gateway, order_id))
    await asyncio.sleep(lead.wait_s)
    cancel = await device.cancel(1 - gateway, order_id)
    lead.adjust(cancel)
    end = await device.end(gateway, order_id)
    register = await read_order(order_id)
    second = await device.cancel(gateway, order_id)
    return Race(preview, confirm, cancel, second, end, register.state, register.picked)
