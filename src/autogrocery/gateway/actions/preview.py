"""Preview: price a basket and lock its stock softly. The order's id comes first, so that a retry names the same order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.actions.expire import release_idle
from autogrocery.gateway.core.order import Cause, Status
from autogrocery.gateway.core.quote import fingerprint, lines_of, merge, order_id_of
from autogrocery.gateway.peers.inventory import Refusal
from autogrocery.gateway.store import hints, orders
from autogrocery.gateway.store.moves import Change
from autogrocery.kit.errors import Conflict, Flaw, InDoubt, Invalid, Unavailable
from autogrocery.kit.process.clock import uuid7
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable
    from uuid import UUID

    from autogrocery.gateway.core.order import Order
    from autogrocery.gateway.core.quote import Quote, Want
    from autogrocery.gateway.peers.inventory import Hold, Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.gateway.peers.pricing import Pricing
    from autogrocery.kit.pg.db import Db

GRACE_S = 30  # for which inventory holds longer than the quote lasts, so that a last-second confirm finds its stock


class Basket(Struct, frozen=True):
    """What a device asks for, under the key by which it will ask again."""

    user_id: int
    wants: tuple[Want, ...]
    allow_partial: bool
    key: str | None


def basket(user_id: int, items: Iterable[Want], *, allow_partial: bool, key: str | None) -> Basket:
    """Merge and sort a request's lines; raises Invalid(invalid_request)."""
    return Basket(user_id, merge(items), allow_partial, key)


async def preview(
    db: Db, inventory: Inventory, pricing: Pricing, metrics: Metrics, asked: Basket, *, ttl_s: int
) -> tuple[Order, bool]:
    """Return a new PREVIEWED order, or the one that the key has named before and True.

    Raises Invalid(unknown_sku, idempotency_mismatch), Conflict(insufficient_stock, key_used) and Unavailable; a hold whose
    order was not written is not released by a call, which would leave a tombstone: it lapses.
    """
    order_id = order_id_of(asked.user_id, asked.key) if asked.key else uuid7()
    sha256 = fingerprint(asked.wants, allow_partial=asked.allow_partial)
    try:
        quote, hold = await _ask(db, inventory, pricing, metrics, asked, order_id, hold_s=ttl_s + GRACE_S)
        _require_hold(quote, hold)
    except (Invalid, Conflict, Unavailable):
        if asked.key and (known := await _replay(db, asked, order_id, sha256)):
            return known, True
        raise
    lines = lines_of(asked.wants, quote, hold.granted)
    number, until_s = metrics.take(), hints.now_s() + ttl_s
    made = await orders.add(
        db, order_id, asked.user_id, quote.currency, lines, sha256=sha256, ttl_s=ttl_s, number=number
    )
    if made is None:
        known = await _replay(db, asked, order_id, sha256)
        if known is None:
            raise Unavailable("order_busy", "the order is being written")
        return known, True
    change = Change(
        order_id,
        1,
        Status.PREVIEWED,
        made.created_at,
        None,
        made.total_cents,
        sum(line.quantity for line in lines),
        len(lines),
        number,
    )
    hints.keep(db, made, until_s)
    await metrics.tell([change])
    log.debug("order_previewed", order_id=str(order_id), lines=len(lines), total_cents=made.total_cents)
    return made, False


async def _ask(
    db: Db,
    inventory: Inventory,
    pricing: Pricing,
    metrics: Metrics,
    asked: Basket,
    order_id: UUID,
    *,
    hold_s: int,
) -> tuple[Quote, Hold]:
    """Ask both peers together; on a shortage let go of the device's own older quotes for those SKUs, once, and ask again."""
    try:
        quote, hold = await _both(
            pricing.quote(order_id, asked.wants),
            inventory.reserve(order_id, asked.wants, hold_s=hold_s, allow_partial=asked.allow_partial),
        )
        if hold.refusal is not Refusal.SHORTAGE or quote.unknown_skus:
            return quote, hold
        older = await orders.list_holding(db, asked.user_id, order_id, [short.sku for short in hold.shortages])
        for one in older:  # if one is in doubt, so is the shortage
            await release_idle(db, inventory, metrics, one, Status.CANCELLED, Cause.SUPERSEDED)
        if older:
            hold = await inventory.reserve(order_id, asked.wants, hold_s=hold_s, allow_partial=asked.allow_partial)
    except InDoubt as doubt:
        raise Unavailable(f"{doubt.peer}_unavailable", f"{doubt.peer} gave no clear answer: ask again") from doubt
    return quote, hold


async def _both(quoting: Awaitable[Quote], reserving: Awaitable[Hold]) -> tuple[Quote, Hold]:
    """Wait for both, whatever becomes of either; then raise the first trouble, if any."""
    asked = asyncio.ensure_future(quoting)
    try:
        hold = await reserving
    except BaseException:
        await asyncio.wait([asked])
        asked.result()
        raise
    return await asked, hold


def _require_hold(quote: Quote, hold: Hold) -> None:
    """Turn what the peers refuse into what the device is told; an unknown SKU comes before any shortage."""
    unknown = quote.unknown_skus
    if unknown or hold.refusal is Refusal.UNKNOWN_SKU:
        flaws = tuple(Flaw(pointer="/items", sku=sku, detail="there is no such product") for sku in unknown)
        raise Invalid("unknown_sku", "a product of this basket does not exist", errors=flaws)
    match hold.refusal:
        case Refusal.SHORTAGE:
            flaws = tuple(
                Flaw(sku=short.sku, requested=short.requested, available=short.available) for short in hold.shortages
            )
            raise Conflict("insufficient_stock", "there is not enough on the shelf", errors=flaws)
        case Refusal.ITEMS_DIFFER:
            raise Invalid("idempotency_mismatch", "this Idempotency-Key came with another basket before")
        case Refusal.RELEASED:
            raise Conflict("key_used", "this Idempotency-Key belongs to an order that was let go: take a new key")


async def _replay(db: Db, asked: Basket, order_id: UUID, sha256: bytes) -> Order | None:
    """Return the order that the key has named before, None if it never came to be; raises Invalid(idempotency_mismatch)."""
    known = await orders.get_of_device(db, order_id, asked.user_id)
    if known and known.request_sha256 != sha256:
        raise Invalid("idempotency_mismatch", "this Idempotency-Key came with another basket before")
    return known


def may_hoard(db: Db, order: Order) -> bool:
    """Say whether a device that has this new quote may have others that are idle, so that its quota must be looked up."""
    return hints.may_hoard(db, order.user_id, order.order_id)


async def keep_quota(db: Db, inventory: Inventory, metrics: Metrics, user_id: int, *, max_live: int) -> None:
    """Release the device's idle previews beyond its newest `max_live`, so that nobody hoards the shelf. Best effort."""
    for order_id in await orders.list_idle_beyond(db, user_id, max_live):
        try:
            await release_idle(db, inventory, metrics, order_id, Status.CANCELLED, Cause.SUPERSEDED)
        except InDoubt:
            continue  # the sweeper goes on
