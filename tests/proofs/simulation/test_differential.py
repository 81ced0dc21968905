"""The memory database returns what PostgreSQL returns, for random lists of operations."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from autogrocery.gateway.store import due, inbox, metrics_log, orders, receipts, transitions
from autogrocery.kit.pg.db import point_of
from tests.proofs.simulation.differential import Comparison, compare
from tests.proofs.simulation.memory_db import STATEMENTS

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db

LISTS = int(os.environ.get("SIMULATION_LISTS", "200"))
# Statements that no action on an order uses.
OF_NO_ORDER = {
    "metrics_log.list_epochs",
    "metrics_log.list_changes",
    "metrics_log.count_changes",
    "receipts.list",
    "receipts.replay",
    "receipts.count_dead",
    "receipts.list_done",
    "restock_inbox.get",
    "restock_inbox.remember",
}
SHARED = {"orders.read"}  # implemented by the names of its items

EDITS = {
    "mark_dispatched without its guard": (
        "o.status = 'PREVIEWED' AND (o.intent IS NULL OR o.intent = 'DISPATCH')",
        "true",
    ),
    "mark_released without its guard": ("WHERE order_id = $1 AND intent = 'RELEASE'", "WHERE order_id = $1"),
    "mark_unreleasable without its fence": ("AND o.version = $4", "AND o.version >= $4 - 9"),
    "a promise over a release": ("AND intent IS NULL\n", "\n"),
    "an expiry over a promise": ("AND intent IS NULL AND ($2", "AND ($2"),
    "an expiry before its time": ("AND ($2 <> 'EXPIRED' OR expires_at <= now())", "AND $2 <> ''"),
    "a finish of an idle order": ("(o.intent IS NOT NULL OR w.even_if_idle)", "true"),
    "a receipt for a failed order": (
        "m.user_id WHERE m.to_status = 'COMPLETED'",
        "m.user_id WHERE m.to_status <> 'PROCESSING'",
    ),
    "a cancel of another cause": ("release_cause = $3", "release_cause = $3 || '!'"),
    "a lease that is longer": (
        "now() + interval '1 second' * ($2::float8",
        "now() + interval '2 seconds' * ($2::float8",
    ),
    "attempts that are not counted": ("SET attempts = o.attempts + 1", "SET attempts = o.attempts"),
    "an insert over an insert": (
        "ON CONFLICT (order_id) DO NOTHING",
        "ON CONFLICT (order_id) DO UPDATE SET currency = 'EUR'",
    ),
    "receipts in another order": ("ORDER BY next_attempt_at LIMIT $1", "ORDER BY next_attempt_at DESC LIMIT $1"),
    "a patience that starts anew": ("confirmed_at = coalesce(o.confirmed_at, now())", "confirmed_at = now()"),
}


async def test_memory_and_postgres_return_the_same(gateway_db: Db) -> None:
    comparison = Comparison()
    await comparison.prepare(gateway_db)
    difference = await compare(gateway_db, range(LISTS), comparison)
    assert difference is None, difference
    asked = {name for name, found in comparison.ran if found}
    assert asked == STATEMENTS.keys()
    assert comparison.refused.keys() >= {"CheckViolationError", "ForeignKeyViolationError", "UniqueViolationError"}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
async def test_a_changed_statement_is_a_difference(gateway_db: Db, edit: tuple[str, str]) -> None:
    comparison = Comparison(edit)
    await comparison.prepare(gateway_db)
    assert await compare(gateway_db, range(200), comparison)


def test_every_statement_of_the_orders_store_is_implemented() -> None:
    modules = (orders, transitions, due, inbox, receipts, metrics_log)
    texts = [text for module in modules for text in vars(module).values() if isinstance(text, str)]
    named = {point_of(text) for text in texts if text.lstrip().startswith("-- ")} - {"{point}"}
    assert named - OF_NO_ORDER - SHARED - STATEMENTS.keys() == set()
    assert len(named) > 20
