"""The audit of a whole network: the gateway's invariants, inventory's, and those that only both together can break."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from autogrocery.gateway.actions.audit import audit as audit_gateway
from autogrocery.gateway.store import standings as ours_of
from autogrocery.inventory.actions.audit import audit as audit_inventory
from autogrocery.inventory.store import standings as theirs_of
from autogrocery.kit.pg.audit import EXAMPLES, Invariant
from autogrocery.kit.pg.db import open_db

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from autogrocery.gateway.store.standings import RestockStanding as OurRestock
    from autogrocery.gateway.store.standings import Standing as Ours
    from autogrocery.inventory.store.standings import RestockStanding as TheirRestock
    from autogrocery.inventory.store.standings import Standing as Theirs

    Rules = dict[str, tuple[str, Callable[[Any, Any], bool]]]

STATEMENT_TIMEOUT_MS: Final = 60_000
DISPATCHED: Final = frozenset({"ASSIGNED", "COMPLETED", "FAILED"})


def _no_row_no_dispatch(ours: Ours | None, theirs: Theirs | None) -> bool:
    return ours is not None or theirs is None or theirs.state not in DISPATCHED


def _dispatch_exists(ours: Ours | None, theirs: Theirs | None) -> bool:
    if ours is None or ours.status not in {"PROCESSING", "COMPLETED"}:
        return True
    return theirs is not None and theirs.state in ({"COMPLETED"} if ours.status == "COMPLETED" else DISPATCHED)


def _ended_lets_go(ours: Ours | None, theirs: Theirs | None) -> bool:
    if ours is None or theirs is None or ours.status not in {"CANCELLED", "EXPIRED"}:
        return True
    return theirs.state in {"RELEASED", "LAPSED"}


def _failed_has_nothing(ours: Ours | None, theirs: Theirs | None) -> bool:
    if ours is None or theirs is None or ours.status != "FAILED":
        return True
    return theirs.state in {"RELEASED", "LAPSED", "FAILED"} and theirs.picked_units == 0


def _picked_is_told(ours: Ours | None, theirs: Theirs | None) -> bool:
    if ours is None or theirs is None or ours.status != "COMPLETED":
        return True
    return ours.picked_units == theirs.picked_units


def _accepted_is_there(ours: OurRestock | None, theirs: TheirRestock | None) -> bool:
    if ours is None or ours.status == "ANNOUNCED":
        return True
    return theirs is not None if ours.accepted else theirs is None or theirs.state == "REJECTED"


def _ended_alike(ours: OurRestock | None, theirs: TheirRestock | None) -> bool:
    if ours is None or not ours.accepted or ours.status == "RECEIVING":
        return True
    return theirs is not None and (ours.status, ours.received, ours.damaged) == (
        theirs.state,
        theirs.received,
        theirs.damaged,
    )


RESTOCK_RULES: Final[Rules] = {
    "accepted_deliveries_are_there": (
        "inventory has each delivery that it accepted, and none that it refused",
        _accepted_is_there,
    ),
    "deliveries_end_alike": ("a delivery that has ended has ended so at inventory, with the same counts", _ended_alike),
}
RULES: Final[Rules] = {
    "orphan_dispatch": ("robots have no order that the gateway does not know", _no_row_no_dispatch),
    "dispatch_exists": (
        "PROCESSING and COMPLETED orders were dispatched, and completed orders were completed",
        _dispatch_exists,
    ),
    "ended_orders_let_go": ("CANCELLED and EXPIRED orders have no hold and no dispatch", _ended_lets_go),
    "failed_orders_have_nothing": (
        "FAILED orders have no live dispatch, and nothing of them was picked",
        _failed_has_nothing,
    ),
    "picked_is_what_was_charged": ("a COMPLETED order counts the units that inventory counts", _picked_is_told),
}


async def audit_all(gateway_dsn: str, inventory_dsn: str) -> list[tuple[str, Invariant]]:
    """Return every invariant with its part: gateway, inventory (if its tables are there) and both. Raises Unavailable."""
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
                RULES, partial(ours_of.list_standings, ours), partial(theirs_of.list_standings, theirs)
            )
            restocks = await _compare(
                RESTOCK_RULES, partial(ours_of.list_restocks, ours), partial(theirs_of.list_restocks, theirs)
            )
            found += [("both", one) for one in (*orders, *restocks)]
    return found


async def _compare(
    rules: Rules,
    list_ours: Callable[..., Awaitable[dict[UUID, Any]]],
    list_theirs: Callable[[], Awaitable[dict[UUID, Any]]],
) -> list[Invariant]:
    """Compare order by order; what differs is looked at again, because the network may be at work."""
    first, register = await list_ours(), await list_theirs()
    suspects: dict[str, set[UUID]] = {name: set() for name in rules}
    for order_id in first.keys() | register.keys():
        for name, (_, rule) in rules.items():
            if not rule(first.get(order_id), register.get(order_id)):
                suspects[name].add(order_id)
    again = await list_ours(sorted(set().union(*suspects.values()), key=str)) if any(suspects.values()) else {}
    return [
        _judged(name, sentence, [one for one in suspects[name] if _settled(one, first, again)])
        for name, (sentence, _) in rules.items()
    ]


def _settled(order_id: UUID, first: dict[UUID, Any], again: dict[UUID, Any]) -> bool:
    """Say whether an order stood still between two looks, and owes nothing."""
    now = again.get(order_id)
    return now == first.get(order_id) and not (now and now.owed)


def _judged(name: str, sentence: str, broken: list[UUID]) -> Invariant:
    return Invariant(name, sentence, len(broken), tuple(str(one) for one in broken[:EXAMPLES]))
