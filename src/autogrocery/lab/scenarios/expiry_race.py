"""Confirms within milliseconds before and after a quote expires."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.kit.ids import uuid7
from autogrocery.kit.process.clock import now
from autogrocery.lab.scenarios.environment import ScenarioResult, checked
from autogrocery.lab.scenarios.fresh_products import stock_fresh_products
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
    from autogrocery.lab.scenarios.device import Device, DeviceCall, OrderEnd

NAME: Final = "confirm-vs-expiry"
PROMISE: Final = (
    "A confirm around the expiry of its quote is right: answered 200 it never expires, answered 410 it has expired."
)
ORDERS: Final = 200
AROUND_S: Final = 0.050
EXPECTED: Final = frozenset({"200", "410 hold_expired", "409 no_robots"})


class TimedConfirm(Struct, frozen=True):
    """One quote, and the confirm sent `offset_s` after its expiry (before, if negative)."""

    preview: DeviceCall
    offset_s: float = 0.0
    confirm: DeviceCall | None = None
    end: OrderEnd | None = None


class TimedConfirms(Struct, frozen=True):
    """All orders of the scenario, and the units by SKU that were stocked and are available."""

    stocked: Mapping[str, int]
    available: Mapping[str, int]
    quotes: list[TimedConfirm]


def check(observed: TimedConfirms) -> list[str]:
    """Return every violation of the promise."""
    found = unexpected_answers([quote.preview for quote in observed.quotes], {"201"})
    ends = []
    for quote in observed.quotes:
        if quote.confirm is None or quote.end is None:
            continue
        ends.append(quote.end)
        found += unexpected_answers([quote.confirm], EXPECTED)
        found += contradictions(quote.confirm, quote.end)
        order = quote.end.order
        if quote.end.status == "EXPIRED" and order is not None and order.finished_at and order.expires_at:
            early = order.finished_at < order.expires_at
            found += [f"order {order.order_id}: expired too early"] if early else []
    return found + unfinished_orders(ends) + stock_mismatches(observed.stocked, observed.available, ends)


async def play(context: ScenarioContext) -> ScenarioResult:
    """Preview all orders, then confirm each around its own `expires_at`, spread evenly over ±AROUND_S."""
    orders = context.of(ORDERS)
    products = await stock_fresh_products(context.environment, NAME, orders, ("dairy",))
    basket = dict.fromkeys(products.skus, 1)
    offsets = [AROUND_S * (2 * number / (orders - 1) - 1) for number in range(orders)]
    context.rng.shuffle(offsets)
    slots = asyncio.Semaphore(max(2, orders // 4))

    async def timed_confirm(number: int) -> TimedConfirm:
        async with slots:
            preview = await context.devices[number].preview(number % 2, basket, uuid7().hex)
        return await _confirm_around(context.devices[number], preview, number // 2 % 2, offsets[number])

    quotes = list(await asyncio.gather(*map(timed_confirm, range(orders))))
    observed = TimedConfirms(products.stocked, await products.available(), quotes)
    confirms = [quote.confirm for quote in quotes if quote.confirm is not None]
    refused = sum(
        quote.end is not None and quote.confirm is not None and overtaken(quote.confirm, quote.end) for quote in quotes
    )
    at_ms = {
        outcome: [
            quote.offset_s * 1000 for quote in quotes if quote.confirm is not None and quote.confirm.outcome == outcome
        ]
        for outcome in ("200", "410 hold_expired")
    }
    summary = (
        f"{len(confirms)} confirms within ±{AROUND_S * 1000:.0f} ms: {len(at_ms['200'])} times 200, sent until"
        f" {max(at_ms['200'], default=0):+.0f} ms, {len(at_ms['410 hold_expired'])} times 410, sent from"
        f" {min(at_ms['410 hold_expired'], default=0):+.0f} ms, {refused} refusals overtaken,"
        f" {count_retries([*confirms, *(quote.preview for quote in quotes)])} attempts repeated"
    )
    return checked(NAME, PROMISE, summary, check(observed))


async def _confirm_around(device: Device, preview: DeviceCall, gateway: int, offset_s: float) -> TimedConfirm:
    order = preview.last.order
    if order is None or order.expires_at is None:
        return TimedConfirm(preview)
    await asyncio.sleep(max(0.0, (order.expires_at - now()).total_seconds() + offset_s))
    confirm = await device.confirm(gateway, order.order_id)
    return TimedConfirm(preview, offset_s, confirm, await device.end(1 - gateway, order.order_id))
