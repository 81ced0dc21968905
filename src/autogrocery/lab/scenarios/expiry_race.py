"""Confirms in the last and the first milliseconds around the end of a quote."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.kit.process.clock import now, uuid7
from autogrocery.lab.scenarios.floor import Result, judged
from autogrocery.lab.scenarios.laws import overtaken, repeats, unended, unexplained, untrue, wrong_shelf
from autogrocery.lab.scenarios.shelf import fill_shelf

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autogrocery.lab.scenarios.doors import Device, End, Said
    from autogrocery.lab.scenarios.stage import Stage

NAME: Final = "confirm-vs-expiry"
PROMISE: Final = "A confirm around the end of its quote is right: told 200 it never expires, told 410 it has expired."
ORDERS: Final = 200
AROUND_S: Final = 0.050
EXPECTED: Final = frozenset({"200", "410 hold_expired", "409 no_robots"})


class LastSecond(Struct, frozen=True):
    """One quote, and the confirm sent `offset_s` from its end."""

    preview: Said
    offset_s: float = 0.0
    confirm: Said | None = None
    end: End | None = None


class Window(Struct, frozen=True):
    """What was seen of all of them."""

    stocked: Mapping[str, int]
    available: Mapping[str, int]
    quotes: list[LastSecond]


def judge(seen: Window) -> list[str]:
    """Return every broken promise."""
    found = unexplained([quote.preview for quote in seen.quotes], {"201"})
    ends = []
    for quote in seen.quotes:
        if quote.confirm is None or quote.end is None:
            continue
        ends.append(quote.end)
        found += unexplained([quote.confirm], EXPECTED)
        found += untrue(quote.confirm, quote.end)
        order = quote.end.order
        if quote.end.status == "EXPIRED" and order is not None and order.finished_at and order.expires_at:
            early = order.finished_at < order.expires_at
            found += [f"order {order.order_id}: expired before its time"] if early else []
    return found + unended(ends) + wrong_shelf(seen.stocked, seen.available, ends)


async def play(stage: Stage) -> Result:
    """Quote for everybody first, then confirm each around its own `expires_at`, spread evenly over the window."""
    orders = stage.of(ORDERS)
    shelf = await fill_shelf(stage.floor, NAME, orders, ("dairy",))
    basket = dict.fromkeys(shelf.skus, 1)
    offsets = [AROUND_S * (2 * number / (orders - 1) - 1) for number in range(orders)]
    stage.rng.shuffle(offsets)
    room = asyncio.Semaphore(max(2, orders // 4))

    async def last_second(number: int) -> LastSecond:
        async with room:
            preview = await stage.devices[number].preview(number % 2, basket, uuid7().hex)
        return await _confirm_around(stage.devices[number], preview, number // 2 % 2, offsets[number])

    quotes = list(await asyncio.gather(*map(last_second, range(orders))))
    seen = Window(shelf.stocked, await shelf.available(), quotes)
    confirms = [quote.confirm for quote in quotes if quote.confirm is not None]
    refused = sum(
        quote.end is not None and quote.confirm is not None and overtaken(quote.confirm, quote.end) for quote in quotes
    )
    at_ms = {
        word: [quote.offset_s * 1000 for quote in quotes if quote.confirm is not None and quote.confirm.word == word]
        for word in ("200", "410 hold_expired")
    }
    told = (
        f"{len(confirms)} confirms within ±{AROUND_S * 1000:.0f} ms: {len(at_ms['200'])} times 200, sent until"
        f" {max(at_ms['200'], default=0):+.0f} ms, {len(at_ms['410 hold_expired'])} times 410, sent from"
        f" {min(at_ms['410 hold_expired'], default=0):+.0f} ms, {refused} refusals overtaken,"
        f" {repeats([*confirms, *(quote.preview for quote in quotes)])} answers asked again"
    )
    return judged(NAME, PROMISE, told, judge(seen))


async def _confirm_around(device: Device, preview: Said, gateway: int, offset_s: float) -> LastSecond:
    order = preview.last.order
    if order is None or order.expires_at is None:
        return LastSecond(preview)
    await asyncio.sleep(max(0.0, (order.expires_at - now()).total_seconds() + offset_s))
    confirm = await device.confirm(gateway, order.order_id)
    return LastSecond(preview, offset_s, confirm, await device.end(1 - gateway, order.order_id))
