"""The battery's table: for every step and every state what is said, what the row becomes, and which calls are made.

The rows for confirm and cancel are CONTRACT §2.1; the others are PROTOCOL §1 and §2. `calls` names each call to a peer, in
order, with what is said and what the row becomes if that call gets no clear answer. `*` stands for all states not named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from tests.proofs.battery.states import MAKERS, word_of_state

SAME: Final = ""  # the row stays what it is; the answer is the same again
Calls = Mapping[str, tuple[str, str]]


class Cell(Struct, frozen=True):
    """One cell. `again`: the answer to the same step run a second time, where it differs."""

    says: str
    becomes: str
    calls: Calls
    again: str

    @property
    def answers(self) -> set[str]:
        return {self.says, self.again}


class Never(Struct, frozen=True):
    """A cell that can't come up, and why."""

    why: str


def says(answer: str, becomes: str = SAME, calls: Calls | None = None, again: str = SAME) -> Cell:
    return Cell(answer, becomes, calls or {}, again or answer)


def doubt(call: str, answer: str, becomes: str = SAME) -> Calls:
    return {call: (answer, becomes)}


CANCELLED_LATER, EXPIRED_LATER, FAILED_LATER = (
    f"PREVIEWED releasing {status}" for status in ("CANCELLED", "EXPIRED", "FAILED")
)
WITHDRAWN_LATER = "PROCESSING releasing CANCELLED"
ASSIGNS = doubt("AssignRobots", "202 in_doubt", "PREVIEWED in_doubt")
REFUSED_THEN_RELEASES = {**ASSIGNS, **doubt("ReleaseItems", "202 releasing", FAILED_LATER)}
LETS_GO = doubt("ReleaseItems", "202 releasing", CANCELLED_LATER)
WITHDRAWS = doubt("ReleaseItems", "202 releasing", WITHDRAWN_LATER)
ASSIGNS_LATER, RELEASES_LATER = doubt("AssignRobots", "in doubt"), doubt("ReleaseItems", "in doubt")
GIVES_UP = doubt("ReleaseItems", "in doubt", FAILED_LATER)
REFUSED_THEN_GIVES_UP = {**ASSIGNS_LATER, **GIVES_UP}
SUPERSEDES = doubt("ReleaseItems", "kept", CANCELLED_LATER)
ASKS_FIRST = doubt("GetOrder", "503 inventory_unavailable")
LOOKS = doubt("GetOrder", "in doubt")


def _replays(status: str) -> Cell:
    return says(f"201 {status}", calls={"Quote": (f"201 {status}", SAME), "ReserveItems": (f"201 {status}", SAME)})


MISMATCH = "422 idempotency_mismatch"
DIFFERS = says(MISMATCH, calls={"Quote": (MISMATCH, SAME), "ReserveItems": (MISMATCH, SAME)})
MADE = says(
    "201 PREVIEWED",
    "PREVIEWED",
    {"Quote": ("503 pricing_unavailable", SAME), "ReserveItems": ("503 inventory_unavailable", SAME)},
)
IDLE = "idle idle_assigned idle_finished"
OVERDUE = "overdue overdue_assigned"
DOUBTFUL = "in_doubt in_doubt_overdue in_doubt_assigned in_doubt_started"
RELEASING_CANCELLED = "releasing_cancelled releasing_cancelled_released releasing_cancelled_started"
RELEASING_EXPIRED = "releasing_expired releasing_expired_assigned"
RELEASING_FAILED = "releasing_failed releasing_failed_assigned"
RELEASING = f"{RELEASING_CANCELLED} {RELEASING_EXPIRED} {RELEASING_FAILED}"
WITHDRAWING = "processing_releasing processing_releasing_started"
BEGUN = "processing_started processing_finished processing_in_vain processing_kept"
PROCESSING = f"processing processing_withdrawn {BEGUN}"
COMPLETED = "completed completed_short"
CANCELLED = "cancelled cancelled_dispatched"
ENDED = f"{COMPLETED} failed_dispatched failed {CANCELLED} expired"

