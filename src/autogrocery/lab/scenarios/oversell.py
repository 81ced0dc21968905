"""Oversell: four buyers for each unit, half of them with the SKUs in reverse order, all at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.kit.ids import uuid7
from autogrocery.lab.scenarios.device import CREATED, OK, Device, DeviceCall, OrderEnd
from autogrocery.lab.scenarios.environment import ScenarioResult, checked
from autogrocery.lab.scenarios.fresh_products import stock_fresh_products
from autogrocery.lab.scenarios.lock_conflicts import LockConflicts, conflicts_since, log_sizes
from autogrocery.lab.scenarios.rules import (
    contradictions,
    count_retries,
    stock_mismatches,
    unexpected_answers,
    unfinished_orders,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autogrocery.lab.scenarios.context import ScenarioContext

NAME: Final = "oversell"
PROMISE: Final = (
    "Of four times as many buyers as units, exactly as many as there are units buy;"
    " nothing is oversold, nothing deadlocks."
)
BUYERS: Final = 200
BUYERS_PER_UNIT: Final = 4
ROUNDS: Final = 5  # a buyer previews again after a quote that expired before its confirm

STRAY_LOCK_TIMEOUTS: Final = 2  # a disk may stall for half a second; a lock cycle makes hundreds


class Buyer(Struct, frozen=True):
    """One buyer's calls, in order, and how each order that it was quoted ended."""

    calls: tuple[DeviceCall, ...]
    ends: tuple[OrderEnd, ...] = ()

    @property
    def bought(self) -> bool:
        """Whether the last call was a confirm that was answered 200."""
        return bool(self.calls) and self.calls[-1].step == "confirm" and self.calls[-1].last.http_status == OK


class Sale(Struct, frozen=True):
    """One sale: the units by SKU that were stocked and are available, the buyers, the lock conflicts."""

    stocked: Mapping[str, int]
    available: Mapping[str, int]
    buyers: list[Buyer]
    lock_conflicts: LockConflicts = LockConflicts()


def check(sale: Sale) -> list[str]:
    """Return every violation of the promise.

    The units of an order of which robots could pick nothing (FAILED) return to stock and may be sold again.
    """
    calls = [call for buyer in sale.buyers for call in buyer.calls]
    ends = [end for buyer in sale.buyers for end in buyer.ends]
    units = min(sale.stocked.values())
    bought = sum(buyer.bought for buyer in sale.buyers)
    failed = sum(end.status == "FAILED" for end in ends)
    found = unexpected_answers(
        calls, {"201", "200", "409 insufficient_stock", "410 hold_expired", "409 no_robots", "409 order_cancelled"}
    )
    if not units <= bought <= units + failed:
        found.append(f"{bought} bought, with {units} units and {failed} orders whose units were returned")
    for buyer in sale.buyers:
        if not buyer.bought and (not buyer.calls or buyer.calls[-1].outcome != "409 insufficient_stock"):
            last = buyer.calls[-1].outcome if buyer.calls else "nothing"
            found.append(f"a buyer ended with {last}, neither an order nor insufficient_stock")
        for end in buyer.ends:
            found += [
                finding
                for call in buyer.calls
                if call.order_id == end.order_id
                for finding in contradictions(call, end)
            ]
    conflicts = sale.lock_conflicts
    if conflicts.deadlocks or conflicts.lock_timeouts > STRAY_LOCK_TIMEOUTS:
        found.append(f"{conflicts.deadlocks} deadlocks and {conflicts.lock_timeouts} lock timeouts in the logs")
    return found + unfinished_orders(ends) + stock_mismatches(sale.stocked, sale.available, ends)


async def play(context: ScenarioContext) -> ScenarioResult:
    """Let all buyers preview and confirm the last units of two products at once."""
    buyers = context.of(BUYERS)
    products = await stock_fresh_products(
        context.environment, NAME, max(1, buyers // BUYERS_PER_UNIT), ("produce", "produce")
    )
    before = await asyncio.to_thread(log_sizes, context.environment.logs)
    baskets = (dict.fromkeys(products.skus, 1), dict.fromkeys(reversed(products.skus), 1))
    finished = await asyncio.gather(
        *(_buy(context.devices[number], number, baskets[number % 2]) for number in range(buyers))
    )
    available = await products.available()
    sale = Sale(products.stocked, available, list(finished), await asyncio.to_thread(conflicts_since, before))
    calls = [call for buyer in finished for call in buyer.calls]
    refused = sum(call.outcome == "409 insufficient_stock" for call in calls)
    summary = (
        f"{buyers} buyers of {min(products.stocked.values())} units: {sum(buyer.bought for buyer in finished)} bought,"
        f" {refused} times insufficient_stock, {sum(available.values())} left,"
        f" {count_retries(calls)} attempts repeated,"
        f" {sale.lock_conflicts.deadlocks} deadlocks, {sale.lock_conflicts.lock_timeouts} lock timeouts"
    )
    return checked(NAME, PROMISE, summary, check(sale))


async def _buy(device: Device, number: int, basket: dict[str, int]) -> Buyer:
    """Preview at one gateway, confirm at one of the two, until there is an order or no stock."""
    calls: list[DeviceCall] = []
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
