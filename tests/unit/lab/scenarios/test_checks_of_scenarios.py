"""Each scenario's check accepts correct answers and finds each wrong one, in calls recorded by hand."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from autogrocery.lab.scenarios import (
    cancel_race,
    concurrent_confirms,
    expiry_race,
    lost_commits,
    oversell,
    start_race,
    webhooks,
)
from autogrocery.lab.scenarios.cancel_race import Race, Races
from autogrocery.lab.scenarios.concurrent_confirms import ConfirmRound, ConfirmRounds
from autogrocery.lab.scenarios.device import Attempt, DeviceCall
from autogrocery.lab.scenarios.expiry_race import TimedConfirm, TimedConfirms
from autogrocery.lab.scenarios.fresh_products import Assignment
from autogrocery.lab.scenarios.lock_conflicts import LockConflicts
from autogrocery.lab.scenarios.lost_commits import LostCall, LostCalls
from autogrocery.lab.scenarios.oversell import Buyer, Sale
from autogrocery.lab.scenarios.webhook_sender import WebhookReply
from autogrocery.lab.scenarios.webhooks import Case, WebhookTrial, WebhookTrials
from tests.harness.recorded_answers import AT, WITHDRAWN, end, make_call, order

PREVIEW = make_call("preview", "201", order())
SHORT = make_call("preview", "409 insufficient_stock")
CONFIRMED = make_call("confirm", "200", order(status="PROCESSING"))
CANCELLED = make_call("cancel", "200", order(status="CANCELLED"))
ASSIGNMENTS = frozenset({Assignment("assignment-x", "robot-x")})

BOUGHT = Buyer((PREVIEW, CONFIRMED), (end("COMPLETED"),))
SALE = Sale({"a": 1, "b": 1}, {"a": 0, "b": 0}, [BOUGHT, Buyer((SHORT,))])


def test_sale_of_exactly_the_stocked_units_is_accepted() -> None:
    assert oversell.check(SALE) == []


def test_units_that_robots_gave_back_may_be_sold_again() -> None:
    failed = Buyer((PREVIEW, CONFIRMED), (end("FAILED"),))
    assert oversell.check(replace(SALE, buyers=[failed, BOUGHT])) == []


@pytest.mark.parametrize(
    ("sale", "finding"),
    [
        (replace(SALE, buyers=[BOUGHT, BOUGHT], available={"a": -1, "b": -1}), "2 bought, with 1 units"),
        (replace(SALE, buyers=[Buyer((SHORT,))], available={"a": 1, "b": 1}), "0 bought, with 1 units"),
        (replace(SALE, available={"a": 1, "b": 0}), "a: 1 were stocked, 1 orders completed, 1 are available"),
        (replace(SALE, lock_conflicts=LockConflicts(1, 0)), "1 deadlocks and 0 lock timeouts in the logs"),
        (replace(SALE, lock_conflicts=LockConflicts(0, 3)), "0 deadlocks and 3 lock timeouts in the logs"),
        (
            replace(SALE, buyers=[BOUGHT, Buyer((make_call("preview", "500 internal_error"),))]),
            "preview: 500 internal_error",
        ),
        (
            replace(SALE, buyers=[BOUGHT, Buyer((make_call("preview", "503 busy"),))]),
            "no definite answer in 1 attempts",
        ),
        (
            replace(SALE, buyers=[BOUGHT, Buyer((make_call("preview", "404 not_found"),))]),
            "404 not_found is not an expected answer",
        ),
        (
            replace(
                SALE, buyers=[BOUGHT, Buyer((make_call("preview", "503 x", detail="DeadlockDetectedError"), SHORT))]
            ),
            "reports a deadlock",
        ),
        (replace(SALE, buyers=[Buyer(BOUGHT.calls, (end("PROCESSING"),))]), "order o1: still PROCESSING"),
        (
            replace(SALE, buyers=[Buyer(BOUGHT.calls, (end("EXPIRED"),))]),
            "confirm was answered 200, and it ended EXPIRED",
        ),
        (
            replace(SALE, buyers=[BOUGHT, Buyer((PREVIEW, make_call("confirm", "410 hold_expired")))]),
            "a buyer ended with 410 hold_expired",
        ),
    ],
)
def test_wrong_sale_is_found(sale: Sale, finding: str) -> None:
    assert finding in "; ".join(oversell.check(sale))


TOO_LATE = Race(PREVIEW, CONFIRMED, make_call("cancel", "409 too_late_to_cancel"), end("COMPLETED"))
WITHDREW = Race(PREVIEW, CONFIRMED, CANCELLED, end("CANCELLED", path=WITHDRAWN))
REFUSED = Race(PREVIEW, make_call("confirm", "409 order_cancelled"), CANCELLED, end("CANCELLED"))


def races(*run: Race, left: int) -> Races:
    return Races({"a": 9}, {"a": left}, list(run))


def test_races_whose_answers_agree_with_the_end_are_accepted() -> None:
    assert cancel_race.check(races(TOO_LATE, WITHDREW, REFUSED, left=8)) == []


def test_refusal_overtaken_by_the_confirms_first_attempt_is_no_violation() -> None:
    twice = make_call("confirm", "409 order_cancelled", before=("0",))
    assert cancel_race.check(races(replace(TOO_LATE, confirm=twice), left=8)) == []


@pytest.mark.parametrize(
    ("race", "left", "finding"),
    [
        (
            replace(WITHDREW, cancel=TOO_LATE.cancel),
            9,
            "cancel was answered 409 too_late_to_cancel, and it ended CANCELLED",
        ),
        (replace(WITHDREW, cancel=TOO_LATE.cancel), 9, "then CANCELLED without a cancel that was answered 200"),
        (replace(TOO_LATE, cancel=CANCELLED), 8, "cancel was answered 200, and it ended COMPLETED"),
        (replace(REFUSED, end=end("COMPLETED")), 8, "confirm was answered 409 order_cancelled, and it ended COMPLETED"),
        (replace(WITHDREW, end=end("CANCELLED")), 9, "confirm was answered 200, and it was never PROCESSING"),
        (replace(WITHDREW, end=end("CANCELLED", path=("PREVIEWED", "COMPLETED", "CANCELLED"))), 9, "its history is"),
        (replace(WITHDREW, end=end("PREVIEWED")), 9, "still PREVIEWED"),
        (WITHDREW, 8, "0 orders completed, 8 are available"),
        (replace(WITHDREW, confirm=make_call("confirm", "202")), 9, "no definite answer"),
        (Race(make_call("preview", "422 unknown_sku")), 9, "422 unknown_sku is not an expected answer"),
    ],
)
def test_race_whose_answers_contradict_the_end_is_found(race: Race, left: int, finding: str) -> None:
    assert finding in "; ".join(cancel_race.check(races(race, left=left)))


STARTED = start_race.Race(PREVIEW, CONFIRMED, TOO_LATE.cancel, TOO_LATE.cancel, end("COMPLETED"), "COMPLETED", {"a": 1})
RECALLED = start_race.Race(PREVIEW, CONFIRMED, CANCELLED, CANCELLED, end("CANCELLED", path=WITHDRAWN), "RELEASED")
NOT_SENT = start_race.Race(
    PREVIEW, make_call("confirm", "409 no_robots"), end=end("FAILED", path=("PREVIEWED", "FAILED"))
)


def starts(*run: start_race.Race, left: int) -> start_race.Races:
    return start_race.Races({"a": 9}, {"a": left}, list(run))


def test_cancels_around_the_first_start_are_accepted() -> None:
    assert start_race.check(starts(STARTED, RECALLED, NOT_SENT, left=8)) == []


def test_cancel_of_a_failed_pick_is_too_late_and_charges_nothing() -> None:
    failed = replace(
        STARTED, end=end("FAILED", path=("PREVIEWED", "PROCESSING", "FAILED")), register="FAILED", picked={"a": 0}
    )
    assert start_race.check(starts(failed, left=9)) == []


@pytest.mark.parametrize(
    ("race", "left", "finding"),
    [
        (replace(RECALLED, register="COMPLETED"), 9, "it ended CANCELLED, and inventory has COMPLETED"),
        (replace(STARTED, register="RELEASED"), 8, "it ended COMPLETED, and inventory has RELEASED"),
        (replace(STARTED, picked={"a": 0}), 8, "{'a': 1} were charged, and robots picked {}"),
        (replace(RECALLED, picked={"a": 1}), 9, "{} were charged, and robots picked {'a': 1}"),
        (RECALLED, 8, "a: 9 were stocked, 0 picked, 8 are available"),
        (STARTED, 9, "a: 9 were stocked, 1 picked, 9 are available"),
        (
            replace(STARTED, second_cancel=CANCELLED),
            8,
            "a cancel was answered 409 too_late_to_cancel, and when repeated 200",
        ),
        (
            replace(STARTED, cancel=CANCELLED, second_cancel=CANCELLED),
            8,
            "cancel was answered 200, and it ended COMPLETED",
        ),
        (replace(STARTED, cancel=make_call("cancel", "202")), 8, "no definite answer"),
        (
            replace(STARTED, cancel=make_call("cancel", "410 hold_expired")),
            8,
            "410 hold_expired is not an expected answer",
        ),
        (replace(RECALLED, end=end("CANCELLED")), 9, "confirm was answered 200, and it was never PROCESSING"),
        (replace(STARTED, end=end("PROCESSING")), 9, "still PROCESSING"),
        (start_race.Race(make_call("preview", "422 unknown_sku")), 9, "422 unknown_sku is not an expected answer"),
    ],
)
def test_cancel_and_start_that_disagree_are_found(race: start_race.Race, left: int, finding: str) -> None:
    assert finding in "; ".join(start_race.check(starts(race, left=left)))


def test_lead_grows_after_a_successful_cancel_and_shrinks_after_a_late_one() -> None:
    lead = start_race.Lead()
    lead.adjust(CANCELLED)
    longer_s = lead.wait_s
    lead.adjust(make_call("cancel", "409 too_late_to_cancel"))
    assert longer_s > start_race.FIRST_LEAD_S == pytest.approx(lead.wait_s)


IN_TIME = TimedConfirm(PREVIEW, -0.01, CONFIRMED, end("COMPLETED"))
LATE = TimedConfirm(PREVIEW, 0.01, make_call("confirm", "410 hold_expired"), end("EXPIRED"))


def test_correct_confirms_around_expiry_are_accepted() -> None:
    assert expiry_race.check(TimedConfirms({"a": 9}, {"a": 8}, [IN_TIME, LATE])) == []


def early() -> TimedConfirm:
    expired = end("EXPIRED")
    assert expired.order is not None
    return replace(LATE, end=replace(expired, order=replace(expired.order, finished_at=AT + timedelta(seconds=5))))


@pytest.mark.parametrize(
    ("quote", "finding"),
    [
        (replace(IN_TIME, end=end("EXPIRED")), "confirm was answered 200, and it ended EXPIRED"),
        (replace(LATE, end=end("COMPLETED")), "confirm was answered 410 hold_expired, and it ended COMPLETED"),
        (replace(LATE, end=end("PREVIEWED")), "still PREVIEWED"),
        (early(), "expired too early"),
        (LATE, "0 orders completed, 8 are available"),
    ],
)
def test_wrong_confirm_around_expiry_is_found(quote: TimedConfirm, finding: str) -> None:
    assert finding in "; ".join(expiry_race.check(TimedConfirms({"a": 9}, {"a": 8}, [quote])))


def test_410_after_a_lost_attempt_that_succeeded_is_no_violation() -> None:
    overtaken = replace(LATE, confirm=make_call("confirm", "410 hold_expired", before=("503 x",)), end=end("COMPLETED"))
    assert expiry_race.check(TimedConfirms({"a": 9}, {"a": 8}, [overtaken])) == []


def confirms(*robots: str) -> tuple[DeviceCall, ...]:
    return tuple(make_call("confirm", "200", order(status="PROCESSING", robots=letters)) for letters in robots)


ROUND = ConfirmRound(PREVIEW, confirms("x", "x"), end("COMPLETED"), ASSIGNMENTS)


def test_concurrent_confirms_with_one_dispatch_are_accepted() -> None:
    waited = make_call("confirm", "200", order(status="PROCESSING", robots="x"), before=("202", "503 x", "429 x"))
    assert (
        concurrent_confirms.check(
            ConfirmRounds({"a": 9}, {"a": 8}, [replace(ROUND, confirms=(*ROUND.confirms, waited))])
        )
        == []
    )


@pytest.mark.parametrize(
    ("seen", "left", "finding"),
    [
        (replace(ROUND, confirms=confirms("x", "y")), 8, "up to 1 others were returned"),
        (replace(ROUND, confirms=confirms("x", "")), 8, "1 assignments for 1 aisles"),
        (
            replace(ROUND, dispatch=ASSIGNMENTS | {Assignment("assignment-y", "robot-y")}),
            8,
            "2 assignments for 1 aisles",
        ),
        (ROUND, 7, "9 stocked, 1 picked, 7 are available"),
        (
            replace(ROUND, end=end("COMPLETED", path=("PREVIEWED", "PROCESSING", "PROCESSING", "COMPLETED"))),
            8,
            "2 dispatches in its history",
        ),
        (
            replace(ROUND, confirms=(make_call("confirm", "409 no_robots"),)),
            8,
            "409 no_robots is not an expected answer",
        ),
    ],
)
def test_second_dispatch_is_found(seen: ConfirmRound, left: int, finding: str) -> None:
    assert finding in "; ".join(concurrent_confirms.check(ConfirmRounds({"a": 9}, {"a": left}, [seen])))


def case(expected: frozenset[str], *replies: WebhookReply) -> Case:
    return Case("some", expected, replies)


APPLIED, DUPLICATE = WebhookReply(0, 200, applied=True, status="COMPLETED"), WebhookReply(1, 200, status="COMPLETED")
DONE = WebhookTrial(
    (PREVIEW, CONFIRMED),
    (case(webhooks.ONCE, APPLIED, DUPLICATE), case(webhooks.DIFFERS, WebhookReply(0, 409, "webhook_differs"))),
    end("COMPLETED"),
    end("COMPLETED"),
)


def test_webhooks_applied_once_are_accepted() -> None:
    assert webhooks.check(WebhookTrials({"a": 9}, {"a": 8}, [DONE])) == []


@pytest.mark.parametrize(
    ("trial", "finding"),
    [
        (replace(DONE, cases=(case(webhooks.ONCE, APPLIED, APPLIED),)), "applied 2 times"),
        (
            replace(DONE, cases=(case(webhooks.DUPLICATE, APPLIED),)),
            "some: 200 applied from gateway 1, expected 200 known",
        ),
        (replace(DONE, cases=(case(webhooks.FORGED, DUPLICATE),)), "some: 200 known from gateway 2"),
        (replace(DONE, cases=(case(webhooks.FORGED, WebhookReply(0, 403, "forbidden")),)), "some: 403 forbidden"),
        (replace(DONE, cases=(case(webhooks.DIFFERS, DUPLICATE),)), "some: 200 known"),
        (replace(DONE, cases=(case(webhooks.NOT_DISPATCHED, APPLIED),)), "some: 200 applied"),
        (
            replace(DONE, cases=(case(webhooks.DUPLICATE, replace(DUPLICATE, status="FAILED")),)),
            "were answered ['FAILED']",
        ),
        (replace(DONE, after=end("FAILED")), "COMPLETED, then changed to FAILED"),
        (
            replace(DONE, calls=(PREVIEW, make_call("confirm", "409 key_used"))),
            "409 key_used is not an expected answer",
        ),
        (replace(DONE, end=end("PROCESSING"), after=end("PROCESSING")), "still PROCESSING"),
    ],
)
def test_webhook_applied_wrongly_is_found(trial: WebhookTrial, finding: str) -> None:
    assert finding in "; ".join(webhooks.check(WebhookTrials({"a": 9}, {"a": 8}, [trial])))


SILENCE = make_call("confirm", "503 database_unavailable")
PLAY_ERRORS = LostCall(
    "confirm", SILENCE, "PROCESSING", confirms("x", "x"), frozenset({"o1"}), end("COMPLETED"), ASSIGNMENTS
)
LOST_PREVIEW = LostCall(
    "preview",
    DeviceCall("preview", (Attempt(0, 0),)),
    "PREVIEWED",
    (PREVIEW, PREVIEW),
    frozenset({"o1"}),
    end("CANCELLED"),
)


def test_lost_commits_with_one_order_are_accepted() -> None:
    assert lost_commits.check(LostCalls({"a": 9}, {"a": 8}, [PLAY_ERRORS, LOST_PREVIEW])) == []


@pytest.mark.parametrize(
    ("lost_call", "left", "finding"),
    [
        (replace(PLAY_ERRORS, order_ids=frozenset({"o1", "o2"})), 8, "confirm: 2 orders where there should be one"),
        (
            replace(LOST_PREVIEW, repeated=(PREVIEW, make_call("preview", "201", order("o2")))),
            9,
            "preview: 2 orders where there should be one",
        ),
        (
            replace(LOST_PREVIEW, repeated=(make_call("preview", "409 key_used"),)),
            9,
            "409 key_used is not an expected answer",
        ),
        (replace(PLAY_ERRORS, repeated=confirms("x", "y")), 8, "dispatched 1 times"),
        (
            replace(PLAY_ERRORS, end=end("COMPLETED", path=("PREVIEWED", "PROCESSING", "PROCESSING", "COMPLETED"))),
            8,
            "dispatched 2 times",
        ),
        (
            replace(PLAY_ERRORS, first=make_call("confirm", "500 internal_error")),
            8,
            "500 internal_error while replies were dropped",
        ),
        (replace(PLAY_ERRORS, seen="PREVIEWED"), 8, "nothing was tested"),
        (PLAY_ERRORS, 7, "7 are available"),
        (replace(PLAY_ERRORS, end=end("FAILED", path=("PREVIEWED", "EXPIRED", "FAILED"))), 9, "its history is"),
    ],
)
def test_lost_commit_with_another_result_is_found(lost_call: LostCall, left: int, finding: str) -> None:
    assert finding in "; ".join(lost_commits.check(LostCalls({"a": 9}, {"a": left}, [lost_call])))
