"""Restock: a truck brings goods. The row comes first, so that whatever dies, somebody knows of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.actions.take_in import take_in
from autogrocery.gateway.core.restock import (
    Owed,
    fingerprint,
    is_settled,
    not_found,
    require_manifest,
    require_supplier,
    restock_id_of,
)
from autogrocery.gateway.store import devices, restocks
from autogrocery.kit.errors import InDoubt, Invalid, Unavailable
from autogrocery.kit.process.clock import now

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.core.restock import Manifest, Restock
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.gateway.peers.pricing import Pricing
    from autogrocery.kit.pg.db import Db


async def restock(
    db: Db, inventory: Inventory, pricing: Pricing, metrics: Metrics, user_id: int, manifest: Manifest, key: str | None
) -> tuple[Restock, bool]:
    """Announce the truck's delivery and hand it over; returns it, and whether it was announced before.

    The supplier's manifest_no names it, else the truck's `key`. It is settled or, by `is_settled`, still in doubt: then the
    promise is committed, and the sweeper keeps it. Raises Denied(foreign_supplier), Invalid (see `require_manifest`;
    manifest_mismatch, idempotency_mismatch), Conflict(restock_refused) and Unavailable.
    """
    account = await devices.get_by_id(db, user_id)
    require_supplier(account.supplier_id if account else None, manifest)
    order_id, sha256 = restock_id_of(user_id, manifest, key), fingerprint(manifest)
    known = await _known(db, user_id, order_id, manifest, key, sha256)
    if known is None:
        require_manifest(manifest, now().date())
        known = await _announce(db, metrics, user_id, order_id, manifest, key, sha256)
    found = known
    if found is None or found.intent is Owed.RESTOCK:
        found = await _hand_over(db, inventory, pricing, metrics, order_id)
    is_settled(found)  # refused is refused, whoever asks again
    return found, known is not None


async def _announce(
    db: Db, metrics: Metrics, user_id: int, order_id: UUID, manifest: Manifest, key: str | None, sha256: bytes
) -> Restock | None:
    """Write the row: None, or what somebody announced at the same moment."""
    made = await restocks.add(db, order_id, user_id, manifest, key=key, sha256=sha256, number=metrics.take())
    if made:
        await metrics.tell([made])
        return None
    known = await _known(db, user_id, order_id, manifest, key, sha256)
    if known is None:
        raise Unavailable("order_busy", "the restock is being written")
    return known


async def _hand_over(db: Db, inventory: Inventory, pricing: Pricing, metrics: Metrics, order_id: UUID) -> Restock:
    """Make the owed calls; in doubt, the row says what is known."""
    try:
        found = await take_in(db, inventory, pricing, metrics, order_id)
    except InDoubt:
        found = await restocks.get(db, order_id)
    if found is None:  # a failover has lost the row that was just written
        raise not_found()
    return found


async def _known(
    db: Db, user_id: int, order_id: UUID, manifest: Manifest, key: str | None, sha256: bytes
) -> Restock | None:
    """Return what was announced under this manifest or key before; raises Invalid if that was something else."""
    found = await restocks.get(db, order_id)
    if found is not None and found.request_sha256 != sha256:
        if manifest.manifest_no is not None:
            raise Invalid("manifest_mismatch", "this manifest_no came with other goods before")
        raise Invalid("idempotency_mismatch", "this Idempotency-Key came with other goods before")
    if found is None and key is not None and await restocks.get_of_key(db, user_id, key):
        raise Invalid("idempotency_mismatch", "this Idempotency-Key came with another manifest before")
    return found
