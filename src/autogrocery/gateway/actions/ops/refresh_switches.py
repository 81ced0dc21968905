"""Refresh this process's view of the switches, and of the products of drained aisles."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from autogrocery.gateway.core.switch import DRAIN, SwitchBoard, Switches
from autogrocery.gateway.store.ops import switches
from autogrocery.kit.errors import InDoubt
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from autogrocery.gateway.peers.pricing import Pricing
    from autogrocery.kit.pg.db import Db

SKUS_AGAIN_S = 30.0  # a product that pricing adds to a drained aisle is refused from then on
PAGE = 200  # products of one call
MAX_PAGES = 2_000


async def refresh_switches(db: Db, pricing: Pricing, board: SwitchBoard) -> None:
    """Read the switches; while an aisle is drained, also read its products from pricing, at most every 30 s.

    A switch counts at once; until the products of its aisle are known, every new quote is refused. Raises Unavailable,
    and InDoubt if pricing does not answer: the board then keeps what it had.
    """
    names = frozenset(one.name for one in await switches.list_set(db) if one.on)
    was = board.current
    if names != was.names:
        log.info("switches_changed", on=sorted(names))
    aisles = frozenset(name.removeprefix(DRAIN) for name in names if name.startswith(DRAIN))
    if not aisles:
        board.current = Switches(names)
        return
    known = was.drained_skus if aisles == was.drained_aisles else None
    board.current = Switches(names, known)
    now_s = asyncio.get_running_loop().time()
    if known is None or now_s - board.skus_read_at_s > SKUS_AGAIN_S:
        try:
            skus = await _skus_of(pricing, aisles)
        except InDoubt:
            log.warning("drained_aisle_unread", aisles=sorted(aisles))
            return
        if board.current.names == names:
            board.current, board.skus_read_at_s = Switches(names, skus), now_s


async def _skus_of(pricing: Pricing, aisles: frozenset[str]) -> frozenset[str]:
    found: set[str] = set()
    cursor = ""
    for _ in range(MAX_PAGES):
        page = await pricing.list_products("", cursor, PAGE)
        found.update(one.sku for one in page.products if one.aisle_type in aisles)
        cursor = page.next_cursor
        if not cursor:
            break
    return frozenset(found)
