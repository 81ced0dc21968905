"""Twenty concurrent confirms of one order, over all gateways."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.kit.ids import uuid7
from autogrocery.lab.scenarios.device import ACCEPTED, CREATED, Device, DeviceCall, OrderEnd
from autogrocery.lab.scenarios.environment import ScenarioResult, checked
from autogrocery.lab.scenarios.fresh_products import Assignment, FreshProducts, stock_fresh_products
from autogrocery.lab.scenarios.rules import contradictions, count_retries, unexpected_answers, unfinished_orders

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autogrocery.lab.scenarios.context import ScenarioContext

NAME: Final = "twenty-confirms"
PROMISE: Final = (
    "Twenty confirms of one order over two gateways dispatch it once; every answer names the same assignments."
)
ORDERS: Final = 10
CONFIRMS: Final = 20


class ConfirmRound(Struct, frozen=True):
    """One order: its preview, all confirms, its end, and the assignments in inventory."""

    preview: DeviceCall
    confirms: tuple[DeviceCall, ...] = ()
    end: OrderEnd | None = None
    dispatch: frozenset[Assignment] = frozenset()


class ConfirmRounds(Struct, frozen=True):
    """All orders, each of one unit of every SKU in aisles of their own, and the units stocked and available by SKU."""

    stocked: Mapping[str, int]
    available: Mapping[str, int]
    rounds: list[ConfirmRound]


def check(observed: ConfirmRounds) -> list[str]:
    """Return every violation of the promise."""
    found = unexpected_answers([one.preview for one in observed.rounds], {"201"})
    for one in observed.rounds:
        if one.end is None:
            continue
        found += unexpected_answers(one.confirms, {"200"})
        for confirm in one.confirms:
            found += contradictions(confirm, one.end)
        answers = [_assignments(call) for call in one.confirms if call.outcome == "200"] + [one.dispatch]
        if len(one.dispatch) != len(observed.stocked) or any(answer != one.dispatch for answer in answers):
            others = {len(answer - one.dispatch) for answer in answers}
            found.append(
                f"order {one.end.order_id}: {len(one.dispatch)} assignments for {len(observed.stocked)} aisles,"
                f" up to {max(others)} others were returned"
            )
        path = [event.to_status for event in one.end.events]
        if path.count("PROCESSING") != 1:
            found.append(f"order {one.end.order_id}: {path.count('PROCESSING')} dispatches in its history")
    ends = [one.end for one in observed.rounds if one.end is not None]
    return found + unfinished_orders(ends) + _stock_mismatches(observed, ends)


def _assignments(call: DeviceCall) -> frozenset[Assignment]:
    order = call.last.order
    robots = (order.robots if order is not None else None) or ()
    return frozenset(Assignment(robot.assignment_id, robot.robot_id) for robot in robots)


def _stock_mismatches(observed: ConfirmRounds, ends: list[OrderEnd]) -> list[str]:
    """Return a finding for each SKU whose available units are not those stocked less those picked."""
    found = []
    for sku, units in observed.stocked.items():
        picked = sum(
            line.picked or 0
            for end in ends
            if end.order is not None and end.status == "COMPLETED"
            for line in end.order.items
            if line.sku == sku
        )
        if observed.available.get(sku) != units - picked:
            found.append(f"{sku}: {units} stocked, {picked} picked, {observed.available.get(sku)} are available")
    return found


async def play(context: ScenarioContext) -> ScenarioResult:
    """Confirm each order twenty times concurrently, one order after the other."""
    orders = context.of(ORDERS)
    products = await stock_fresh_products(context.environment, NAME, orders * CONFIRMS, ("meat", "party"))
    rounds = [await _confirm_round(context.devices[number], products) for number in range(orders)]
    observed = ConfirmRounds(products.stocked, await products.available(), rounds)
    confirms = [confirm for one in rounds for confirm in one.confirms]
    waited = sum(attempt.http_status == ACCEPTED for confirm in confirms for attempt in confirm.attempts)
    summary = (
        f"{orders} orders, {sum(call.outcome == '200' for call in confirms)} of {len(confirms)} confirms answered 200"
        f" ({waited} times 202 first), {sum(len(one.dispatch) for one in rounds)} assignments"
        f" in {len(products.skus)} aisles, {count_retries(confirms)} attempts repeated"
    )
    return checked(NAME, PROMISE, summary, check(observed))


async def _confirm_round(device: Device, products: FreshProducts) -> ConfirmRound:
    preview = await device.preview(0, dict.fromkeys(products.skus, 1), uuid7().hex)
    if preview.last.http_status != CREATED:
        return ConfirmRound(preview)
    order_id = preview.order_id
    confirms = await asyncio.gather(*(device.confirm(number % 2, order_id) for number in range(CONFIRMS)))
    end = await device.end(1, order_id)
    return ConfirmRound(preview, tuple(confirms), end, frozenset(await products.dispatch_of(order_id)))
