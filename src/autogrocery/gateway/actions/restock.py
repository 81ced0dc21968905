"""Restock: a truck announces a delivery. The row is written before the call, so that the delivery survives a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.gateway.actions.submit_restock import submit_restock
from autogrocery.gateway.core.restock import (
    Restock,
    RestockIntent,
    fingerprint,
    is_answered,
    not_found,
    require_manifest,
    require_supplier,
    restock_id_of,
)
from autogrocery.gateway.core.switch import ALL_OFF
from autogrocery.gateway.store import devices, restocks
from autogrocery.kit.errors import InDoubt, Invalid, Unavailable
from autogrocery.kit.process.clock import now

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.gateway.core.restock import Manifest
    from autogrocery.gateway.core.switch import Switches
    from autogrocery.gateway.peers.inventory import Inventory
    from autogrocery.gateway.peers.metrics import Metrics
    from autogrocery.gateway.peers.pricing import Pricing
    from autogrocery.kit.pg.db import Db


class RestockResult(Struct, frozen=True):
    """`replayed`: the restock had been announced before."""

    restock: Restock
    replayed: bool


async def restock(
    db: Db,
    inventory: Inventory,
    pricing: Pricing,
    metrics: Metrics,
    user_id: int,
    manifest: Manifest,
    key: str | None,
    *,
    switches: Switches = ALL_OFF,
) -> RestockResult:
    """Announce the truck's delivery and submit it to inventory and pricing.

    The supplier's manifest_no identifies it, else the truck's `key`. By `is_answered` it may still be in doubt: then
    the intent is committed, and the sweeper makes the call again. Raises Denied(foreign_supplier), Invalid (see
    `require_manifest`; manifest_mismatch, idempotency_mismatch), Conflict(restock_refused) and Unavailable.
    """
    account = await devices.get_by_id(db, user_id)
    require_supplier(account.supplier_id if account else None, manifest)
    order_id, sha256 = restock_id_of(user_id, manifest, key), fingerprint(manifest)
    known = await _find_announced(db, user_id, order_id, manifest, key, sha256)
    if known is None:
        require_manifest(manifest, now().date())
        switches.require_restocks()
        known = await _announce(db, metrics, user_id, order_id, manifest, key, sha256)
    found = known
    if found is None or found.intent is RestockIntent.RESTOCK:
        found = await _submit(db, inventory, pricing, metrics, order_id)
    is_answered(found)  # raises for a refused restock, also when it is announced again
    return RestockResult(found, replayed=known is not None)


async def _announce(
    db: Db, metrics: Metrics, user_id: int, order_id: UUID, manifest: Manifest, key: str | None, sha256: bytes
) -> Restock | None:
    """Write the row and return None; if another request wrote it at the same moment, return that."""
    made = await restocks.add(db, order_id, user_id, manifest, key=key, sha256=sha256, number=metrics.reserve_numbers())
    if made:
        await metrics.publish([made])
        return None
    known = await _find_announced(db, user_id, order_id, manifest, key, sha256)
    if known is None:
        raise Unavailable("order_busy", "the restock is being written")
    return known


async def _submit(db: Db, inventory: Inventory, pricing: Pricing, metrics: Metrics, order_id: UUID) -> Restock:
    """Make the calls that the restock owes; in doubt, return the row as it is."""
    try:
        found = await submit_restock(db, inventory, pricing, metrics, order_id)
    except InDoubt:
        found = await restocks.get(db, order_id)
    if found is None:  # a failover has lost the row that was just written
        raise not_found()
    return found


async def _find_announced(
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
