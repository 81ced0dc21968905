"""The audit of a whole network: invariants of the gateway, of inventory, and of both databases together."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from autogrocery.gateway.actions.audit import audit as audit_gateway
from autogrocery.gateway.store import summaries as ours_of
from autogrocery.inventory.actions.audit import audit as audit_inventory
from autogrocery.inventory.store import summaries as theirs_of
from autogrocery.kit.pg.audit import EXAMPLES, InvariantResult
from autogrocery.kit.pg.db import open_db

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from autogrocery.gateway.store.summaries import OrderSummary as Ours
    from autogrocery.gateway.store.summaries import RestockSummary as OurRestock
    from autogrocery.inventory.store.summaries import OrderSummary as Theirs
    from autogrocery.inventory.store.summaries import RestockSummary as TheirRestock

    Rules = dict[str, tuple[str, Callable[[Any, Any], bool]]]

STATEMENT_TIMEOUT_MS: Final = 60_000
DISPATCHED: Final = frozenset({"ASSIGNED", "COMPLETED", "FAILED"})


def _no_orphan_dispatch(ours: Ours | None, theirs: Theirs | None) -> bool:
    return ours is not None or theirs is None or theirs.state not in DISPATCHED


def _dispatch_exists(ours: Ours | None, theirs: Theirs | None) -> bool:
    if ours is None or ours.status not in {"PROCESSING", "COMPLETED"}:
        return True
    return theirs is not None and theirs.state in ({"COMPLETED"} if ours.status == "COMPLETED" else DISPATCHED)


def _ended_has_no_stock(ours: Ours | None, theirs: Theirs | None) -> bool:
    if ours is None or theirs is None or ours.status not in {"CANCELLED", "EXPIRED"}:
        return True
    return theirs.state in {"RELEASED", "LAPSED"}


def _failed_has_no_stock(ours: Ours | None, theirs: Theirs | None) -> bool:
    if ours is None or theirs is None or ours.status != "FAILED":
        return True
    return theirs.state in {"RELEASED", "LAPSED", "FAILED"} and theirs.picked_units == 0


def _picked_units_agree(ours: Ours | None, theirs: Theirs | None) -> bool:
    if ours is None or theirs is None or ours.status != "COMPLETED":
        return True
    return ours.picked_units == theirs.picked_units


def _accepted_is_known(ours: OurRestock | None, theirs: TheirRestock | None) -> bool:
    if ours is None or ours.status == "ANNOUNCED":
        return True
    return theirs is not None if ours.accepted else theirs is None or theirs.state == "REJECTED"


def _ended_agrees(ours: OurRestock | None, theirs: TheirRestock | None) -> bool:
    if ours is None or not ours.accepted or ours.status == "RECEIVING":
        return True
    return theirs is not None and (ours.status, ours.received, ours.damaged) == (
        theirs.state,
        theirs.received,
        theirs.damaged,
    )


RESTOCK_RULES: Final[Rules] = {
    "accepted_deliveries_are_there": (
        "inventory has each delivery that it accepted, and no delivery that it refused",
        _accepted_is_known,
    ),
    "deliveries_end_alike": (
        "a delivery that has ended has the same status and the same counts at inventory",
        _ended_agrees,
    ),
}
RULES: Final[Rules] = {
    "orphan_dispatch": ("inventory has dispatched no order that the gateway does not know", _no_orphan_dispatch),
    "dispatch_exists": (
        "PROCESSING and COMPLETED orders are dispatched at inventory, COMPLETED orders are completed there",
        _dispatch_exists,
    ),
    "ended_orders_let_go": ("CANCELLED and EXPIRED orders have no hold and no dispatch", _ended_has_no_stock),
    "failed_orders_have_nothing": (
        "FAILED orders have no active dispatch, and nothing of them was picked",
        _failed_has_no_stock,
    ),
    "picked_is_what_was_charged": ("a COMPLETED order has as many picked units as inventory has", _picked_units_agree),
}


async def audit_all(gateway_dsn: str, inventory_dsn: str) -> list[tuple[str, InvariantResult]]:
    """Return every invariant with its part: gateway, inventory (if its tables exist) and both. Raises Unavailable."""
    async with AsyncExitStack() as stack:
        ours, theirs = [
            await stack.enter_async_context(
                open_db(dsn, application="audit", max_size=2, statement_timeout_ms=STATEMENT_TIMEOUT_MS)
            )
            for dsn in (gateway_dsn, inventory_dsn)
        ]
        found = [("gateway", one) for one in (await audit_gateway(ours)).invariants]
        if await theirs.row("-- audit.has_inventory\nSELECT 1 WHERE to_regclass('inventory.orders') IS NOT NULL"):
            found += [("inventory", one) for one in await audit_inventory(theirs)]
            orders = await _compare(
                RULES, partial(ours_of.list_order_summaries, ours), partial(theirs_of.list_order_summaries, theirs)
            )
            restocks = await _compare(
                RESTOCK_RULES,
                partial(ours_of.list_restock_summaries, ours),
                partial(theirs_of.list_restock_summaries, theirs),
            )
            found += [("both", one) for one in (*orders, *restocks)]
    return found


async def _compare(
    rules: Rules,
    list_ours: Callable[..., Awaitable[dict[UUID, Any]]],
    list_theirs: Callable[[], Awaitable[dict[UUID, Any]]],
) -> list[InvariantResult]:
    """Compare order by order; read those that differ again, because orders change while the two databases are read."""
    first, theirs = await list_ours(), await list_theirs()
    suspects: dict[str, set[UUID]] = {name: set() for name in rules}
    for order_id in first.keys() | theirs.keys():
        for name, (_, rule) in rules.items():
            if not rule(first.get(order_id), theirs.get(order_id)):
                suspects[name].add(order_id)
    again = await list_ours(sorted(set().union(*suspects.values()), key=str)) if any(suspects.values()) else {}
    return [
        _invariant(name, sentence, [one for one in suspects[name] if _is_stable(one, first, again)])
        for name, (sentence, _) in rules.items()
    ]


def _is_stable(order_id: UUID, first: dict[UUID, Any], again: dict[UUID, Any]) -> bool:
    """Return whether an order did not change between the two reads and owes no call."""
    now = again.get(order_id)
    return now == first.get(order_id) and not (now and now.owed)


def _invariant(name: str, sentence: str, broken: list[UUID]) -> InvariantResult:
    return InvariantResult(name, sentence, len(broken), tuple(str(one) for one in broken[:EXAMPLES]))
