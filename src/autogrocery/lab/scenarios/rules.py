"""Rules that hold for any order in any scenario: pure functions of recorded calls, shared by the scenarios' checks."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from autogrocery.client import TERMINAL
from autogrocery.lab.replay.checks import EDGES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from autogrocery.lab.scenarios.device import DeviceCall, OrderEnd

PERMITTED: Final = frozenset(
    {0, 429, 503}
)  # the only statuses beside definite answers and 202 on a network without faults
SERVER_ERROR: Final = 500
DEADLOCK: Final = "deadlock"
IN_DOUBT_AFTER_S: Final = 1.9  # a call to inventory has 2 s; a confirm that took less was never in doubt

# The statuses that an order may end in after a definite answer, by step and outcome:
# docs/CONTRACT.md#confirm-and-cancel
STATUSES_AFTER: Final[dict[tuple[str, str], frozenset[str]]] = {
    ("confirm", "200"): frozenset({"COMPLETED", "FAILED", "CANCELLED"}),
    ("confirm", "409 order_cancelled"): frozenset({"CANCELLED"}),
    ("confirm", "410 hold_expired"): frozenset({"EXPIRED"}),
    ("confirm", "409 no_robots"): frozenset({"FAILED"}),
    ("cancel", "200"): frozenset({"CANCELLED"}),
    ("cancel", "409 too_late_to_cancel"): frozenset({"COMPLETED", "FAILED"}),
    ("cancel", "410 hold_expired"): frozenset({"EXPIRED"}),
}


def unexpected_answers(calls: Iterable[DeviceCall], expected: Collection[str]) -> list[str]:
    """Return a finding for each call whose outcome is not in `expected`, and for each attempt with a server error."""
    found = []
    for call in calls:
        for attempt in call.attempts:
            if DEADLOCK in attempt.detail.lower():
                found.append(f"{call.step}: the answer reports a deadlock: {attempt.detail}")
            elif attempt.http_status >= SERVER_ERROR and attempt.http_status not in PERMITTED:
                found.append(f"{call.step}: {attempt.outcome}: {attempt.detail}")
        if not call.last.definite:
            found.append(
                f"{call.step}: no definite answer in {len(call.attempts)} attempts, the last was {call.outcome}"
            )
        elif call.outcome not in expected and call.last.http_status < SERVER_ERROR:
            found.append(f"{call.step}: {call.outcome} is not an expected answer: {call.last.detail}")
    return found


def contradictions(call: DeviceCall, end: OrderEnd, *, cancel_succeeded: bool = False) -> list[str]:
    """Return where the call's answer contradicts the order's end.

    `cancel_succeeded` says that a cancel of this order was answered with 200.
    """
    allowed = STATUSES_AFTER.get((call.step, call.outcome))
    if allowed is None or end.status not in TERMINAL or overtaken(call, end):
        return []  # `unfinished_orders` reports an order that is not terminal
    found = []
    if end.status not in allowed:
        found.append(f"order {end.order_id}: {call.step} was answered {call.outcome}, and it ended {end.status}")
    if (call.step, call.outcome) == ("confirm", "200"):
        if end.status == "CANCELLED" and not cancel_succeeded:
            found.append(
                f"order {end.order_id}: confirm was answered 200, then CANCELLED without a cancel that was answered 200"
            )
        if "PROCESSING" not in [event.to_status for event in end.events]:
            found.append(f"order {end.order_id}: confirm was answered 200, and it was never PROCESSING")
    answered = call.last.order
    if answered is not None and answered.status in TERMINAL and answered.status != end.status:
        found.append(f"order {end.order_id}: {call.step} returned {answered.status}, and it ended {end.status}")
    return found


def overtaken(call: DeviceCall, end: OrderEnd) -> bool:
    """Return whether a refusal was overtaken by an earlier attempt of the same confirm: a documented limit.

    A confirm is refused while another one's dispatch may still succeed (docs/CONTRACT.md#confirm-and-cancel): the
    status is right, the refusal was not. It takes a repeated confirm, or one whose call to inventory may have been in
    doubt.
    """
    refused = call.step == "confirm" and call.last.definite and call.last.code in {"order_cancelled", "hold_expired"}
    may_be = len(call.attempts) > 1 or call.last.took_s >= IN_DOUBT_AFTER_S
    return refused and may_be and "PROCESSING" in [event.to_status for event in end.events]


def unfinished_orders(ends: Iterable[OrderEnd]) -> list[str]:
    """Return a finding for each order that is not terminal or whose history is no path from PREVIEWED to its status."""
    found = []
    for end in ends:
        if end.status not in TERMINAL:
            found.append(f"order {end.order_id}: still {end.status}")
            continue
        path = [event.to_status for event in end.events]
        whole = bool(path) and path[0] == "PREVIEWED" and path[-1] == end.status
        if not whole or any(after not in EDGES[before] for before, after in pairwise(path)):
            found.append(f"order {end.order_id}: its history is {path}, its status {end.status}")
    return found


def stock_mismatches(stocked: Mapping[str, int], available: Mapping[str, int], ends: Iterable[OrderEnd]) -> list[str]:
    """Return a finding for each SKU whose available units are not those stocked less one for each completed order.

    All products of an order are in one aisle, so its only robot returns all of them (FAILED) or none: a product that it
    missed while it found the others is written off.
    """
    sold = sum(end.status == "COMPLETED" for end in ends)
    return [
        f"{sku}: {units} were stocked, {sold} orders completed, {available.get(sku)} are available"
        for sku, units in stocked.items()
        if available.get(sku) != units - sold
    ]


def count_retries(calls: Iterable[DeviceCall]) -> int:
    """Return how many attempts got no definite answer and were repeated."""
    return sum(len(call.attempts) - 1 for call in calls)