MISSING = says("404 order_not_found")
NO_ROBOTS, GONE, TOO_LATE = says("409 no_robots"), says("410 hold_expired"), says("409 too_late_to_cancel")
CONFIRMED_BEFORE: Final = {
    "nothing": MISSING,
    OVERDUE: GONE,
    RELEASING_CANCELLED: says("409 order_cancelled"),
    RELEASING_EXPIRED: GONE,
    RELEASING_FAILED: says("202 releasing"),
    f"{PROCESSING} {WITHDRAWING}": says("200 PROCESSING"),
    COMPLETED: says("200 COMPLETED"),
    "failed_dispatched": says("200 FAILED"),
    "failed": NO_ROBOTS,
    CANCELLED: says("409 order_cancelled"),
    "expired": GONE,
}
NOTHING_OWED = says("nothing owed")
RELEASED_BY_SWEEPER: Final = {
    "releasing_cancelled releasing_cancelled_released": says("CANCELLED", "CANCELLED", RELEASES_LATER, "nothing owed"),
    "releasing_expired": says("EXPIRED", "EXPIRED", RELEASES_LATER, "nothing owed"),
    "releasing_failed": says("FAILED", "FAILED", RELEASES_LATER, "nothing owed"),
    "processing_releasing": says("CANCELLED", "CANCELLED", RELEASES_LATER, "nothing owed"),
    "releasing_cancelled_started releasing_expired_assigned releasing_failed_assigned processing_releasing_started": says(
        "PROCESSING", "PROCESSING", RELEASES_LATER, "nothing owed"
    ),
    "*": NOTHING_OWED,
}
KNOWN: Final = {
    COMPLETED: says("known COMPLETED"),
    "failed failed_dispatched": says("known FAILED"),
    CANCELLED: says("known CANCELLED"),
    "expired": says("known EXPIRED"),
    "nothing": MISSING,
    "idle overdue": says("409 not_dispatched", calls=ASKS_FIRST),
    f"in_doubt in_doubt_overdue processing_withdrawn releasing_expired releasing_failed {RELEASING_CANCELLED.rpartition(' ')[0]}": Never(
        "inventory would be telling of an order that it has not: a signed lie, which K5 excludes"
    ),
}
TAKEN_UNTOLD = "idle_assigned idle_finished overdue_assigned"
TAKEN_TOLD = (
    "in_doubt_assigned in_doubt_started releasing_cancelled_started releasing_expired_assigned releasing_failed_assigned"
    f" processing {BEGUN} {WITHDRAWING}"
)


def _told(status: str, row: str) -> dict[str, Cell | Never]:
    applied, known = f"applied {status}", f"known {status}"
    return {**KNOWN, TAKEN_UNTOLD: says(applied, row, ASKS_FIRST, known), TAKEN_TOLD: says(applied, row, again=known)}


