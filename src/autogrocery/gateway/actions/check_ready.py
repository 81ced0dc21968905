"""Check readiness: whether this gateway can take orders."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from autogrocery.gateway.store import health
from autogrocery.kit.errors import Unavailable

if TYPE_CHECKING:
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.pricing import Pricing
    from autogrocery.kit.pg.db import Db

DATABASE_DEADLINE_S: Final = 2.0


async def check_ready(db: Db, inventory: Inventory, pricing: Pricing, *, stopping: bool) -> dict[str, str]:
    """Return the status `ok` and the state of each peer.

    Raises Unavailable(not_ready) if the database does not answer, or if the gateway is `stopping` and still answers
    only so that load balancers notice.

    A peer that is away does not make the gateway unready: it costs single calls a 202 or 503.
    """
    if stopping:
        raise Unavailable("not_ready", "this gateway is stopping")
    try:
        async with asyncio.timeout(DATABASE_DEADLINE_S):
            await health.ping(db)
    except (Unavailable, TimeoutError):
        raise Unavailable("not_ready", "the database does not answer") from None
    return {"status": "ok", **peer_states(inventory, pricing)}


def peer_states(inventory: Inventory, pricing: Pricing) -> dict[str, str]:
    """Return by the name of each peer whether it answers, `ok` or `away`."""
    return {peer.name: "ok" if peer.available else "away" for peer in (inventory.peer, pricing.peer)}
