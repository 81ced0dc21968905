"""The audit of a whole network: the gateway's invariants, inventory's, and those that only both together can break."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from autogrocery.gateway.actions.audit import audit as audit_gateway
from autogrocery.gateway.store.standings import list_standings as list_gateway
from autogrocery.inventory.actions.audit import audit as audit_inventory
from autogrocery.inventory.store.standings import list_standings as list_inventory
from autogrocery.kit.audit import EXAMPLES, Invariant
from autogrocery.kit.pg import open_db

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from autogrocery.gateway.store.standings import Standing as Ours
    from autogrocery.inventory.store.standings import Standing as Theirs
    from autogrocery.kit.pg import Db

    Rule = Callable[[Ours | None, Theirs | None], bool]

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


RULES: Final[dict[str, tuple[str, Rule]]] = {
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
            found += [("both", one) for one in await _compare(ours, theirs)]
    return found


async def _compare(ours: Db, theirs: Db) -> list[Invariant]:
    """Compare order by order; what differs is looked at again, because the network may be at work."""
    first, register = await list_gateway(ours), await list_inventory(theirs)
    suspects: dict[str, set[UUID]] = {name: set() for name in RULES}
    for order_id in first.keys() | register.keys():
        for name, (_, rule) in RULES.items():
            if not rule(first.get(order_id), register.get(order_id)):
                suspects[name].add(order_id)
    again = await list_gateway(ours, sorted(set().union(*suspects.values()), key=str)) if any(suspects.values()) else {}
    return [
        _judged(name, sentence, [one for one in suspects[name] if _settled(one, first, again)])
        for name, (sentence, _) in RULES.items()
    ]


def _settled(order_id: UUID, first: dict[UUID, Ours], again: dict[UUID, Ours]) -> bool:
    """Say whether an order stood still between two looks, and owes inventory nothing."""
    now = again.get(order_id)
    return now == first.get(order_id) and not (now and now.owed)


def _judged(name: str, sentence: str, broken: list[UUID]) -> Invariant:
    return Invariant(name, sentence, len(broken), tuple(str(one) for one in broken[:EXAMPLES]))
