"""What must be true of any order, whatever was done to it: pure functions of recorded answers, shared by the judges."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from autogrocery.client import TERMINAL
from autogrocery.lab.replay.verdict import EDGES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from autogrocery.lab.scenarios.doors import End, Said

PERMITTED: Final = frozenset({0, 429, 503})  # beside definite answers and 202; a well-kept network says nothing else
SERVER_ERROR: Final = 500
DEADLOCK: Final = "deadlock"
IN_DOUBT_AFTER_S: Final = 1.9  # a call to inventory has 2 s; a confirm that took less was never in doubt

# What a definite answer says about the order's end, by step and word (CONTRACT §2.1).
MEANS: Final[dict[tuple[str, str], frozenset[str]]] = {
    ("confirm", "200"): frozenset({"COMPLETED", "FAILED", "CANCELLED"}),
    ("confirm", "409 order_cancelled"): frozenset({"CANCELLED"}),
    ("confirm", "410 hold_expired"): frozenset({"EXPIRED"}),
    ("confirm", "409 no_robots"): frozenset({"FAILED"}),
    ("cancel", "200"): frozenset({"CANCELLED"}),
    ("cancel", "409 too_late_to_cancel"): frozenset({"COMPLETED", "FAILED"}),
    ("cancel", "410 hold_expired"): frozenset({"EXPIRED"}),
}


def unexplained(calls: Iterable[Said], expected: Collection[str]) -> list[str]:
    """Return every call whose last word was not among `expected`, and every answer on the way that no caller should hear."""
    found = []
    for call in calls:
        for answer in call.answers:
            if DEADLOCK in answer.detail.lower():
                found.append(f"{call.step}: a deadlock was told: {answer.detail}")
            elif answer.http_status >= SERVER_ERROR and answer.http_status not in PERMITTED:
                found.append(f"{call.step}: {answer.word}: {answer.detail}")
        if not call.last.definite:
            found.append(f"{call.step}: no definite answer in {len(call.answers)} attempts, the last was {call.word}")
        elif call.word not in expected and call.last.http_status < SERVER_ERROR:
            found.append(f"{call.step}: {call.word} is no answer to this: {call.last.detail}")
    return found


def untrue(call: Said, end: End, *, cancel_told: bool = False) -> list[str]:
    """Return what this call was told that is not so in the end; `cancel_told`: somebody's cancel was answered with 200."""
    means = MEANS.get((call.step, call.word))
    if means is None or end.status not in TERMINAL or overtaken(call, end):
        return []  # what has not ended is told by `unended`
    found = []
    if end.status not in means:
        found.append(f"order {end.order_id}: {call.step} was told {call.word}, and it ended {end.status}")
    if (call.step, call.word) == ("confirm", "200"):
        if end.status == "CANCELLED" and not cancel_told:
            found.append(
                f"order {end.order_id}: confirm was told 200, then CANCELLED without a cancel that was told 200"
            )
        if "PROCESSING" not in [event.to_status for event in end.events]:
            found.append(f"order {end.order_id}: confirm was told 200, and it was never PROCESSING")
    told = call.last.order
    if told is not None and told.status in TERMINAL and told.status != end.status:
        found.append(f"order {end.order_id}: {call.step} was told {told.status}, and it ended {end.status}")
    return found


def overtaken(call: Said, end: End) -> bool:
    """Say whether a refusal was overtaken by an earlier attempt of the same confirm, a documented limit, counted apart.

    CONTRACT §2.1 refuses while another confirm's dispatch may still get through: the status is right, the word was not.
    Only a confirm that was repeated, or whose call to inventory may have been in doubt, can meet it.
    """
    refused = call.step == "confirm" and call.last.definite and call.last.code in {"order_cancelled", "hold_expired"}
    may_be = len(call.answers) > 1 or call.last.took_s >= IN_DOUBT_AFTER_S
    return refused and may_be and "PROCESSING" in [event.to_status for event in end.events]


def unended(ends: Iterable[End]) -> list[str]:
    """Return every order that has not ended, and every history that is no path from its preview to its end."""
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


def wrong_shelf(stocked: Mapping[str, int], available: Mapping[str, int], ends: Iterable[End]) -> list[str]:
    """Return every SKU of which more or less is left than its completed orders, one unit each, account for.

    All articles of an order stand in one aisle, so that its one robot gives back all of them (FAILED) or none: what it did
    not find while it found the others is written off.
    """
    sold = sum(end.status == "COMPLETED" for end in ends)
    return [
        f"{sku}: {units} were stocked, {sold} orders completed, {available.get(sku)} are available"
        for sku, units in stocked.items()
        if available.get(sku) != units - sold
    ]


def repeats(calls: Iterable[Said]) -> int:
    """Return how many attempts were put off or not answered and asked again."""
    return sum(len(call.answers) - 1 for call in calls)
