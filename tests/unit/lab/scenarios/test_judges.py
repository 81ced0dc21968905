"""Each judge accepts what is right and finds each thing that is not, in answers recorded by hand."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from autogrocery.lab.scenarios import buyers, cancel_race, expiry_race, lost_commits, start_race, storm, webhooks
from autogrocery.lab.scenarios.buyers import Buyer, Sale
from autogrocery.lab.scenarios.cancel_race import Race, Races
from autogrocery.lab.scenarios.deadlocks import Jams
from autogrocery.lab.scenarios.deliveries import Reply
from autogrocery.lab.scenarios.doors import Answer, Said
from autogrocery.lab.scenarios.expiry_race import LastSecond, Window
from autogrocery.lab.scenarios.lost_commits import Loss, Losses
from autogrocery.lab.scenarios.storm import Storm, Storms
from autogrocery.lab.scenarios.webhooks import Case, Stories, Story
from tests.harness.recorded_answers import AT, WITHDRAWN, end, order, said

PREVIEW = said("preview", "201", order())
SHORT = said("preview", "409 insufficient_stock")
CONFIRMED = said("confirm", "200", order(status="PROCESSING"))
CANCELLED = said("cancel", "200", order(status="CANCELLED"))
SHARES = {("assignment-x", "robot-x")}

BOUGHT = Buyer((PREVIEW, CONFIRMED), (end("COMPLETED"),))
SALE = Sale({"a": 1, "b": 1}, {"a": 0, "b": 0}, [BOUGHT, Buyer((SHORT,))])


def test_a_fair_sale_is_accepted() -> None:
    assert buyers.judge(SALE) == []


def test_units_that_robots_gave_back_may_be_sold_again() -> None:
    failed = Buyer((PREVIEW, CONFIRMED), (end("FAILED"),))
    assert buyers.judge(replace(SALE, buyers=[failed, BOUGHT])) == []


@pytest.mark.parametrize(
    ("sale", "finding"),
    [
        (replace(SALE, buyers=[BOUGHT, BOUGHT], available={"a": -1, "b": -1}), "2 bought, with 1 units"),
        (replace(SALE, buyers=[Buyer((SHORT,))], available={"a": 1, "b": 1}), "0 bought, with 1 units"),
        (replace(SALE, available={"a": 1, "b": 0}), "a: 1 were stocked, 1 orders completed, 1 are available"),
        (replace(SALE, jams=Jams(1, 0)), "1 deadlocks and 0 lock timeouts in the logs"),
        (replace(SALE, jams=Jams(0, 3)), "0 deadlocks and 3 lock timeouts in the logs"),
        (
            replace(SALE, buyers=[BOUGHT, Buyer((said("preview", "500 internal_error"),))]),
            "preview: 500 internal_error",
        ),
        (replace(SALE, buyers=[BOUGHT, Buyer((said("preview", "503 busy"),))]), "no definite answer in 1 attempts"),
        (
            replace(SALE, buyers=[BOUGHT, Buyer((said("preview", "404 not_found"),))]),
            "404 not_found is no answer to this",
        ),
        (
            replace(SALE, buyers=[BOUGHT, Buyer((said("preview", "503 x", detail="DeadlockDetectedError"), SHORT))]),
            "a deadlock was told",
        ),
        (replace(SALE, buyers=[Buyer(BOUGHT.calls, (end("PROCESSING"),))]), "order o1: still PROCESSING"),
        (replace(SALE, buyers=[Buyer(BOUGHT.calls, (end("EXPIRED"),))]), "confirm was told 200, and it ended EXPIRED"),
        (
            replace(SALE, buyers=[BOUGHT, Buyer((PREVIEW, said("confirm", "410 hold_expired")))]),
            "a buyer went away with 410 hold_expired",
        ),
    ],
)
def test_a_wrong_sale_is_found(sale: Sale, finding: str) -> None:
    assert finding in "; ".join(buyers.judge(sale))


TOO_LATE = Race(PREVIEW, CONFIRMED, said("cancel", "409 too_late_to_cancel"), end("COMPLETED"))
WITHDREW = Race(PREVIEW, CONFIRMED, CANCELLED, end("CANCELLED", path=WITHDRAWN))
REFUSED = Race(PREVIEW, said("confirm", "409 order_cancelled"), CANCELLED, end("CANCELLED"))


def races(*run: Race, left: int) -> Races:
    return Races({"a": 9}, {"a": left}, list(run))


def test_races_with_one_truth_are_accepted() -> None:
    assert cancel_race.judge(races(TOO_LATE, WITHDREW, REFUSED, left=8)) == []


def test_a_refusal_overtaken_by_the_confirms_own_first_attempt_is_no_violation() -> None:
    twice = said("confirm", "409 order_cancelled", before=("0",))
    assert cancel_race.judge(races(replace(TOO_LATE, confirm=twice), left=8)) == []


@pytest.mark.parametrize(
    ("race", "left", "finding"),
    [
        (
            replace(WITHDREW, cancel=TOO_LATE.cancel),
            9,
            "cancel was told 409 too_late_to_cancel, and it ended CANCELLED",
        ),
        (replace(WITHDREW, cancel=TOO_LATE.cancel), 9, "then CANCELLED without a cancel that was told 200"),
        (replace(TOO_LATE, cancel=CANCELLED), 8, "cancel was told 200, and it ended COMPLETED"),
        (replace(REFUSED, end=end("COMPLETED")), 8, "confirm was told 409 order_cancelled, and it ended COMPLETED"),
        (replace(WITHDREW, end=end("CANCELLED")), 9, "confirm was told 200, and it was never PROCESSING"),
        (replace(WITHDREW, end=end("CANCELLED", path=("PREVIEWED", "COMPLETED", "CANCELLED"))), 9, "its history is"),
        (replace(WITHDREW, end=end("PREVIEWED")), 9, "still PREVIEWED"),
        (WITHDREW, 8, "0 orders completed, 8 are available"),
        (replace(WITHDREW, confirm=said("confirm", "202")), 9, "no definite answer"),
        (Race(said("preview", "422 unknown_sku")), 9, "422 unknown_sku is no answer"),
    ],
)
def test_a_race_with_two_truths_is_found(race: Race, left: int, finding: str) -> None:
    assert finding in "; ".join(cancel_race.judge(races(race, left=left)))


STARTED = start_race.Race(PREVIEW, CONFIRMED, TOO_LATE.cancel, TOO_LATE.cancel, end("COMPLETED"), "COMPLETED", {"a": 1})
RECALLED = start_race.Race(PREVIEW, CONFIRMED, CANCELLED, CANCELLED, end("CANCELLED", path=WITHDRAWN), "RELEASED")
NOT_SENT = start_race.Race(PREVIEW, said("confirm", "409 no_robots"), end=end("FAILED", path=("PREVIEWED", "FAILED")))


def starts(*run: start_race.Race, left: int) -> start_race.Races:
    return start_race.Races({"a": 9}, {"a": left}, list(run))


def test_cancels_around_the_first_start_are_accepted() -> None:
    assert start_race.judge(starts(STARTED, RECALLED, NOT_SENT, left=8)) == []


def test_a_pick_of_which_nothing_was_there_is_too_late_to_cancel_and_costs_nothing() -> None:
    failed = replace(
        STARTED, end=end("FAILED", path=("PREVIEWED", "PROCESSING", "FAILED")), register="FAILED", picked={"a": 0}
    )
    assert start_race.judge(starts(failed, left=9)) == []


@pytest.mark.parametrize(
    ("race", "left", "finding"),
    [
        (replace(RECALLED, register="COMPLETED"), 9, "it ended CANCELLED, and inventory says COMPLETED"),
        (replace(STARTED, register="RELEASED"), 8, "it ended COMPLETED, and inventory says RELEASED"),
        (replace(STARTED, picked={"a": 0}), 8, "{'a': 1} were charged, and robots picked {}"),
        (replace(RECALLED, picked={"a": 1}), 9, "{} were charged, and robots picked {'a': 1}"),
        (RECALLED, 8, "a: 9 were stocked, 0 picked, 8 are available"),
        (STARTED, 9, "a: 9 were stocked, 1 picked, 9 are available"),
        (replace(STARTED, again=CANCELLED), 8, "a cancel was told 409 too_late_to_cancel, and asked again 200"),
        (replace(STARTED, cancel=CANCELLED, again=CANCELLED), 8, "cancel was told 200, and it ended COMPLETED"),
        (replace(STARTED, cancel=said("cancel", "202")), 8, "no definite answer"),
        (replace(STARTED, cancel=said("cancel", "410 hold_expired")), 8, "410 hold_expired is no answer"),
        (replace(RECALLED, end=end("CANCELLED")), 9, "confirm was told 200, and it was never PROCESSING"),
        (replace(STARTED, end=end("PROCESSING")), 9, "still PROCESSING"),
        (start_race.Race(said("preview", "422 unknown_sku")), 9, "422 unknown_sku is no answer"),
    ],
)
def test_a_start_and_a_cancel_with_two_truths_are_found(race: start_race.Race, left: int, finding: str) -> None:
    assert finding in "; ".join(start_race.judge(starts(race, left=left)))


def test_half_of_the_cancels_are_made_to_win() -> None:
    lead = start_race.Lead()
    lead.learn(CANCELLED)
    longer_s = lead.wait_s
    lead.learn(said("cancel", "409 too_late_to_cancel"))
    assert longer_s > start_race.FIRST_LEAD_S == pytest.approx(lead.wait_s)


IN_TIME = LastSecond(PREVIEW, -0.01, CONFIRMED, end("COMPLETED"))
LATE = LastSecond(PREVIEW, 0.01, said("confirm", "410 hold_expired"), end("EXPIRED"))


def test_confirms_around_the_end_of_a_quote_are_accepted() -> None:
    assert expiry_race.judge(Window({"a": 9}, {"a": 8}, [IN_TIME, LATE])) == []


def early() -> LastSecond:
    expired = end("EXPIRED")
    assert expired.order is not None
    return replace(LATE, end=replace(expired, order=replace(expired.order, finished_at=AT + timedelta(seconds=5))))


@pytest.mark.parametrize(
    ("quote", "finding"),
    [
        (replace(IN_TIME, end=end("EXPIRED")), "confirm was told 200, and it ended EXPIRED"),
        (replace(LATE, end=end("COMPLETED")), "confirm was told 410 hold_expired, and it ended COMPLETED"),
        (replace(LATE, end=end("PREVIEWED")), "still PREVIEWED"),
        (early(), "expired before its time"),
        (LATE, "0 orders completed, 8 are available"),
    ],
)
def test_a_wrong_end_of_a_quote_is_found(quote: LastSecond, finding: str) -> None:
    assert finding in "; ".join(expiry_race.judge(Window({"a": 9}, {"a": 8}, [quote])))


def test_a_410_after_a_lost_attempt_that_came_through_is_no_violation() -> None:
    overtaken = replace(LATE, confirm=said("confirm", "410 hold_expired", before=("503 x",)), end=end("COMPLETED"))
    assert expiry_race.judge(Window({"a": 9}, {"a": 8}, [overtaken])) == []


def confirms(*robots: str) -> tuple[Said, ...]:
    return tuple(said("confirm", "200", order(status="PROCESSING", robots=letters)) for letters in robots)


STORM = Storm(PREVIEW, confirms("x", "x"), end("COMPLETED"), SHARES)


def test_a_storm_with_one_dispatch_is_accepted() -> None:
    waited = said("confirm", "200", order(status="PROCESSING", robots="x"), before=("202", "503 x", "429 x"))
    assert storm.judge(Storms({"a": 9}, {"a": 8}, [replace(STORM, confirms=(*STORM.confirms, waited))])) == []


@pytest.mark.parametrize(
    ("seen", "left", "finding"),
    [
        (replace(STORM, confirms=confirms("x", "y")), 8, "up to 1 others were told"),
        (replace(STORM, confirms=confirms("x", "")), 8, "1 assignments for 1 aisles"),
        (replace(STORM, dispatch=SHARES | {("assignment-y", "robot-y")}), 8, "2 assignments for 1 aisles"),
        (STORM, 7, "9 stocked, 1 picked, 7 are available"),
        (
            replace(STORM, end=end("COMPLETED", path=("PREVIEWED", "PROCESSING", "PROCESSING", "COMPLETED"))),
            8,
            "2 dispatches in its history",
        ),
        (replace(STORM, confirms=(said("confirm", "409 no_robots"),)), 8, "409 no_robots is no answer"),
    ],
)
def test_a_second_dispatch_is_found(seen: Storm, left: int, finding: str) -> None:
    assert finding in "; ".join(storm.judge(Storms({"a": 9}, {"a": left}, [seen])))


def case(expected: frozenset[str], *replies: Reply) -> Case:
    return Case("some", expected, replies)


APPLIED, KNOWN = Reply(0, 200, applied=True, status="COMPLETED"), Reply(1, 200, status="COMPLETED")
DONE = Story(
    (PREVIEW, CONFIRMED),
    (case(webhooks.ONCE, APPLIED, KNOWN), case(webhooks.DIFFERS, Reply(0, 409, "webhook_differs"))),
    end("COMPLETED"),
    end("COMPLETED"),
)


def test_webhooks_that_count_once_are_accepted() -> None:
    assert webhooks.judge(Stories({"a": 9}, {"a": 8}, [DONE])) == []


@pytest.mark.parametrize(
    ("story", "finding"),
    [
        (replace(DONE, cases=(case(webhooks.ONCE, APPLIED, APPLIED),)), "applied 2 times"),
        (replace(DONE, cases=(case(webhooks.KNOWN, APPLIED),)), "some: 200 applied from gateway 1, expected 200 known"),
        (replace(DONE, cases=(case(webhooks.FORGED, KNOWN),)), "some: 200 known from gateway 2"),
        (replace(DONE, cases=(case(webhooks.FORGED, Reply(0, 403, "forbidden")),)), "some: 403 forbidden"),
        (replace(DONE, cases=(case(webhooks.DIFFERS, KNOWN),)), "some: 200 known"),
        (replace(DONE, cases=(case(webhooks.NOT_DISPATCHED, APPLIED),)), "some: 200 applied"),
        (replace(DONE, cases=(case(webhooks.KNOWN, replace(KNOWN, status="FAILED")),)), "were told ['FAILED']"),
        (replace(DONE, after=end("FAILED")), "COMPLETED, then changed to FAILED"),
        (replace(DONE, calls=(PREVIEW, said("confirm", "409 key_used"))), "409 key_used is no answer"),
        (replace(DONE, end=end("PROCESSING"), after=end("PROCESSING")), "still PROCESSING"),
    ],
)
def test_a_webhook_that_counts_when_it_must_not_is_found(story: Story, finding: str) -> None:
    assert finding in "; ".join(webhooks.judge(Stories({"a": 9}, {"a": 8}, [story])))


SILENCE = said("confirm", "503 database_unavailable")
LOST = Loss(
    "confirm", SILENCE, "PROCESSING", confirms("x", "x"), frozenset({"o1"}), end("COMPLETED"), frozenset(SHARES)
)
LOST_PREVIEW = Loss(
    "preview", Said("preview", (Answer(0, 0),)), "PREVIEWED", (PREVIEW, PREVIEW), frozenset({"o1"}), end("CANCELLED")
)


def test_lost_commits_that_lead_to_one_order_are_accepted() -> None:
    assert lost_commits.judge(Losses({"a": 9}, {"a": 8}, [LOST, LOST_PREVIEW])) == []


@pytest.mark.parametrize(
    ("loss", "left", "finding"),
    [
        (replace(LOST, order_ids=frozenset({"o1", "o2"})), 8, "confirm: 2 orders where there should be one"),
        (
            replace(LOST_PREVIEW, repeated=(PREVIEW, said("preview", "201", order("o2")))),
            9,
            "preview: 2 orders where there should be one",
        ),
        (replace(LOST_PREVIEW, repeated=(said("preview", "409 key_used"),)), 9, "409 key_used is no answer"),
        (replace(LOST, repeated=confirms("x", "y")), 8, "dispatched 1 times"),
        (
            replace(LOST, end=end("COMPLETED", path=("PREVIEWED", "PROCESSING", "PROCESSING", "COMPLETED"))),
            8,
            "dispatched 2 times",
        ),
        (
            replace(LOST, first=said("confirm", "500 internal_error")),
            8,
            "500 internal_error while the database was silent",
        ),
        (replace(LOST, seen="PREVIEWED"), 8, "nothing was tried"),
        (LOST, 7, "7 are available"),
        (replace(LOST, end=end("FAILED", path=("PREVIEWED", "EXPIRED", "FAILED"))), 9, "its history is"),
    ],
)
def test_a_lost_commit_that_leads_elsewhere_is_found(loss: Loss, left: int, finding: str) -> None:
    assert finding in "; ".join(lost_commits.judge(Losses({"a": 9}, {"a": left}, [loss])))
