"""The figures of a `prove` run; tables, JSON file and page are made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.lab.prove.measurements import Availability, Quantiles, Recovery, availability, fault_spans, quantiles
from autogrocery.lab.prove.record import RECOVERY_STEPS, Fault
from autogrocery.lab.prove.schedule import DATABASE
from autogrocery.lab.replay.checks import Violation  # noqa: TC001 - as above
from autogrocery.lab.replay.fact_check import FactCheck  # noqa: TC001 - msgspec reads it from Figures
from autogrocery.lab.replay.idle import Invariant  # noqa: TC001 - msgspec reads it from Figures
from autogrocery.lab.replay.restock_figures import RestockFigures  # noqa: TC001 - as above
from autogrocery.lab.scenarios import ScenarioResult  # noqa: TC001 - as above

if TYPE_CHECKING:
    from autogrocery.lab.prove.record import Record


class Gets(Struct, frozen=True):
    """Availability for GETs, in all and outside of database downtime.

    `balancer` are GETs sent to either gateway, `devices` those sent through a link with faults of its own.
    """

    balancer: Availability
    balancer_while_database_up: Availability
    devices: Availability
    devices_while_database_up: Availability
    database_down_s: float
    retried: int


class Orders(Struct, frozen=True):
    """Orders by outcome, 2xx responses in the journal, and calls without an answer."""

    outcomes: dict[str, int]
    responses: int
    unanswered: int
    per_s: float
    ended_by_second: list[int]
    responses_by_second: list[int]


class Metrics(Struct, frozen=True):
    """Status changes as counted by the database (`written`) and by analytics."""

    written: int
    received: int
    gaps_open: int
    invalid: int


class Figures(Struct, frozen=True, kw_only=True):
    """The whole run.

    `restarts` counts by process, crashes without an injected fault included; `duration_s` lasts to the last order's
    end.
    """

    ok: bool
    seed: int
    minutes: float
    began_at: str
    took_s: float
    duration_s: float
    source: str
    faults: list[Fault]
    restarts: dict[str, int]
    recovered: list[Recovery]
    orders: Orders
    gets: Gets
    failed_probes_s: list[float]
    scenarios: list[ScenarioResult]
    invariants: list[Invariant]
    metrics: Metrics | None
    receipts: int
    lost_acknowledgements: int
    violations: list[Violation]
    restocks: RestockFigures | None = None
    facts: FactCheck | None = None
    home: str = ""

    def count_faults(self, *kinds: str) -> int:
        """Return how many faults of these kinds were injected."""
        return sum(fault.kind in kinds for fault in self.faults)

    def quantiles_of(self, target: str | None = None, *, undisturbed: bool = False) -> Quantiles | None:
        """Return the recovery times of one target, or of all, by their first recovery step."""
        return quantiles(
            one
            for one in self.recovered
            if one.step == RECOVERY_STEPS[one.target][0]
            and target in (None, one.target)
            and not (undisturbed and one.disturbed)
        )


def count_gets(record: Record, duration_s: float) -> Gets:
    """Count the probes, in all and outside of database downtime: from a fault until it accepts connections."""
    down = fault_spans(record.faults, DATABASE)
    return Gets(
        availability(record.balancer_probes),
        availability(record.balancer_probes, down),
        availability(record.device_probes),
        availability(record.device_probes, down),
        round(sum(min(last, duration_s) - first for first, last in down), 2),
        sum(probe.tries > 1 for probe in record.balancer_probes),
    )
