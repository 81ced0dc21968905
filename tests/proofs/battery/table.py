"""The battery's table: for every step in every state the expected answer, the row afterwards and the calls to peers.

The cells of confirm and cancel repeat docs/CONTRACT.md#confirm-and-cancel, the others docs/PROTOCOL.md. `calls` maps
each call to a peer, in order, to the answer and the row if that call stays in doubt. `*` stands for all states that are
not named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from tests.proofs.battery.states import STATES, expected_row_state

SAME: Final = ""  # as `becomes`: the row does not change; as `again`: the second answer equals the first
Calls = Mapping[str, tuple[str, str]]


class Cell(Struct, frozen=True):
    """One cell: the answer of the step, the row afterwards, the calls, and the answer of the same step run again."""

    answer: str
    becomes: str
    calls: Calls
    again: str

    @property
    def answers(self) -> set[str]:
        return {self.answer, self.again}


class Impossible(Struct, frozen=True):
    """A cell that cannot occur, and why."""

    why: str


def expect(answer: str, becomes: str = SAME, calls: Calls | None = None, again: str = SAME) -> Cell:
    return Cell(answer, becomes, calls or {}, again or answer)


def unanswered(call: str, answer: str, becomes: str = SAME) -> Calls:
    return {call: (answer, becomes)}


CANCELLED_LATER, EXPIRED_LATER, FAILED_LATER = (
    f"PREVIEWED releasing {status}" for status in ("CANCELLED", "EXPIRED", "FAILED")
)
WITHDRAWN_LATER = "PROCESSING releasing CANCELLED"
ASSIGNS = unanswered("AssignRobots", "202 in_doubt", "PREVIEWED in_doubt")
REFUSED_THEN_RELEASES = {**ASSIGNS, **unanswered("ReleaseItems", "202 releasing", FAILED_LATER)}
RELEASES = unanswered("ReleaseItems", "202 releasing", CANCELLED_LATER)
WITHDRAWS = unanswered("ReleaseItems", "202 releasing", WITHDRAWN_LATER)
ASSIGNS_LATER, RELEASES_LATER = unanswered("AssignRobots", "in doubt"), unanswered("ReleaseItems", "in doubt")
GIVES_UP = unanswered("ReleaseItems", "in doubt", FAILED_LATER)
REFUSED_THEN_GIVES_UP = {**ASSIGNS_LATER, **GIVES_UP}
SUPERSEDES = unanswered("ReleaseItems", "kept", CANCELLED_LATER)
CHECKS_GET_ORDER = unanswered("GetOrder", "503 inventory_unavailable")
GETS_ORDER = unanswered("GetOrder", "in doubt")


def _replays(status: str) -> Cell:
    return expect(f"201 {status}", calls={"Quote": (f"201 {status}", SAME), "ReserveItems": (f"201 {status}", SAME)})


MISMATCH = "422 idempotency_mismatch"
DIFFERS = expect(MISMATCH, calls={"Quote": (MISMATCH, SAME), "ReserveItems": (MISMATCH, SAME)})
MADE = expect(
    "201 PREVIEWED",
    "PREVIEWED",
    {"Quote": ("503 pricing_unavailable", SAME), "ReserveItems": ("503 inventory_unavailable", SAME)},
)
IDLE = "idle idle_assigned idle_finished"
OVERDUE = "overdue overdue_assigned"
IN_DOUBT = "in_doubt in_doubt_overdue in_doubt_assigned in_doubt_started"
RELEASING_CANCELLED = "releasing_cancelled releasing_cancelled_released releasing_cancelled_started"
RELEASING_EXPIRED = "releasing_expired releasing_expired_assigned"
RELEASING_FAILED = "releasing_failed releasing_failed_assigned"
RELEASING_DISPATCHED = "releasing_cancelled_started releasing_expired_assigned releasing_failed_assigned"
RELEASING_UNDISPATCHED = "releasing_expired releasing_failed releasing_cancelled releasing_cancelled_released"
RELEASING = f"{RELEASING_CANCELLED} {RELEASING_EXPIRED} {RELEASING_FAILED}"
BEING_WITHDRAWN = "processing_releasing processing_releasing_started"
PICKING = "processing_started processing_finished processing_in_vain processing_kept"
PROCESSING = f"processing processing_withdrawn {PICKING}"
COMPLETED = "completed completed_short"
CANCELLED = "cancelled cancelled_dispatched"
ENDED = f"{COMPLETED} failed_dispatched failed {CANCELLED} expired"

MISSING = expect("404 order_not_found")
NO_ROBOTS, GONE, TOO_LATE = expect("409 no_robots"), expect("410 hold_expired"), expect("409 too_late_to_cancel")
CONFIRMED_BEFORE: Final = {
    "nothing": MISSING,
    OVERDUE: GONE,
    RELEASING_CANCELLED: expect("409 order_cancelled"),
    RELEASING_EXPIRED: GONE,
    RELEASING_FAILED: expect("202 releasing"),
    f"{PROCESSING} {BEING_WITHDRAWN}": expect("200 PROCESSING"),
    COMPLETED: expect("200 COMPLETED"),
    "failed_dispatched": expect("200 FAILED"),
    "failed": NO_ROBOTS,
    CANCELLED: expect("409 order_cancelled"),
    "expired": GONE,
}
NOTHING_OWED = expect("nothing owed")
RELEASED_BY_SWEEPER: Final = {
    "releasing_cancelled releasing_cancelled_released": expect(
        "CANCELLED", "CANCELLED", RELEASES_LATER, "nothing owed"
    ),
    "releasing_expired": expect("EXPIRED", "EXPIRED", RELEASES_LATER, "nothing owed"),
    "releasing_failed": expect("FAILED", "FAILED", RELEASES_LATER, "nothing owed"),
    "processing_releasing": expect("CANCELLED", "CANCELLED", RELEASES_LATER, "nothing owed"),
    f"{RELEASING_DISPATCHED} processing_releasing_started": expect(
        "PROCESSING", "PROCESSING", RELEASES_LATER, "nothing owed"
    ),
    "*": NOTHING_OWED,
}
KNOWN: Final = {
    COMPLETED: expect("known COMPLETED"),
    "failed failed_dispatched": expect("known FAILED"),
    CANCELLED: expect("known CANCELLED"),
    "expired": expect("known EXPIRED"),
    "nothing": MISSING,
    "idle overdue": expect("409 not_dispatched", calls=CHECKS_GET_ORDER),
    f"in_doubt in_doubt_overdue processing_withdrawn {RELEASING_UNDISPATCHED}": Impossible(
        "a signed webhook for an order unknown to inventory: docs/PROTOCOL.md#what-a-peer-promises, K5, excludes it"
    ),
}
DISPATCHED_IDLE = "idle_assigned idle_finished overdue_assigned"
DISPATCHED_KNOWN = f"in_doubt_assigned in_doubt_started {RELEASING_DISPATCHED} processing {PICKING} {BEING_WITHDRAWN}"


def _webhook_cells(status: str, row: str) -> dict[str, Cell | Impossible]:
    applied, known = f"applied {status}", f"known {status}"
    return {
        **KNOWN,
        DISPATCHED_IDLE: expect(applied, row, CHECKS_GET_ORDER, known),
        DISPATCHED_KNOWN: expect(applied, row, again=known),
    }


ROWS: Final[dict[str, dict[str, Cell | Impossible]]] = {
    "preview": {
        "nothing": MADE,
        f"{IDLE} {OVERDUE} {IN_DOUBT} {RELEASING}": _replays("PREVIEWED"),
        f"{PROCESSING} {BEING_WITHDRAWN}": _replays("PROCESSING"),
        COMPLETED: _replays("COMPLETED"),
        "failed failed_dispatched": _replays("FAILED"),
        CANCELLED: _replays("CANCELLED"),
        "expired": _replays("EXPIRED"),
    },
    "preview_another": {"nothing": MADE, "*": DIFFERS},
    "quota": {
        "idle overdue": expect("kept", "CANCELLED", SUPERSEDES),
        DISPATCHED_IDLE: expect("kept", "PROCESSING", SUPERSEDES),
        "*": expect("kept"),
    },
    "confirm": {**CONFIRMED_BEFORE, f"{IDLE} {IN_DOUBT}": expect("200 PROCESSING", "PROCESSING", ASSIGNS)},
    "confirm_refused": {
        **CONFIRMED_BEFORE,
        "idle in_doubt in_doubt_overdue": expect("409 no_robots", "FAILED", REFUSED_THEN_RELEASES),
        "idle_assigned idle_finished in_doubt_assigned in_doubt_started": expect(
            "200 PROCESSING", "PROCESSING", REFUSED_THEN_RELEASES
        ),
    },
    "cancel": {
        "nothing": MISSING,
        "idle idle_assigned in_doubt in_doubt_overdue in_doubt_assigned": expect(
            "200 CANCELLED", "CANCELLED", RELEASES
        ),
        "idle_finished in_doubt_started": expect("409 too_late_to_cancel", "PROCESSING", RELEASES),
        OVERDUE: GONE,
        f"{RELEASING} {BEING_WITHDRAWN}": expect("202 releasing"),
        "processing processing_withdrawn": expect("200 CANCELLED", "CANCELLED", WITHDRAWS),
        PICKING: expect("409 too_late_to_cancel", calls=WITHDRAWS),
        f"{COMPLETED} failed_dispatched failed": TOO_LATE,
        CANCELLED: expect("200 CANCELLED"),
        "expired": GONE,
    },
    "expiry": {
        **RELEASED_BY_SWEEPER,
        "overdue": expect("EXPIRED", "EXPIRED", unanswered("ReleaseItems", "in doubt", EXPIRED_LATER), "nothing owed"),
        "overdue_assigned": expect(
            "PROCESSING", "PROCESSING", unanswered("ReleaseItems", "in doubt", EXPIRED_LATER), "nothing owed"
        ),
    },
    "sweeping": {**RELEASED_BY_SWEEPER, IN_DOUBT: expect("PROCESSING", "PROCESSING", ASSIGNS_LATER, "nothing owed")},
    "sweeping_refused": {
        **RELEASED_BY_SWEEPER,
        "in_doubt in_doubt_overdue": expect("FAILED", "FAILED", REFUSED_THEN_GIVES_UP, "nothing owed"),
        "in_doubt_assigned in_doubt_started": expect("PROCESSING", "PROCESSING", REFUSED_THEN_GIVES_UP, "nothing owed"),
    },
    "sweeping_impatient": {
        **RELEASED_BY_SWEEPER,
        "in_doubt in_doubt_overdue": expect("FAILED", "FAILED", GIVES_UP, "nothing owed"),
        "in_doubt_assigned in_doubt_started": expect("PROCESSING", "PROCESSING", GIVES_UP, "nothing owed"),
    },
    "reconciling": {
        f"nothing {IDLE} {OVERDUE} {IN_DOUBT} {RELEASING} failed expired": Impossible(
            "it was claimed as PROCESSING, from where no transition leads here"
        ),
        "processing_finished": expect("done", "COMPLETED PARTIAL", GETS_ORDER),
        "processing_in_vain": expect("done", "FAILED", GETS_ORDER),
        "processing_withdrawn": expect(
            "done", "CANCELLED", {**GETS_ORDER, **unanswered("ReleaseItems", "in doubt", WITHDRAWN_LATER)}
        ),
        "cancelled_dispatched cancelled": expect("done", calls={**GETS_ORDER, **RELEASES_LATER}),
        f"processing processing_started processing_kept {BEING_WITHDRAWN} {COMPLETED} failed_dispatched": expect(
            "done", calls=GETS_ORDER
        ),
    },
    "webhook_full": _webhook_cells("COMPLETED", "COMPLETED FULL"),
    "webhook_short": _webhook_cells("COMPLETED", "COMPLETED PARTIAL"),
    "webhook_failed": _webhook_cells("FAILED", "FAILED"),
}


def _spread(step: str) -> dict[str, Cell | Impossible]:
    """Return the cell of each state; raises ValueError if a state has no cell or two, or does not exist."""
    found: dict[str, Cell | Impossible] = {}
    for states, cell in ROWS[step].items():
        for state in states.split():
            if state in found or (state != "*" and state not in STATES):
                raise ValueError(f"{step}: {state} has two cells, or is no state")
            found[state] = cell
    others = found.pop("*", None)
    if others is not None:
        found |= {state: others for state in STATES if state not in found}
    if missing := STATES.keys() - found.keys():
        raise ValueError(f"{step}: no cell for {sorted(missing)}")
    return found


# A second answer that the slower of two concurrent calls may get: the row between promise and answer, or a 503 to
# retry.
CONCURRENT_ANSWERS: Final = {
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
    return becomes or expected_row_state(state)
