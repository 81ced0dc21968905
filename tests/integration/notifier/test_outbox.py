"""The relay of an outbox: one statement claims, one settles, and no row stands in another's way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from autogrocery.kit.errors import Unavailable
from autogrocery.kit.pg.outbox import Outbox
from autogrocery.kit.process.faults import Fault, Mode, arm
from tests.harness.notifier import end_orders

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from autogrocery.kit.pg.db import Row
    from tests.integration.notifier.conftest import GatewayActions


def outbox_of(gateway: GatewayActions, deliver: Callable[[Row], Awaitable[str | None]], **options: float) -> Outbox:
    return Outbox(gateway.db, "receipt_outbox", ("order_id",), deliver, give_up_after_s=60, **options)  # type: ignore[arg-type]


async def states(gateway: GatewayActions) -> dict[UUID, tuple[str, str | None]]:
    return {
        row["order_id"]: ("done" if row["done_at"] else "dead" if row["dead_at"] else "due", row["last_error"])
        for row in await gateway.db.rows("SELECT * FROM receipt_outbox")
    }


async def test_one_statement_claims_a_batch_and_one_settles_it(gateway: GatewayActions) -> None:
    made = await end_orders(gateway, 5)
    verdicts = iter((None, "no_address", Unavailable("later", ""), None, None))

    async def deliver(_row: Row) -> str | None:
        verdict = next(verdicts)
        if isinstance(verdict, Unavailable):
            raise verdict
        return verdict

    with arm() as calls:
        assert await outbox_of(gateway, deliver).relay() == 5
        assert calls == {"receipt_outbox.claim": 1, "receipt_outbox.settle": 1}
    found = await states(gateway)
    assert sorted(str(found[one]) for one in made) == [
        "('done', 'no_address')",
        *["('done', None)"] * 3,
        "('due', 'later')",
    ]


async def test_a_defect_with_one_row_defers_it_and_settles_the_others(gateway: GatewayActions) -> None:
    bad, *good = await end_orders(gateway, 4)

    async def deliver(row: Row) -> None:
        if row["order_id"] == bad:
            raise RuntimeError

    await outbox_of(gateway, deliver).relay()
    assert await states(gateway) == {bad: ("due", "internal_error")} | dict.fromkeys(good, ("done", None))


@pytest.mark.parametrize("mode", [Mode.ERROR_BEFORE, Mode.EFFECT_THEN_ERROR])
async def test_what_was_delivered_while_the_database_was_away_is_settled_later(
    gateway: GatewayActions, mode: Mode
) -> None:
    made, delivered = await end_orders(gateway, 3), []

    async def deliver(row: Row) -> None:
        delivered.append(row["order_id"])

    outbox = outbox_of(gateway, deliver)
    with arm(Fault("receipt_outbox.settle", mode)), pytest.raises(Unavailable):
        await outbox.relay()
    await gateway.db.run("UPDATE receipt_outbox SET next_attempt_at = now() WHERE done_at IS NULL")  # the lease is over
    assert await outbox.relay() == 0
    assert sorted(delivered) == sorted(made)
    assert await states(gateway) == dict.fromkeys(made, ("done", None))


async def test_what_can_not_begin_in_time_is_given_back(gateway: GatewayActions) -> None:
    await end_orders(gateway, 3)
    delivered = []

    async def deliver(row: Row) -> None:
        delivered.append(row["order_id"])
        await asyncio.sleep(0.3)

    outbox = outbox_of(gateway, deliver, at_once=1, begin_within_s=0.2)
    assert await outbox.relay() == 3
    assert sorted((await states(gateway)).values()) == [("done", None), ("due", "not_begun"), ("due", "not_begun")]
    assert await outbox.relay() == 2
    assert len(set(delivered)) == len(delivered) == 2


async def test_what_has_ended_is_settled_each_second_and_at_a_stop(gateway: GatewayActions) -> None:
    slow, *quick = await end_orders(gateway, 3)

    async def deliver(row: Row) -> None:
        if row["order_id"] == slow:
            await asyncio.Event().wait()

    relaying = asyncio.create_task(outbox_of(gateway, deliver).relay())
    await asyncio.sleep(0.3)
    relaying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await relaying
    assert await states(gateway) == {slow: ("due", None)} | dict.fromkeys(quick, ("done", None))
    more = await end_orders(gateway, 1)
    relaying = asyncio.create_task(outbox_of(gateway, deliver).relay())
    await gateway.db.run("UPDATE receipt_outbox SET next_attempt_at = now() WHERE order_id = $1", slow)
    await asyncio.sleep(1.5)
    assert (await states(gateway))[more[0]] == ("done", None)
    relaying.cancel()
    await asyncio.wait({relaying})
