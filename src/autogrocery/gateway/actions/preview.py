"""Preview: price a basket and hold its stock. The order's id comes first, so that a retry names the same order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.actions.expire import release_idle
from autogrocery.gateway.core.order import Cause, Order, Status
from autogrocery.gateway.core.quote import LineError, RequestedItem, fingerprint, lines_of, merge, order_id_of
from autogrocery.gateway.core.status_change import StatusChange
from autogrocery.gateway.core.switch import ALL_OFF
from autogrocery.gateway.peers.inventory import Refusal
from autogrocery.gateway.store import orders
from autogrocery.kit.errors import Conflict, InDoubt, Invalid, Unavailable
from autogrocery.kit.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable
    from uuid import UUID

    from autogrocery.gateway.core.quote import Quote
    from autogrocery.gateway.core.switch import Switches
    from autogrocery.gateway.peers.inventory import Hold, Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.gateway.peers.pricing import Pricing
    from autogrocery.gateway.store.order_store import OrderStore

GRACE_S = 30  # by which inventory's hold outlasts the quote, so that a confirm in the last second finds its stock


class PreviewRequest(Struct, frozen=True):
    """A basket, merged and sorted by SKU, and the Idempotency-Key under which the device repeats the request."""

    user_id: int
    items: tuple[RequestedItem, ...]
    allow_partial: bool
    key: str | None


class PreviewResult(Struct, frozen=True):
    """`replayed`: the key had named this order before, and nothing was written."""

    order: Order
    replayed: bool


class PeerAnswers(Struct, frozen=True):
    """Pricing's and inventory's answers to one request."""

    quote: Quote
    hold: Hold


def preview_request(
    user_id: int, items: Iterable[RequestedItem], *, allow_partial: bool, key: str | None
) -> PreviewRequest:
    """Merge and sort a request's items; raises Invalid(invalid_request)."""
    return PreviewRequest(user_id, merge(items), allow_partial, key)


async def preview(
    store: OrderStore,
    inventory: Inventory,
    pricing: Pricing,
    metrics: Metrics,
    request: PreviewRequest,
    *,
    ttl_s: int,
    switches: Switches = ALL_OFF,
) -> PreviewResult:
    """Return a new PREVIEWED order, or the one that the key has named before, also if a switch refuses a new one.

    Raises Invalid(unknown_sku, idempotency_mismatch), Conflict(insufficient_stock, key_used, aisle_drained) and
    Unavailable. A hold
    whose order was not written expires by itself: a release would leave a tombstone, and the retry would be refused.
    """
    order_id = order_id_of(request.user_id, request.key) if request.key else uuid7()
    sha256 = fingerprint(request.items, allow_partial=request.allow_partial)
    try:
        switches.require_previews(item.sku for item in request.items)
        answers = await _ask_peers(store, inventory, pricing, metrics, request, order_id, hold_s=ttl_s + GRACE_S)
        quote, hold = answers.quote, answers.hold
        _require_hold(quote, hold)
    except (Invalid, Conflict, Unavailable):
        if request.key and (known := await _find_replayed(store, request, order_id, sha256)):
            return PreviewResult(known, replayed=True)
        raise
    lines = lines_of(request.items, quote, hold.granted)
    number = metrics.reserve_numbers()
    made = await orders.add(
        store, order_id, request.user_id, quote.currency, lines, sha256=sha256, ttl_s=ttl_s, number=number
    )
    if made is None:
        known = await _find_replayed(store, request, order_id, sha256)
        if known is None:
            raise Unavailable("order_busy", "the order is being written")
        return PreviewResult(known, replayed=True)
    change = StatusChange(
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
    await metrics.publish([change])
    return PreviewResult(made, replayed=False)


async def _ask_peers(
    store: OrderStore,
    inventory: Inventory,
    pricing: Pricing,
    metrics: Metrics,
    request: PreviewRequest,
    order_id: UUID,
    *,
    hold_s: int,
) -> PeerAnswers:
    """Ask pricing and inventory concurrently.

    On a shortage, release the device's own older previews of those SKUs, once, and ask inventory again.
    """
    items, allow_partial = request.items, request.allow_partial
    try:
        answers = await _both(
            pricing.quote(order_id, items),
            inventory.reserve(order_id, items, hold_s=hold_s, allow_partial=allow_partial),
        )
        if answers.hold.refusal is not Refusal.SHORTAGE or answers.quote.unknown_skus:
            return answers
        short_skus = [short.sku for short in answers.hold.shortages]
        older = await orders.list_holding(store.db, request.user_id, order_id, short_skus)
        for one in older:  # if one release is in doubt, so is the shortage
            await release_idle(store, inventory, metrics, one, Status.CANCELLED, Cause.SUPERSEDED)
        if older:
            again = await inventory.reserve(order_id, items, hold_s=hold_s, allow_partial=allow_partial)
            return PeerAnswers(answers.quote, again)
    except InDoubt as doubt:
        raise Unavailable(f"{doubt.peer}_unavailable", f"{doubt.peer} gave no clear answer: ask again") from doubt
    return answers


async def _both(quoting: Awaitable[Quote], reserving: Awaitable[Hold]) -> PeerAnswers:
    """Wait until both have ended, even if one fails; then return their results or raise the first error."""
    asked = asyncio.ensure_future(quoting)
    try:
        hold = await reserving
    except BaseException:
        await asyncio.wait([asked])
        asked.result()
        raise
    return PeerAnswers(await asked, hold)


def _require_hold(quote: Quote, hold: Hold) -> None:
    """Raise the error that the device gets for a peer's refusal; an unknown SKU comes before any shortage."""
    unknown = quote.unknown_skus
    if unknown or hold.refusal is Refusal.UNKNOWN_SKU:
        flaws = tuple(LineError(pointer="/items", sku=sku, detail="there is no such product") for sku in unknown)
        raise Invalid("unknown_sku", "a product of this basket does not exist", errors=flaws)
    match hold.refusal:
        case Refusal.SHORTAGE:
            flaws = tuple(
                LineError(sku=short.sku, requested=short.requested, available=short.available)
                for short in hold.shortages
            )
            raise Conflict("insufficient_stock", "there is not enough on the shelf", errors=flaws)
        case Refusal.ITEMS_DIFFER:
            raise Invalid("idempotency_mismatch", "this Idempotency-Key came with another basket before")
        case Refusal.RELEASED:
            raise Conflict("key_used", "this Idempotency-Key belongs to an order that was let go: take a new key")


async def _find_replayed(store: OrderStore, request: PreviewRequest, order_id: UUID, sha256: bytes) -> Order | None:
    """Return the order that the key has named before, None if there is none; raises Invalid(idempotency_mismatch)."""
    known = await orders.get_of_device(store.db, order_id, request.user_id)
    if known and known.request_sha256 != sha256:
        raise Invalid("idempotency_mismatch", "this Idempotency-Key came with another basket before")
    return known


async def enforce_preview_quota(
    store: OrderStore, inventory: Inventory, metrics: Metrics, user_id: int, *, max_live: int
) -> None:
    """Release the device's idle previews beyond its newest `max_live`, so that no device holds stock without buying.

    A release in doubt is left to the sweeper. Raises Unavailable.
    """
    for order_id in await orders.list_idle_beyond(store.db, user_id, max_live):
        try:
            await release_idle(store, inventory, metrics, order_id, Status.CANCELLED, Cause.SUPERSEDED)
        except InDoubt:
            continue
