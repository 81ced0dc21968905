from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import pytest

from autogrocery.client import Item, Kiosk, OrderResponse, Problem, RetryLimits, Unanswered
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
    async with Kiosk(gateway.url, "fridge-1", "correct horse battery", retry_limits=RetryLimits(5, 2)) as opened:
        await opened.register(email="someone@mart.example")
        yield opened


async def test_preview_confirm_finished_returns_completed_order(kiosk: Kiosk) -> None:
    order = await kiosk.preview(MILK)
    assert (order.status, order.total_cents) == ("PREVIEWED", 500)
    assert (await kiosk.confirm(order.order_id)).status == "PROCESSING"
    done = await kiosk.finished(order.order_id, within_s=5)
    assert (done.status, done.outcome, done.terminal) == ("COMPLETED", "FULL", True)
    assert [event.to_status for event in await kiosk.events(order.order_id)] == ["PREVIEWED", "PROCESSING", "COMPLETED"]
    assert [listed.order_id for listed in (await kiosk.orders()).data] == [order.order_id]


async def test_me_and_catalog_return_typed_models(kiosk: Kiosk, gateway: FakeGateway) -> None:
    gateway.prices["rye"] = 300
    assert (await kiosk.me()).user_id == 1
    assert [product.sku for product in (await kiosk.catalog("rye")).data] == ["rye"]


async def test_cancel_after_preview_returns_cancelled_order(kiosk: Kiosk) -> None:
    order = await kiosk.preview(MILK)
    assert (await kiosk.cancel(order.order_id)).status == "CANCELLED"


async def test_refusal_raises_problem_without_repeat(kiosk: Kiosk, gateway: FakeGateway) -> None:
    with pytest.raises(Problem) as refusal:
        await kiosk.preview([Item("gone-fish", 1)])
    assert (refusal.value.status, refusal.value.code, refusal.value.request_id) == (409, "insufficient_stock", "r-1")
    assert not refusal.value.retryable
    assert len(gateway.seen(PREVIEW)) == 1


async def test_retry_after_is_kept_and_key_is_reused(kiosk: Kiosk, gateway: FakeGateway) -> None:
    gateway.fault_queue[PREVIEW].extend(["busy 1", "too many"])
    await kiosk.preview(MILK)
    calls = gateway.seen(PREVIEW)
    assert len({headers["Idempotency-Key"] for _, _, headers in calls}) == 1
    assert len(calls) == 3
    assert calls[1][0] - calls[0][0] >= 1.0


async def test_retry_after_beyond_deadline_raises_unanswered_at_once(kiosk: Kiosk, gateway: FakeGateway) -> None:
    gateway.fault_queue[PREVIEW].append("busy 60")
    started_at = time.monotonic()
    with pytest.raises(Unanswered) as silence:
        await kiosk.preview(MILK)
    assert time.monotonic() - started_at < 2
    assert silence.value.last is not None
    assert silence.value.last.code == "database_unavailable"


async def test_lost_preview_responses_lead_to_one_order(kiosk: Kiosk, gateway: FakeGateway) -> None:
    gateway.fault_queue[PREVIEW].extend(["lose", "lose"])
    order = await kiosk.preview(MILK)
    assert list(gateway.orders) == [order.order_id]
    assert len(gateway.seen(PREVIEW)) == 3


@pytest.mark.parametrize("trick", ["lose", "late"])
async def test_registration_with_lost_response_succeeds_by_login(gateway: FakeGateway, trick: str) -> None:
    gateway.fault_queue["/api/client/register"].append(trick)
    async with Kiosk(gateway.url, "fridge-2", "correct horse battery", retry_limits=RetryLimits(5, 2)) as kiosk:
        assert (await kiosk.register()).device_id == "fridge-2"


async def test_registration_of_another_devices_name_raises_device_taken(gateway: FakeGateway) -> None:
    gateway.devices["fridge-2"] = "another password"
    gateway.fault_queue["/api/client/register"].append("lose")
    async with Kiosk(gateway.url, "fridge-2", "correct horse battery", retry_limits=RetryLimits(5, 2)) as kiosk:
        with pytest.raises(Problem, match="device_taken"):
            await kiosk.register()


