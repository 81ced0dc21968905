"""Store the calls to peers that failed, were repeated or were slow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from autogrocery.gateway.store.ops import peer_calls
from autogrocery.gateway.store.ops.peer_calls import StoredCall

if TYPE_CHECKING:
    from autogrocery.gateway.peers.call_log import Call, CallLog
    from autogrocery.kit.pg.db import Db

BATCH: Final = 500


async def store_peer_calls(db: Db, calls: CallLog) -> bool:
    """Store up to BATCH pending calls; True if there may be more. Raises Unavailable: they stay pending."""
    pending = calls.pending(BATCH)
    if pending:
        await peer_calls.add(db, [stored_call(call) for call in pending])
        calls.stored(len(pending))
    return len(pending) == BATCH


def stored_call(call: Call) -> StoredCall:
    """Return the row of a call."""
    peer, _, method = call.point.partition(".")
    return StoredCall(
        UUID(call.order_id),
        peer,
        method,
        datetime.fromtimestamp(call.at_s, UTC),
        round(call.seconds * 1_000, 3),
        call.outcome,
        call.attempt,
    )
