"""Alerts of ended orders through a real HTTP provider: sent once, within limits, without affecting the order."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import grpc
import pytest

from autogrocery.contracts.alerts import AlertPreference
from autogrocery.gateway.actions.audit import audit
from autogrocery.gateway.actions.change_contact import change_contact
from autogrocery.gateway.actions.sweep import sweep
from autogrocery.gateway.core.order import Due, Fact, Status
from autogrocery.gateway.store import devices
from autogrocery.kit.errors import Conflict
from autogrocery.kit.messages.quiet_hours import QuietHours
from autogrocery.kit.pg.outbox import DELIVERIES
from autogrocery.lab.ports import free_ports
from autogrocery.notifier.actions.send_alert import AlertLimits
from autogrocery.notifier.peers.sms import open_sms
from tests.harness.fake_sms import SmsProvider, serve_sms
from tests.harness.notifier import alerts_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from autogrocery.notifier.peers.sms import Sms
    from tests.integration.notifier.conftest import GatewayActions

PHONE = "+15550177"
FULL, SHORT, NOTHING = {"milk": 2, "bread": 3}, {"milk": 2, "bread": 1}, None
ALWAYS_QUIET = QuietHours(datetime.now(UTC).hour, (datetime.now(UTC).hour + 23) % 24, UTC)


@pytest.fixture
async def provider() -> AsyncIterator[SmsProvider]:
    async with serve_sms() as provider:
        yield provider


@pytest.fixture
async def sms(provider: SmsProvider) -> AsyncIterator[Sms]:
    async with open_sms(provider.url, timeout_s=1.0) as sms:
        yield sms


async def ended(
    gateway: GatewayActions,
    picked: dict[str, int] | None = SHORT,
    *,
    phone: str | None = PHONE,
    alert_completed: bool = True,
) -> UUID:
    """Make an order of a device with this telephone number, end it, and return its id."""
    await gateway.db.run("UPDATE smart_devices SET phone = $1", phone)
    order = await gateway.preview(milk=2, bread=3)
    await gateway.confirm(order.order_id)
    fact = Fact.PICKED if picked else Fact.NOTHING_PICKED
    await gateway.complete(order.order_id, fact, picked=picked, alert_completed=alert_completed)
    return order.order_id


async def choose(gateway: GatewayActions, alerts: AlertPreference) -> None:
    assert await devices.set_alerts(gateway.db, gateway.user_id, alerts)


async def relay(gateway: GatewayActions, sms: Sms, limits: AlertLimits | None = None) -> None:
    await alerts_of(gateway.db, sms, limits).relay()


async def retry(gateway: GatewayActions, sms: Sms, limits: AlertLimits | None = None) -> None:
    await gateway.db.run("UPDATE alert_outbox SET next_attempt_at = now() WHERE done_at IS NULL AND dead_at IS NULL")
    await relay(gateway, sms, limits)


async def rows(gateway: GatewayActions) -> list[tuple[str, str, str | None]]:
    found = await gateway.db.rows("SELECT * FROM alert_outbox ORDER BY created_at")
    return [
        (row["event"], "done" if row["done_at"] else "dead" if row["dead_at"] else "due", row["last_error"])
        for row in found
    ]


@pytest.mark.parametrize(
    ("alerts", "picked", "events"),
    [
        (AlertPreference.TROUBLE, FULL, []),
        (AlertPreference.TROUBLE, SHORT, ["PARTIAL"]),
        (AlertPreference.TROUBLE, NOTHING, ["FAILED"]),
        (AlertPreference.ALL, FULL, ["COMPLETED"]),
        (AlertPreference.ALL, SHORT, ["PARTIAL"]),
        (AlertPreference.ALL, NOTHING, ["FAILED"]),
        (AlertPreference.NONE, FULL, []),
        (AlertPreference.NONE, SHORT, []),
        (AlertPreference.NONE, NOTHING, []),
    ],
)
async def test_alert_is_queued_as_the_preference_says(
    gateway: GatewayActions, alerts: AlertPreference, picked: dict[str, int] | None, events: list[str]
) -> None:
    await choose(gateway, alerts)
    await ended(gateway, picked)
    assert await rows(gateway) == [(event, "due", None) for event in events]


async def test_completed_order_has_no_alert_if_alert_completed_is_off(gateway: GatewayActions) -> None:
    await choose(gateway, AlertPreference.ALL)
    await ended(gateway, FULL, alert_completed=False)
    await ended(gateway, SHORT, alert_completed=False)
    assert await rows(gateway) == [("PARTIAL", "due", None)]


async def test_order_of_device_without_phone_has_no_alert(gateway: GatewayActions) -> None:
    await ended(gateway, phone=None)
    assert await rows(gateway) == []


async def test_dispatch_that_fails_after_202_queues_an_alert(gateway: GatewayActions) -> None:
    await gateway.db.run("UPDATE smart_devices SET phone = $1", PHONE)
    order = await gateway.preview(milk=2)
    gateway.fake_inventory.abort_with = {"AssignRobots": grpc.StatusCode.UNAVAILABLE}
    await gateway.confirm(order.order_id)
    assert (await gateway.order(order.order_id)).dispatch == "in_doubt"
    gateway.fake_inventory.abort_with, gateway.fake_inventory.refuse_robots = {}, True
    await sweep(gateway.store, gateway.inventory, gateway.metrics, Due(order.order_id, 1.0), give_up_after_s=600.0)
    assert (await gateway.order(order.order_id)).status is Status.FAILED
    assert await rows(gateway) == [("FAILED", "due", None)]


async def test_confirm_refused_with_409_queues_no_alert(gateway: GatewayActions) -> None:
    await gateway.db.run("UPDATE smart_devices SET phone = $1", PHONE)
    order = await gateway.preview(milk=2)
    gateway.fake_inventory.refuse_robots = True
    with pytest.raises(Conflict, match="no_robots"):
        await gateway.confirm(order.order_id)
    assert (await gateway.order(order.order_id)).status is Status.FAILED
    assert await rows(gateway) == []


async def test_alert_is_one_request_with_amounts_and_idempotency_key(
    gateway: GatewayActions, provider: SmsProvider, sms: Sms
) -> None:
    order_id = await ended(gateway)
    await relay(gateway, sms)
    await retry(gateway, sms)
    (message,) = provider.accepted
    assert (message.to, message.sender, message.key) == (PHONE, "+15550100", f"{order_id}-partial")
    assert message.body == f"mart-test: your order {str(order_id)[-12:]} is ready with 3 of 5 items. You pay 5.07 USD."
    assert base64.b64decode(message.authorization.removeprefix("Basic ")) == b"AC1:to/ken"
    assert await rows(gateway) == [("PARTIAL", "done", None)]


@pytest.mark.parametrize("status", [400, 404, 410, 422])
async def test_permanent_status_makes_the_alert_dead(
    gateway: GatewayActions, provider: SmsProvider, sms: Sms, status: int
) -> None:
    await ended(gateway)
    provider.status = status
    await relay(gateway, sms)
    await retry(gateway, sms)
    assert (provider.requests, await rows(gateway)) == (1, [("PARTIAL", "dead", "sms_refused")])


@pytest.mark.parametrize("status", [302, 401, 403, 408, 429, 500, 503])
async def test_temporary_status_is_retried(
    gateway: GatewayActions, provider: SmsProvider, sms: Sms, status: int
) -> None:
    await ended(gateway)
    provider.status = status
    await relay(gateway, sms)
    assert await rows(gateway) == [("PARTIAL", "due", f"sms_deferred_{status}")]
    provider.status = 201
    await retry(gateway, sms)
    assert (len(provider.accepted), await rows(gateway)) == (1, [("PARTIAL", "done", None)])


@pytest.mark.parametrize(
    ("retry_after", "least_s", "most_s"), [("120", 120, 122), ("999999", 3_600, 3_602), ("soon", 0, 2)]
)
async def test_retry_after_sets_the_next_attempt(
    gateway: GatewayActions, provider: SmsProvider, sms: Sms, retry_after: str, least_s: float, most_s: float
) -> None:
    await ended(gateway)
    provider.status, provider.headers = 429, {"Retry-After": retry_after}
    await relay(gateway, sms)
    found = await gateway.db.row(
        "SELECT extract(epoch FROM next_attempt_at - now())::float8 AS wait_s FROM alert_outbox"
    )
    assert found is not None
    assert least_s - 1 < found["wait_s"] < most_s


async def test_unanswered_request_is_retried_with_the_same_key(
    gateway: GatewayActions, provider: SmsProvider, sms: Sms
) -> None:
    await ended(gateway)
    (port,) = free_ports(1)
    async with open_sms(f"http://127.0.0.1:{port}/x?from=+15550100") as missing:
        await relay(gateway, missing)
    assert await rows(gateway) == [("PARTIAL", "due", "sms_unavailable")]
    provider.silent = True
    async with open_sms(provider.url, timeout_s=0.2) as impatient:
        await retry(gateway, impatient)
    assert await rows(gateway) == [("PARTIAL", "due", "sms_unavailable")]
    provider.silent = False
    await retry(gateway, sms)
    assert (len(provider.accepted), len(provider.keys)) == (2, 1)
    assert await rows(gateway) == [("PARTIAL", "done", None)]


async def test_alert_older_than_a_day_is_given_up(gateway: GatewayActions, provider: SmsProvider, sms: Sms) -> None:
    await ended(gateway)
    await gateway.db.run("UPDATE alert_outbox SET created_at = now() - interval '25 hours'")
    provider.status = 503
    await relay(gateway, sms)
    assert await rows(gateway) == [("PARTIAL", "dead", "gave_up")]


async def test_opt_out_before_sending_sends_no_alert(gateway: GatewayActions, provider: SmsProvider, sms: Sms) -> None:
    await ended(gateway)
    await choose(gateway, AlertPreference.NONE)
    await relay(gateway, sms)
    assert (provider.requests, await rows(gateway)) == (0, [("PARTIAL", "done", "opted_out")])


@pytest.mark.parametrize("phone", ["5550177", "+0123456789", "+15550177\n", "+1555x", "+1234567890123456"])
async def test_malformed_phone_makes_the_alert_dead_without_a_request(
    gateway: GatewayActions, provider: SmsProvider, sms: Sms, phone: str
) -> None:
    await ended(gateway, phone=phone)
    await relay(gateway, sms)
    assert (provider.requests, await rows(gateway)) == (0, [("PARTIAL", "dead", "bad_phone")])


async def test_alerts_beyond_the_daily_cap_are_not_sent(
    gateway: GatewayActions, provider: SmsProvider, sms: Sms
) -> None:
    for _ in range(5):
        await ended(gateway)
    await relay(gateway, sms, AlertLimits(cap_per_day=2))
    assert len(provider.accepted) == 2
    assert sorted(reason or "" for _, _, reason in await rows(gateway)) == ["", "", "capped", "capped", "capped"]
    await gateway.db.run("UPDATE alert_outbox SET admitted_at = admitted_at - interval '25 hours'")
    await ended(gateway)
    await relay(gateway, sms, AlertLimits(cap_per_day=2))
    assert len(provider.accepted) == 3


async def test_retried_alert_counts_once_against_the_cap(
    gateway: GatewayActions, provider: SmsProvider, sms: Sms
) -> None:
    await ended(gateway)
    provider.status = 503
    for _ in range(3):
        await retry(gateway, sms, AlertLimits(cap_per_day=1))
    provider.status = 201
    await retry(gateway, sms, AlertLimits(cap_per_day=1))
    assert (len(provider.accepted), await rows(gateway)) == (1, [("PARTIAL", "done", None)])


async def test_alert_in_quiet_hours_is_sent_afterwards(
    gateway: GatewayActions, provider: SmsProvider, sms: Sms
) -> None:
    await ended(gateway)
    await relay(gateway, sms, AlertLimits(quiet=ALWAYS_QUIET))
    assert (provider.requests, await rows(gateway)) == (0, [("PARTIAL", "due", "quiet_hours")])
    await retry(gateway, sms)
    assert (len(provider.accepted), await rows(gateway)) == (1, [("PARTIAL", "done", None)])


async def test_alert_without_provider_is_logged_without_phone(
    gateway: GatewayActions, capfd: pytest.CaptureFixture[str]
) -> None:
    order_id = await ended(gateway)
    async with open_sms("") as log:
        await relay(gateway, log)
    output = "".join(capfd.readouterr())
    assert "alert_not_sent_no_provider" in output
    assert str(order_id) in output
    assert PHONE not in output
    assert await rows(gateway) == [("PARTIAL", "done", "logged")]


@pytest.mark.parametrize(
    ("invariant", "spoil", "mend"),
    [
        (
            "alerts_drain",
            "UPDATE alert_outbox SET next_attempt_at = now() - interval '2 minutes'",
            "UPDATE alert_outbox SET next_attempt_at = now()",
        ),
        (
            "alerts_tell_the_truth",
            "UPDATE alert_outbox SET event = 'FAILED'",
            "UPDATE alert_outbox SET event = 'PARTIAL'",
        ),
        (
            "who_wants_no_alert_gets_none",
            "UPDATE smart_devices SET alerts = 'none', alerts_off_at = now() - interval '2 minutes'",
            "UPDATE smart_devices SET alerts = 'none', alerts_off_at = now()",
        ),
    ],
)
async def test_audit_finds_violated_alert_invariants(
    gateway: GatewayActions, invariant: str, spoil: str, mend: str
) -> None:
    await ended(gateway)
    await gateway.db.run(spoil)
    assert [one.name for one in (await audit(gateway.db)).invariants if one.violations] == [invariant]
    await gateway.db.run(mend)


async def test_alert_deliveries_are_counted_by_result(gateway: GatewayActions, provider: SmsProvider, sms: Sms) -> None:
    def counted(result: str) -> float:
        value: Any = DELIVERIES.labels("alert_outbox", result)._value.get()
        return float(value)

    before = {result: counted(result) for result in ("delivered", "deferred")}
    await ended(gateway)
    provider.status = 500
    await relay(gateway, sms)
    provider.status = 201
    await retry(gateway, sms)
    assert {result: counted(result) - count for result, count in before.items()} == {"delivered": 1, "deferred": 1}


@pytest.mark.parametrize(
    ("start", "end", "zone", "at", "left"),
    [
        (22, 7, "UTC", "2026-03-01T21:59:59+00:00", timedelta(0)),
        (22, 7, "UTC", "2026-03-01T22:00:00+00:00", timedelta(hours=9)),
        (22, 7, "UTC", "2026-03-02T06:59:00+00:00", timedelta(minutes=1)),
        (22, 7, "UTC", "2026-03-02T07:00:00+00:00", timedelta(0)),
        (13, 15, "UTC", "2026-03-02T14:30:00+00:00", timedelta(minutes=30)),
        (22, 7, "Europe/Berlin", "2026-01-10T21:30:00+00:00", timedelta(hours=8, minutes=30)),
        (22, 7, "Europe/Berlin", "2026-03-28T21:00:00+00:00", timedelta(hours=8)),  # the clock goes forward that night
        (22, 7, "Europe/Berlin", "2026-10-24T20:00:00+00:00", timedelta(hours=10)),  # the clock goes back that night
        (1, 0, "UTC", "2026-03-02T01:00:00+00:00", timedelta(hours=23)),
    ],
)
def test_remaining_quiet_seconds_follow_local_time(start: int, end: int, zone: str, at: str, left: timedelta) -> None:
    assert QuietHours(start, end, ZoneInfo(zone)).remaining_s(datetime.fromisoformat(at)) == left.total_seconds()


async def test_alert_of_a_mended_number_is_sent_if_it_is_still_news(
    gateway: GatewayActions, sms: Sms, provider: SmsProvider
) -> None:
    await ended(gateway, phone="call me")
    await ended(gateway, phone="call me")
    await relay(gateway, sms)
    assert await rows(gateway) == [("PARTIAL", "dead", "bad_phone")] * 2
    await gateway.db.run(
        "UPDATE alert_outbox SET created_at = now() - interval '2 days'"
        " WHERE order_id = (SELECT order_id FROM alert_outbox ORDER BY order_id LIMIT 1)"
    )
    changed = await change_contact(gateway.db, gateway.user_id, phone=PHONE)
    assert (changed.receipts, changed.alerts) == (0, 1)
    await relay(gateway, sms)
    assert sorted(state for _, state, _ in await rows(gateway)) == ["dead", "done"]
    assert len(provider.accepted) == 1
