"""A small run as it could have been recorded, in which everything holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from msgspec.structs import replace

from autogrocery.client import Event, Order, OrderLine, Restock, RestockLine, ToldRestock
from autogrocery.lab.demand.market import Basket, Line
from autogrocery.lab.prove.conclude import Outcome, conclude
from autogrocery.lab.prove.network import Written
from autogrocery.lab.prove.record import Fault, Look, Record
from autogrocery.lab.prove.wish import Wish
from autogrocery.lab.replay.journal import Entry
from autogrocery.lab.replay.quiet import Audit, Invariant, Metrics, Rest
from autogrocery.lab.replay.replay import Run, Trip, Witness
from autogrocery.lab.replay.supplied import Supplied
from autogrocery.lab.scenarios import Result

if TYPE_CHECKING:
    from autogrocery.lab.prove.figures import Figures

WISH = Wish(0.5, 7, 4.0)
STARTED = datetime(2026, 1, 1, tzinfo=UTC)
ORDER_ID = "0190aaaa-0000-7000-8000-000000000001"
LINE = OrderLine("milk", "Milk", 2, 100, 200, 2)
ORDER = Order(ORDER_ID, "COMPLETED", "USD", 200, 200, [LINE], STARTED, outcome="FULL")
EVENTS = [
    Event(1, "PREVIEWED", "preview", STARTED),
    Event(2, "PROCESSING", "confirm", STARTED, "PREVIEWED"),
    Event(3, "COMPLETED", "webhook", STARTED, "PROCESSING"),
]
TRIP = Trip(Basket(1, 0.0, (Line("milk", 2),)), "buy", ORDER_ID, ORDER)
WITNESS = Witness(ORDER_ID, ORDER, EVENTS)
SHELVED = RestockLine("milk", "Milk", "dairy", 4, received=4, short=0, over=0, damaged=0)
RECEIVED = Restock("0190aaaa-0000-7000-8000-000000000002", "farm", "The Farm", "1", "RECEIVED", [SHELVED], STARTED)
COMING = replace(RECEIVED, status="RECEIVING", items=[replace(SHELVED, received=0, short=4)])
CLEAN = Audit(clean=True, invariants=[Invariant("gateway: totals_are_sums", 0), Invariant("both: orphan_dispatch", 0)])
HELD = Result("buyers", "Exactly as many buy as there are units.", ok=True, told="10 buyers of 2 units: 2 bought")


def told(step: str, status: str, at_s: float, http_status: int = 200, finished_s: float | None = None) -> Entry:
    at = STARTED + timedelta(seconds=at_s)
    finished_at = None if finished_s is None else STARTED + timedelta(seconds=finished_s)
    return Entry(at, "household-1", ORDER_ID, step, http_status, status, None, 200, 200, 200, finished_at)


ENTRIES = [
    told("preview", "PREVIEWED", 6.5, 201),
    told("confirm", "PROCESSING", 7.0),
    told("order", "COMPLETED", 15.0, finished_s=14.0),
]
OUTCOME = Outcome(
    run=Run([TRIP], 20.0),
    entries=ENTRIES,
    down=[],
    restarts={"gateway-1": 1, "postgresql": 1},
    rest=Rest(CLEAN, Metrics(received=3, unique=3)),
    written=Written(3, frozenset({ORDER_ID}), frozenset({ORDER_ID})),
    receipts={ORDER_ID},
    witnesses=[WITNESS],
    supplied=Supplied(
        1, {"RECEIVED": 1}, 0, announced=4, received=4, short=0, over=0, damaged=0, came_back=1, came_back_in_vain=0
    ),
    told_trucks=[ToldRestock("restock", 201, COMING), ToldRestock("status", 200, RECEIVED)],
)


def record() -> Record:
    """Gateway 1 killed, the database ended, robots stopped, bad weather before pricing, and looks all the time."""
    made = Record()
    made.started_wall_s = STARTED.timestamp()
    made.faults = [
        Fault("database", "postgresql", "immediate", 4.0, 5.0),
        Fault("weather", "pricing-link", "black hole", 4.5, 6.0),
        Fault("kill", "gateway-1", "SIGKILL", 8.0, 9.0),
        Fault("pause", "robots", "SIGSTOP", 10.0, 12.0),
    ]
    made.successes = {"GET at gateway-1": [1.0, 9.5], "GET": [5.25], "preview": [19.5]}
    made.looks = [Look(half / 2, 0.01, ok=not 8 <= half < 12) for half in range(40)]
    made.balanced = [Look(half / 2, 0.01, ok=not 8 <= half < 10) for half in range(40)]
    return made


def figures(outcome: Outcome = OUTCOME, scenarios: tuple[Result, ...] = (HELD,), seen: Record | None = None) -> Figures:
    return conclude(WISH, "by hand", list(scenarios), seen or record(), outcome, STARTED, "/tmp/prove-1")
