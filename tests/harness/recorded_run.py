"""A small recorded run without any violation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from msgspec.structs import replace

from autogrocery.client import Event, Order, OrderLine, Restock, RestockLine, RestockResponse
from autogrocery.lab.demand.baskets import Basket, Line
from autogrocery.lab.prove.check_run import RunOutcome, check_run
from autogrocery.lab.prove.network import DatabaseTotals
from autogrocery.lab.prove.options import ProveOptions
from autogrocery.lab.prove.record import Fault, Probe, Record
from autogrocery.lab.replay.fact_check import FactCheck
from autogrocery.lab.replay.idle import Audit, IdleState, Invariant, Metrics
from autogrocery.lab.replay.journal import Entry
from autogrocery.lab.replay.replay import FinalOrder, Run, Trip
from autogrocery.lab.replay.restock_figures import RestockFigures
from autogrocery.lab.scenarios import ScenarioResult

if TYPE_CHECKING:
    from autogrocery.lab.prove.figures import Figures

OPTIONS = ProveOptions(0.5, 7, 4.0)
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
FINAL_ORDER = FinalOrder(ORDER_ID, ORDER, EVENTS)
RESTOCK_LINE = RestockLine("milk", "Milk", "dairy", 4, received=4, short=0, over=0, damaged=0)
RECEIVED = Restock("0190aaaa-0000-7000-8000-000000000002", "farm", "The Farm", "1", "RECEIVED", [RESTOCK_LINE], STARTED)
COMING = replace(RECEIVED, status="RECEIVING", items=[replace(RESTOCK_LINE, received=0, short=4)])
CLEAN = Audit(clean=True, invariants=[Invariant("gateway: totals_are_sums", 0), Invariant("both: orphan_dispatch", 0)])
HELD = ScenarioResult(
    "oversell", "Exactly as many buy as there are units.", ok=True, summary="10 buyers of 2 units: 2 bought"
)


def entry(step: str, status: str, at_s: float, http_status: int = 200, finished_s: float | None = None) -> Entry:
    at = STARTED + timedelta(seconds=at_s)
    finished_at = None if finished_s is None else STARTED + timedelta(seconds=finished_s)
    return Entry(at, "household-1", ORDER_ID, step, http_status, status, None, 200, 200, 200, finished_at)


ENTRIES = [
    entry("preview", "PREVIEWED", 6.5, 201),
    entry("confirm", "PROCESSING", 7.0),
    entry("order", "COMPLETED", 15.0, finished_s=14.0),
]
OUTCOME = RunOutcome(
    run=Run([TRIP], 20.0),
    entries=ENTRIES,
    down=[],
    restarts={"gateway-1": 1, "postgresql": 1},
    idle_state=IdleState(CLEAN, Metrics(received=3, unique=3)),
    database_totals=DatabaseTotals(3, frozenset({ORDER_ID}), frozenset({ORDER_ID})),
    receipts={ORDER_ID},
    final_orders=[FINAL_ORDER],
    restocks=RestockFigures(
        1,
        {"RECEIVED": 1},
        0,
        announced=4,
        received=4,
        short=0,
        over=0,
        damaged=0,
        returning_customers=1,
        returning_in_vain=0,
    ),
    facts=FactCheck(history=3, counted=3, facts=3, same_changes=True),
    restock_responses=[RestockResponse("restock", 201, COMING), RestockResponse("status", 200, RECEIVED)],
)


def record() -> Record:
    """Gateway 1 killed, the database shut down, robots paused, a network fault before pricing, probes all the time."""
    made = Record()
    made.started_wall_s = STARTED.timestamp()
    made.faults = [
        Fault("database", "postgresql", "immediate", 4.0, 5.0),
        Fault("network", "pricing-link", "black hole", 4.5, 6.0),
        Fault("kill", "gateway-1", "SIGKILL", 8.0, 9.0),
        Fault("pause", "robots", "SIGSTOP", 10.0, 12.0),
    ]
    made.successes = {"GET at gateway-1": [1.0, 9.5], "GET": [5.25], "preview": [19.5]}
    made.device_probes = [Probe(half / 2, 0.01, ok=not 8 <= half < 12) for half in range(40)]
    made.balancer_probes = [Probe(half / 2, 0.01, ok=not 8 <= half < 10) for half in range(40)]
    return made


def figures(
    outcome: RunOutcome = OUTCOME, scenarios: tuple[ScenarioResult, ...] = (HELD,), seen: Record | None = None
) -> Figures:
    return check_run(OPTIONS, "by hand", list(scenarios), seen or record(), outcome, STARTED, "/tmp/prove-1")
