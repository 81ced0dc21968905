"""View the peers: whether each answers, since when, and what went wrong last."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from autogrocery.contracts.ops.overview import PeerOut

if TYPE_CHECKING:
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.pricing import Pricing
    from autogrocery.kit.rpc.client import Peer


def view_peers(inventory: Inventory, pricing: Pricing) -> list[PeerOut]:
    """Return each peer as this gateway sees it; no call is made."""
    return [_view(inventory.peer), _view(pricing.peer)]


def _view(peer: Peer) -> PeerOut:
    return PeerOut(
        peer.name,
        ("up" if peer.last_ok else "failing") if peer.available else "down",
        "closed" if peer.available else "open",
        datetime.fromtimestamp(peer.changed_at, UTC),
        peer.last_error,
        datetime.fromtimestamp(peer.last_error_at, UTC) if peer.last_error is not None else None,
        peer.rejected_replies,
    )