ROWS: Final[dict[str, dict[str, Cell | Never]]] = {
    "preview": {
        "nothing": MADE,
        f"{IDLE} {OVERDUE} {DOUBTFUL} {RELEASING}": _replays("PREVIEWED"),
        f"{PROCESSING} {WITHDRAWING}": _replays("PROCESSING"),
        COMPLETED: _replays("COMPLETED"),
        "failed failed_dispatched": _replays("FAILED"),
        CANCELLED: _replays("CANCELLED"),
        "expired": _replays("EXPIRED"),
    },
    "preview_another": {"nothing": MADE, "*": DIFFERS},
    "quota": {
        "idle overdue": says("kept", "CANCELLED", SUPERSEDES),
        TAKEN_UNTOLD: says("kept", "PROCESSING", SUPERSEDES),
        "*": says("kept"),
    },
    "confirm": {**CONFIRMED_BEFORE, f"{IDLE} {DOUBTFUL}": says("200 PROCESSING", "PROCESSING", ASSIGNS)},
    "confirm_refused": {
        **CONFIRMED_BEFORE,
        "idle in_doubt in_doubt_overdue": says("409 no_robots", "FAILED", REFUSED_THEN_RELEASES),
        "idle_assigned idle_finished in_doubt_assigned in_doubt_started": says(
            "200 PROCESSING", "PROCESSING", REFUSED_THEN_RELEASES
        ),
    },
    "cancel": {
        "nothing": MISSING,
        "idle idle_assigned in_doubt in_doubt_overdue in_doubt_assigned": says("200 CANCELLED", "CANCELLED", LETS_GO),
        "idle_finished in_doubt_started": says("409 too_late_to_cancel", "PROCESSING", LETS_GO),
        OVERDUE: GONE,
        f"{RELEASING} {WITHDRAWING}": says("202 releasing"),
        "processing processing_withdrawn": says("200 CANCELLED", "CANCELLED", WITHDRAWS),
        BEGUN: says("409 too_late_to_cancel", calls=WITHDRAWS),
        f"{COMPLETED} failed_dispatched failed": TOO_LATE,
        CANCELLED: says("200 CANCELLED"),
        "expired": GONE,
    },
    "expiry": {
        **RELEASED_BY_SWEEPER,
        "overdue": says("EXPIRED", "EXPIRED", doubt("ReleaseItems", "in doubt", EXPIRED_LATER), "nothing owed"),
        "overdue_assigned": says(
            "PROCESSING", "PROCESSING", doubt("ReleaseItems", "in doubt", EXPIRED_LATER), "nothing owed"
        ),
    },
    "sweeping": {**RELEASED_BY_SWEEPER, DOUBTFUL: says("PROCESSING", "PROCESSING", ASSIGNS_LATER, "nothing owed")},
    "sweeping_refused": {
        **RELEASED_BY_SWEEPER,
        "in_doubt in_doubt_overdue": says("FAILED", "FAILED", REFUSED_THEN_GIVES_UP, "nothing owed"),
        "in_doubt_assigned in_doubt_started": says("PROCESSING", "PROCESSING", REFUSED_THEN_GIVES_UP, "nothing owed"),
    },
    "sweeping_impatient": {
        **RELEASED_BY_SWEEPER,
        "in_doubt in_doubt_overdue": says("FAILED", "FAILED", GIVES_UP, "nothing owed"),
        "in_doubt_assigned in_doubt_started": says("PROCESSING", "PROCESSING", GIVES_UP, "nothing owed"),
    },
    "reconciling": {
        f"nothing {IDLE} {OVERDUE} {DOUBTFUL} {RELEASING} failed expired": Never(
            "claimed as PROCESSING, from where no way leads here"
        ),
        "processing_finished": says("done", "COMPLETED PARTIAL", LOOKS),
        "processing_in_vain": says("done", "FAILED", LOOKS),
        "processing_withdrawn": says(
            "done", "CANCELLED", {**LOOKS, **doubt("ReleaseItems", "in doubt", WITHDRAWN_LATER)}
        ),
        "cancelled_dispatched cancelled": says("done", calls={**LOOKS, **RELEASES_LATER}),
        f"processing processing_started processing_kept {WITHDRAWING} {COMPLETED} failed_dispatched": says(
            "done", calls=LOOKS
        ),
    },
    "webhook_full": _told("COMPLETED", "COMPLETED FULL"),
    "webhook_short": _told("COMPLETED", "COMPLETED PARTIAL"),
    "webhook_failed": _told("FAILED", "FAILED"),
}


def _spread(step: str) -> dict[str, Cell | Never]:
    """Each state with its cell; raises ValueError for one that stands in no row, in two, or is none."""
    found: dict[str, Cell | Never] = {}
    for states, cell in ROWS[step].items():
        for state in states.split():
            if state in found or (state != "*" and state not in MAKERS):
                raise ValueError(f"{step}: {state} stands twice, or is no state")
            found[state] = cell
    others = found.pop("*", None)
    if others is not None:
        found |= {state: others for state in MAKERS if state not in found}
    if missing := MAKERS.keys() - found.keys():
        raise ValueError(f"{step}: no cell for {sorted(missing)}")
    return found


# What the slower of two may be told besides: the row between promise and answer, and "ask again, same call".
MEANWHILE: Final = {
    "cancel": "202 releasing",
    "confirm_refused": "202 releasing",
    "webhook_full": "503 order_busy",
    "webhook_short": "503 order_busy",
    "webhook_failed": "503 order_busy",
}
TABLE: Final = {step: _spread(step) for step in ROWS}
CELLS: Final = [
    (step, state) for step, column in TABLE.items() for state, cell in column.items() if isinstance(cell, Cell)
]


def cell_of(step: str, state: str) -> Cell:
    found = TABLE[step][state]
    assert isinstance(found, Cell)
    return found


def row_after(state: str, becomes: str) -> str:
    return becomes or word_of_state(state)