async def test_confirm_in_doubt_is_repeated_until_dispatched(gateway: FakeGateway) -> None:
    responses: list[OrderResponse] = []
    gateway.fault_queue[CONFIRM].extend(["doubt", "doubt"])
    async with Kiosk(gateway.url, "fridge-1", "correct horse battery", on_response=responses.append) as kiosk:
        await kiosk.register()
        order = await kiosk.preview(MILK)
        assert (await kiosk.confirm(order.order_id)).dispatch == "dispatched"
    assert [one.http_status for one in responses] == [201, 202, 202, 200]


async def test_confirm_in_doubt_at_deadline_returns_in_doubt(kiosk: Kiosk, gateway: FakeGateway) -> None:
    order = await kiosk.preview(MILK)
    gateway.fault_queue[CONFIRM].extend(["doubt", "busy 60"])
    assert (await kiosk.confirm(order.order_id)).dispatch == "in_doubt"


async def test_refused_token_is_refreshed_and_call_repeated(kiosk: Kiosk, gateway: FakeGateway) -> None:
    await kiosk.login()
    gateway.tokens.clear()
    await kiosk.me()
    assert len(gateway.seen("/refresh")) == 1
    assert len(gateway.seen("/login")) == 1


async def test_refused_refresh_token_leads_to_login(kiosk: Kiosk, gateway: FakeGateway) -> None:
    await kiosk.login()
    gateway.tokens.clear()
    gateway.refresh_tokens.clear()
    await kiosk.me()
    assert len(gateway.seen("/login")) == 2


async def test_tokens_are_refreshed_before_they_expire(gateway: FakeGateway) -> None:
    gateway.token_life_s = 0.5
    async with Kiosk(gateway.url, "fridge-1", "correct horse battery") as kiosk:
        await kiosk.register()
        async with asyncio.timeout(10):
            while len(gateway.seen("/refresh")) < 2:
                await kiosk.me()
    assert len(gateway.seen("/login")) == 1


async def test_concurrent_calls_log_in_once(kiosk: Kiosk, gateway: FakeGateway) -> None:
    await asyncio.gather(*(kiosk.me() for _ in range(20)))
    assert len(gateway.seen("/login")) == 1


async def test_wrong_password_raises_invalid_credentials_without_repeat(gateway: FakeGateway) -> None:
    gateway.devices["fridge-1"] = "another password"
    async with Kiosk(gateway.url, "fridge-1", "correct horse battery") as kiosk:
        with pytest.raises(Problem, match="invalid_credentials"):
            await kiosk.preview(MILK)
    assert len(gateway.seen("/login")) == 1


async def test_confirm_during_gateway_restart_succeeds(kiosk: Kiosk, gateway: FakeGateway) -> None:
    order = await kiosk.preview(MILK)
    await gateway.stop()
    confirming = asyncio.create_task(kiosk.confirm(order.order_id))
    _, pending = await asyncio.wait([confirming], timeout=0.3)
    assert pending
    await gateway.start()
    assert (await confirming).status == "PROCESSING"


async def test_stopped_gateway_raises_unanswered(gateway: FakeGateway) -> None:
    await gateway.stop()
    async with Kiosk(gateway.url, "fridge-1", "correct horse battery", retry_limits=RetryLimits(0.5, 0.2)) as kiosk:
        with pytest.raises(Unanswered, match="there was none at all"):
            await kiosk.me()


async def test_repr_of_tokens_hides_both_tokens(kiosk: Kiosk, gateway: FakeGateway) -> None:
    await kiosk.login()
    shown = repr(kiosk._tokens._tokens)
    assert not any(token in shown for token in (*gateway.tokens, *gateway.refresh_tokens))


async def test_error_response_without_problem_body_raises_problem(kiosk: Kiosk) -> None:
    with pytest.raises(Problem) as refusal:
        await kiosk._get("/api/client/nowhere", dict[str, str])
    assert (refusal.value.status, refusal.value.code) == (404, "http_404")
    assert json.dumps(refusal.value.errors) == "[]"
