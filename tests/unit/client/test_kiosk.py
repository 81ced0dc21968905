from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import pytest

from autogrocery.client import Item, Kiosk, Patience, Problem, Told, Unanswered
from tests.harness.fake_gateway import FakeGateway, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MILK = [Item("milk", 2)]
PREVIEW, CONFIRM = "/api/client/order/preview", "/api/client/order/confirm"


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with serving() as fake:
        yield fake


@pytest.fixture
async def kiosk(gateway: FakeGateway) -> AsyncIterator[Kiosk]:
    async with Kiosk(gateway.url, "fridge-1", "correct horse battery", patience=Patience(5, 2)) as opened:
        await opened.register(email="someone@mart.example")
        yield opened


async def test_an_order_walks_from_preview_to_completed(kiosk: Kiosk) -> None:
    order = await kiosk.preview(MILK)
    assert (order.status, order.total_cents) == ("PREVIEWED", 500)
    assert (await kiosk.confirm(order.order_id)).status == "PROCESSING"
    done = await kiosk.finished(order.order_id, within_s=5)
    assert (done.status, done.outcome, done.terminal) == ("COMPLETED", "FULL", True)
    assert [event.to_status for event in await kiosk.events(order.order_id)] == ["PREVIEWED", "PROCESSING", "COMPLETED"]
    assert [listed.order_id for listed in (await kiosk.orders()).data] == [order.order_id]


async def test_me_and_catalog_are_typed(kiosk: Kiosk, gateway: FakeGateway) -> None:
    gateway.prices["rye"] = 300
    assert (await kiosk.me()).user_id == 1
    assert [product.sku for product in (await kiosk.catalog("rye")).data] == ["rye"]


async def test_a_cancelled_preview_is_cancelled(kiosk: Kiosk) -> None:
    order = await kiosk.preview(MILK)
    assert (await kiosk.cancel(order.order_id)).status == "CANCELLED"


async def test_a_refusal_carries_its_code_and_is_not_repeated(kiosk: Kiosk, gateway: FakeGateway) -> None:
    with pytest.raises(Problem) as refusal:
        await kiosk.preview([Item("gone-fish", 1)])
    assert (refusal.value.status, refusal.value.code, refusal.value.request_id) == (409, "insufficient_stock", "r-1")
    assert not refusal.value.retryable
    assert len(gateway.seen(PREVIEW)) == 1


async def test_retry_after_is_waited_for_with_the_same_key(kiosk: Kiosk, gateway: FakeGateway) -> None:
    gateway.mischief[PREVIEW].extend(["busy 1", "too many"])
    await kiosk.preview(MILK)
    calls = gateway.seen(PREVIEW)
    assert len({headers["Idempotency-Key"] for _, _, headers in calls}) == 1
    assert len(calls) == 3
    assert calls[1][0] - calls[0][0] >= 1.0


async def test_a_retry_after_beyond_the_deadline_ends_at_once(kiosk: Kiosk, gateway: FakeGateway) -> None:
    gateway.mischief[PREVIEW].append("busy 60")
    started_at = time.monotonic()
    with pytest.raises(Unanswered) as silence:
        await kiosk.preview(MILK)
    assert time.monotonic() - started_at < 2
    assert silence.value.last is not None
    assert silence.value.last.code == "database_unavailable"


async def test_a_lost_answer_leads_to_the_same_order(kiosk: Kiosk, gateway: FakeGateway) -> None:
    gateway.mischief[PREVIEW].extend(["lose", "lose"])
    order = await kiosk.preview(MILK)
    assert list(gateway.orders) == [order.order_id]
    assert len(gateway.seen(PREVIEW)) == 3


@pytest.mark.parametrize("trick", ["lose", "late"])
async def test_a_lost_registration_is_recognised_as_ours(gateway: FakeGateway, trick: str) -> None:
    gateway.mischief["/api/client/register"].append(trick)
    async with Kiosk(gateway.url, "fridge-2", "correct horse battery", patience=Patience(5, 2)) as kiosk:
        assert (await kiosk.register()).device_id == "fridge-2"


async def test_a_name_of_somebody_else_stays_taken(gateway: FakeGateway) -> None:
    gateway.devices["fridge-2"] = "another password"
    gateway.mischief["/api/client/register"].append("lose")
    async with Kiosk(gateway.url, "fridge-2", "correct horse battery", patience=Patience(5, 2)) as kiosk:
        with pytest.raises(Problem, match="device_taken"):
            await kiosk.register()


