"""Alerts: who is told of which end, through a real HTTP provider, once, with manners, and never at the order's cost."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import grpc
import pytest

from autogrocery.gateway.actions.audit import audit
from autogrocery.gateway.actions.send_alert import Manners
from autogrocery.gateway.actions.sweep import sweep
from autogrocery.gateway.core.alert import Alerts, QuietHours
from autogrocery.gateway.core.order import Fact, Status
from autogrocery.gateway.loops import alert_loop
from autogrocery.gateway.peers.sms import open_sms
from autogrocery.gateway.store import devices, due
from autogrocery.kit.errors import Conflict
from autogrocery.kit.pg.outbox import DELIVERIES
from autogrocery.lab.ports import free_ports
from tests.harness.fake_sms import Provider, serve_sms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from autogrocery.gateway.peers.sms import Sms
    from tests.integration.gateway.orders.conftest import House

PHONE = "+15550177"
FULL, SHORT, NOTHING = {"milk": 2, "bread": 3}, {"milk": 2, "bread": 1}, None
ALWAYS_QUIET = QuietHours(datetime.now(UTC).hour, (datetime.now(UTC).hour + 23) % 24, UTC)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with serve_sms() as provider:
        yield provider


@pytest.fixture
async def sms(provider: Provider) -> AsyncIterator[Sms]:
    async with open_sms(provider.url, timeout_s=1.0) as sms:
        yield sms


async def ended(
    house: House, picked: dict[str, int] | None = SHORT, *, phone: str | None = PHONE, alert_completed: bool = True
) -> UUID:
    """An order of a device with that telephone, ended."""
    await house.db.run("UPDATE smart_devices SET phone = $1", phone)
    order = await house.preview(milk=2, bread=3)
    await house.confirm(order.order_id)
    fact = Fact.PICKED if picked else Fact.NOTHING_PICKED
    await house.complete(order.order_id, fact, picked=picked, alert_completed=alert_completed)
    return order.order_id


async def choose(house: House, alerts: Alerts) -> None:
    assert await devices.set_alerts(house.db, house.user_id, alerts)


async def relay(house: House, sms: Sms, manners: Manners | None = None) -> None:
    await alert_loop(house.db, sms, "mart-test", manners or Manners())._verb()


async def again(house: House, sms: Sms, manners: Manners | None = None) -> None:
    await house.db.run("UPDATE alert_outbox SET next_attempt_at = now() WHERE done_at IS NULL AND dead_at IS NULL")
    await relay(house, sms, manners)


async def rows(house: House) -> list[tuple[str, str, str | None]]:
    found = await house.db.rows("SELECT * FROM alert_outbox ORDER BY created_at")
    return [
        (row["event"], "done" if row["done_at"] else "dead" if row["dead_at"] else "due", row["last_error"])
        for row in found
    ]


@pytest.mark.parametrize(
    ("alerts", "picked", "told"),
    [
        (Alerts.TROUBLE, FULL, []),
        (Alerts.TROUBLE, SHORT, ["PARTIAL"]),
        (Alerts.TROUBLE, NOTHING, ["FAILED"]),
        (Alerts.ALL, FULL, ["COMPLETED"]),
        (Alerts.ALL, SHORT, ["PARTIAL"]),
        (Alerts.ALL, NOTHING, ["FAILED"]),
        (Alerts.NONE, FULL, []),
        (Alerts.NONE, SHORT, []),
        (Alerts.NONE, NOTHING, []),
    ],
)
async def test_a_device_hears_of_what_it_has_chosen(
    house: House, alerts: Alerts, picked: dict[str, int] | None, told: list[str]
) -> None:
    await choose(house, alerts)
    await ended(house, picked)
    assert await rows(house) == [(event, "due", None) for event in told]


async def test_of_a_whole_order_nobody_hears_where_the_mart_does_not_offer_it(house: House) -> None:
    await choose(house, Alerts.ALL)
    await ended(house, FULL, alert_completed=False)
    await ended(house, SHORT, alert_completed=False)
    assert await rows(house) == [("PARTIAL", "due", None)]


async def test_a_device_without_a_telephone_has_no_alert(house: House) -> None:
    await ended(house, phone=None)
    assert await rows(house) == []


async def test_a_device_that_was_promised_robots_hears_that_there_are_none(house: House) -> None:
    await house.db.run("UPDATE smart_devices SET phone = $1", PHONE)
    order = await house.preview(milk=2)
    house.shelf.trouble = {"AssignRobots": grpc.StatusCode.UNAVAILABLE}
    await house.confirm(order.order_id)
    assert (await house.order(order.order_id)).dispatch == "in_doubt"
    house.shelf.trouble, house.shelf.refuse_robots = {}, True
    await sweep(house.db, house.inventory, house.metrics, due.Due(order.order_id, 1.0), patience_s=600.0)
    assert (await house.order(order.order_id)).status is Status.FAILED
    assert await rows(house) == [("FAILED", "due", None)]


async def test_a_device_that_is_refused_to_its_face_is_not_told_again(house: House) -> None:
    await house.db.run("UPDATE smart_devices SET phone = $1", PHONE)
    order = await house.preview(milk=2)
    house.shelf.refuse_robots = True
    with pytest.raises(Conflict, match="no_robots"):
        await house.confirm(order.order_id)
    assert (await house.order(order.order_id)).status is Status.FAILED
    assert await rows(house) == []


async def test_an_alert_is_one_request_with_the_figures_and_a_key_of_its_own(
    house: House, provider: Provider, sms: Sms
) -> None:
    order_id = await ended(house)
    await relay(house, sms)
    await again(house, sms)
    (message,) = provider.taken
    assert (message.to, message.sender, message.key) == (PHONE, "+15550100", f"{order_id}-partial")
    assert message.body == f"mart-test: your order {str(order_id)[-12:]} is ready with 3 of 5 items. You pay 5.07 USD."
    assert base64.b64decode(message.authorization.removeprefix("Basic ")) == b"AC1:to/ken"
    assert await rows(house) == [("PARTIAL", "done", None)]


@pytest.mark.parametrize("status", [400, 404, 410, 422])
async def test_a_provider_that_says_never_is_not_asked_again(
    house: House, provider: Provider, sms: Sms, status: int
) -> None:
    await ended(house)
    provider.status = status
    await relay(house, sms)
    await again(house, sms)
    assert (provider.asked, await rows(house)) == (1, [("PARTIAL", "dead", "sms_refused")])


@pytest.mark.parametrize("status", [302, 401, 403, 408, 429, 500, 503])
async def test_a_provider_that_says_later_is_asked_again(
    house: House, provider: Provider, sms: Sms, status: int
) -> None:
    await ended(house)
    provider.status = status
    await relay(house, sms)
    assert await rows(house) == [("PARTIAL", "due", f"sms_deferred_{status}")]
    provider.status = 201
    await again(house, sms)
    assert (len(provider.taken), await rows(house)) == (1, [("PARTIAL", "done", None)])


@pytest.mark.parametrize(("told", "least_s", "most_s"), [("120", 120, 122), ("999999", 3_600, 3_602), ("soon", 0, 2)])
async def test_a_provider_that_says_when_is_left_alone_until_then(
    house: House, provider: Provider, sms: Sms, told: str, least_s: float, most_s: float
) -> None:
    await ended(house)
    provider.status, provider.headers = 429, {"Retry-After": told}
    await relay(house, sms)
    found = await house.db.row("SELECT extract(epoch FROM next_attempt_at - now())::float8 AS wait_s FROM alert_outbox")
    assert found is not None
    assert least_s - 1 < found["wait_s"] < most_s


async def test_a_silent_provider_and_a_missing_one_are_asked_again_with_the_same_key(
    house: House, provider: Provider, sms: Sms
) -> None:
    await ended(house)
    (port,) = free_ports(1)
    async with open_sms(f"http://127.0.0.1:{port}/x?from=+15550100") as missing:
        await relay(house, missing)
    assert await rows(house) == [("PARTIAL", "due", "sms_unavailable")]
    provider.silent = True
    async with open_sms(provider.url, timeout_s=0.2) as hasty:
        await again(house, hasty)
    assert await rows(house) == [("PARTIAL", "due", "sms_unavailable")]
    provider.silent = False
    await again(house, sms)
    assert (len(provider.taken), len(provider.keys)) == (2, 1)
    assert await rows(house) == [("PARTIAL", "done", None)]


async def test_an_alert_that_is_a_day_late_is_given_up(house: House, provider: Provider, sms: Sms) -> None:
    await ended(house)
    await house.db.run("UPDATE alert_outbox SET created_at = now() - interval '25 hours'")
    provider.status = 503
    await relay(house, sms)
    assert await rows(house) == [("PARTIAL", "dead", "gave_up")]


async def test_who_opts_out_before_it_is_sent_is_left_alone(house: House, provider: Provider, sms: Sms) -> None:
    await ended(house)
    await choose(house, Alerts.NONE)
    await relay(house, sms)
    assert (provider.asked, await rows(house)) == (0, [("PARTIAL", "done", "opted_out")])


@pytest.mark.parametrize("phone", ["5550177", "+0123456789", "+15550177\n", "+1555x", "+1234567890123456"])
async def test_a_number_that_is_none_is_buried_before_the_provider_sees_it(
    house: House, provider: Provider, sms: Sms, phone: str
) -> None:
    await ended(house, phone=phone)
    await relay(house, sms)
    assert (provider.asked, await rows(house)) == (0, [("PARTIAL", "dead", "bad_phone")])


async def test_no_device_hears_more_than_its_share_of_a_day_however_many_wait(
    house: House, provider: Provider, sms: Sms
) -> None:
    for _ in range(5):
        await ended(house)
    await relay(house, sms, Manners(cap_per_day=2))
    assert len(provider.taken) == 2
    assert sorted(why or "" for _, _, why in await rows(house)) == ["", "", "capped", "capped", "capped"]
    await house.db.run("UPDATE alert_outbox SET admitted_at = admitted_at - interval '25 hours'")
    await ended(house)
    await relay(house, sms, Manners(cap_per_day=2))
    assert len(provider.taken) == 3


async def test_an_alert_that_is_tried_again_counts_once(house: House, provider: Provider, sms: Sms) -> None:
    await ended(house)
    provider.status = 503
    for _ in range(3):
        await again(house, sms, Manners(cap_per_day=1))
    provider.status = 201
    await again(house, sms, Manners(cap_per_day=1))
    assert (len(provider.taken), await rows(house)) == (1, [("PARTIAL", "done", None)])


async def test_in_quiet_hours_alerts_wait_and_are_not_lost(house: House, provider: Provider, sms: Sms) -> None:
    await ended(house)
    await relay(house, sms, Manners(quiet=ALWAYS_QUIET))
    assert (provider.asked, await rows(house)) == (0, [("PARTIAL", "due", "quiet_hours")])
    await again(house, sms)
    assert (len(provider.taken), await rows(house)) == (1, [("PARTIAL", "done", None)])


async def test_without_a_provider_an_alert_is_a_line_without_a_number(
    house: House, capfd: pytest.CaptureFixture[str]
) -> None:
    order_id = await ended(house)
    async with open_sms("") as log:
        await relay(house, log)
    said = "".join(capfd.readouterr())
    assert "alert_was_due" in said
    assert str(order_id) in said
    assert PHONE not in said
    assert await rows(house) == [("PARTIAL", "done", "logged")]


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
async def test_the_audit_finds_an_alert_that_should_not_be(house: House, invariant: str, spoil: str, mend: str) -> None:
    await ended(house)
    await house.db.run(spoil)
    assert [one.name for one in (await audit(house.db)).invariants if one.violations] == [invariant]
    await house.db.run(mend)


async def test_what_becomes_of_alerts_is_counted(house: House, provider: Provider, sms: Sms) -> None:
    def counted(result: str) -> float:
        value: Any = DELIVERIES.labels("alert_outbox", result)._value.get()
        return float(value)

    before = {result: counted(result) for result in ("delivered", "deferred")}
    await ended(house)
    provider.status = 500
    await relay(house, sms)
    provider.status = 201
    await again(house, sms)
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
        (22, 7, "Europe/Berlin", "2026-03-28T21:00:00+00:00", timedelta(hours=8)),  # an hour is lost that night
        (22, 7, "Europe/Berlin", "2026-10-24T20:00:00+00:00", timedelta(hours=10)),  # and found again
        (1, 0, "UTC", "2026-03-02T01:00:00+00:00", timedelta(hours=23)),
    ],
)
def test_quiet_hours_end_when_the_clock_on_the_wall_says_so(
    start: int, end: int, zone: str, at: str, left: timedelta
) -> None:
    assert QuietHours(start, end, ZoneInfo(zone)).left_s(datetime.fromisoformat(at)) == left.total_seconds()
