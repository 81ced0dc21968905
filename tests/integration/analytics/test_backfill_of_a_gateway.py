"""A real gateway answers for the epochs of gateways that are gone: the backfill stores what its database has."""

from __future__ import annotations

from bench.backfill import measure


async def test_history_of_gateways_that_are_gone_is_stored_exactly_although_the_backfill_was_killed() -> None:
    run = await measure(3_000)
    assert run.exact
    assert run.before_kill + run.resumed >= run.changes