async def test_a_confirm_in_doubt_is_asked_again_until_it_is_known(gateway: FakeGateway) -> None:
    told: list[Told] = []
    gateway.mischief[CONFIRM].extend(["doubt", "doubt"])
    async with Kiosk(gateway.url, "fridge-1", "correct horse battery", heard=told.append) as kiosk:
        await kiosk.register()
        order = await kiosk.preview(MILK)
        assert (await kiosk.confirm(order.order_id)).dispatch == "dispatched"
    assert [one.http_status for one in told] == [201, 202, 202, 200]


async def test_a_confirm_still_in_doubt_at_the_deadline_says_so(kiosk: Kiosk, gateway: FakeGateway) -> None:
    order = await kiosk.preview(MILK)
    gateway.mischief[CONFIRM].extend(["doubt", "busy 60"])
    assert (await kiosk.confirm(order.order_id)).dispatch == "in_doubt"


async def test_a_refused_token_is_refreshed_without_the_caller_knowing(kiosk: Kiosk, gateway: FakeGateway) -> None:
    await kiosk.login()
    gateway.tokens.clear()
    await kiosk.me()
    assert len(gateway.seen("/refresh")) == 1
    assert len(gateway.seen("/login")) == 1


async def test_a_revoked_family_logs_in_again(kiosk: Kiosk, gateway: FakeGateway) -> None:
    await kiosk.login()
    gateway.tokens.clear()
    gateway.refresh_tokens.clear()
    await kiosk.me()
    assert len(gateway.seen("/login")) == 2


async def test_tokens_are_renewed_before_they_run_out(gateway: FakeGateway) -> None:
    gateway.token_life_s = 0.5
    async with Kiosk(gateway.url, "fridge-1", "correct horse battery") as kiosk:
        await kiosk.register()
        ends_at = time.monotonic() + 1.2
        while time.monotonic() < ends_at:
            await kiosk.me()
            await asyncio.sleep(0.02)
    assert len(gateway.seen("/refresh")) >= 2
    assert len(gateway.seen("/login")) == 1


async def test_many_calls_at_once_log_in_once(kiosk: Kiosk, gateway: FakeGateway) -> None:
    await asyncio.gather(*(kiosk.me() for _ in range(20)))
    assert len(gateway.seen("/login")) == 1


async def test_a_wrong_password_is_refused_not_retried(gateway: FakeGateway) -> None:
    gateway.devices["fridge-1"] = "another password"
    async with Kiosk(gateway.url, "fridge-1", "correct horse battery") as kiosk:
        with pytest.raises(Problem, match="invalid_credentials"):
            await kiosk.preview(MILK)
    assert len(gateway.seen("/login")) == 1


async def test_a_gateway_that_restarts_is_waited_for(kiosk: Kiosk, gateway: FakeGateway) -> None:
    order = await kiosk.preview(MILK)
    await gateway.stop()
    confirming = asyncio.create_task(kiosk.confirm(order.order_id))
    _, pending = await asyncio.wait([confirming], timeout=0.3)
    assert pending
    await gateway.start()
    assert (await confirming).status == "PROCESSING"


async def test_a_gateway_that_never_comes_back_is_unanswered(gateway: FakeGateway) -> None:
    await gateway.stop()
    async with Kiosk(gateway.url, "fridge-1", "correct horse battery", patience=Patience(0.5, 0.2)) as kiosk:
        with pytest.raises(Unanswered, match="nothing was heard"):
            await kiosk.me()


async def test_tokens_do_not_show_themselves(kiosk: Kiosk, gateway: FakeGateway) -> None:
    await kiosk.login()
    shown = repr(kiosk._badge._tokens)
    assert not any(token in shown for token in (*gateway.tokens, *gateway.refresh_tokens))


async def test_an_answer_in_no_known_form_is_still_a_problem(kiosk: Kiosk) -> None:
    with pytest.raises(Problem) as refusal:
        await kiosk._get("/api/client/nowhere", dict[str, str])
    assert (refusal.value.status, refusal.value.code) == (404, "http_404")
    assert json.dumps(refusal.value.errors) == "[]"
