"""View the figures of the status page: those of the overview, or what is known without the database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from autogrocery.contracts.ops.status import Figures
from autogrocery.gateway.actions.ops.view_peers import view_peers
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.process.clock import now

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from autogrocery.contracts.ops.overview import Overview
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.pricing import Pricing

DEADLINE_S: Final = 2.0


async def view_figures(
    overview: Callable[[], Awaitable[Overview]], inventory: Inventory, pricing: Pricing, *, store_id: str
) -> Figures:
    """Return the figures within DEADLINE_S seconds, whatever the database does."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            found = await overview()
    except (Unavailable, TimeoutError):
        return Figures(now(), store_id, "away", view_peers(inventory, pricing))
    return Figures(
        found.at,
        found.store_id,
        "up",
        found.peers,
        orders_per_second=found.orders_per_second,
        in_flight=found.in_flight,
        today=found.today,
        stages=found.stages,
        minutes=found.minutes,
        tiles=found.tiles,
        outboxes=found.outboxes,
        attention=found.attention,
        switches=[one.name for one in found.switches],
    )
