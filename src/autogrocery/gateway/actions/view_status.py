"""View status: what this gateway is doing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autogrocery.gateway.actions.check_ready import peer_states
from autogrocery.gateway.store import due, due_restocks

if TYPE_CHECKING:
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.gateway.peers.pricing import Pricing
    from autogrocery.kit.pg.db import Db


async def view_status(
    db: Db, inventory: Inventory, pricing: Pricing, metrics: Metrics, store_id: str
) -> dict[str, Any]:
    """Return the counts of orders and restocks by what they wait for, the peers' states, and the metrics' figures."""
    return {
        "store_id": store_id,
        "orders": await due.count(db),
        "restocks": await due_restocks.count(db),
        "peers": peer_states(inventory, pricing),
        "metrics": metrics.counters(),
    }
