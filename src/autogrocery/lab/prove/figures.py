"""Everything a run of `prove` found; the tables, the JSON file and the page are all made of this."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.lab.prove.arithmetic import Availability, Recovery, Spread, availability, spans, spread
from autogrocery.lab.prove.record import STEPS_OF, Fault
from autogrocery.lab.prove.schedule import DATABASE
from autogrocery.lab.replay.quiet import Invariant  # noqa: TC001 - msgspec reads it from Figures
from autogrocery.lab.replay.supplied import Supplied  # noqa: TC001 - as above
from autogrocery.lab.replay.verdict import Violation  # noqa: TC001 - as above
from autogrocery.lab.scenarios import Result  # noqa: TC001 - as above

if TYPE_CHECKING:
    from autogrocery.lab.prove.record import Record


class Gets(Struct, frozen=True):
    """How many GETs were answered, in all and outside of database downtime.

    `balanced` are those that a balancer sends to either gateway, `devices` those over a link with its own bad weather.
    """

    balanced: Availability
    balanced_while_database_up: Availability
    devices: Availability
    devices_while_database_up: Availability
    database_down_s: float
    second_tries: int


class Orders(Struct, frozen=True):
    """What the shoppers came to: outcomes by status, 2xx journalled, calls that stayed without an answer."""

    outcomes: dict[str, int]
    told: int
    unanswered: int
    per_s: float
    ended_by_second: list[int]
    told_by_second: list[int]


class Metrics(Struct, frozen=True):
    """Status changes as the database and as analytics count them."""

    written: int
    received: int
    gaps_open: int
    invalid: int


class Figures(Struct, frozen=True, kw_only=True):
    """The whole run. `restarts` counts by process, those included that no disaster asked for; `lasts_s` is until the last order's end."""

    ok: bool
    seed: int
    minutes: float
    began_at: str
    took_s: float
    lasts_s: float
    source: str
    faults: list[Fault]
    restarts: dict[str, int]
    recovered: list[Recovery]
    orders: Orders
    gets: Gets
    failed_looks_s: list[float]
    scenarios: list[Result]
    invariants: list[Invariant]
    metrics: Metrics | None
    receipts: int
    lost_acknowledgements: int
    violations: list[Violation]
    supplied: Supplied | None = None
    home: str = ""

    def struck(self, *kinds: str) -> int:
        """How many disasters of these kinds there were."""
        return sum(fault.kind in kinds for fault in self.faults)

    def spread_of(self, target: str | None = None, *, undisturbed: bool = False) -> Spread | None:
        """Return the recovery times of one target, or of all, by the step that counts."""
        return spread(
            one
            for one in self.recovered
            if one.step == STEPS_OF[one.target][0]
            and target in (None, one.target)
            and not (undisturbed and one.disturbed)
        )


def count_gets(record: Record, lasts_s: float) -> Gets:
    """Count the looks against the database's downtime: from its end by a disaster until it took connections again."""
    down = spans(record.faults, DATABASE)
    return Gets(
        availability(record.balanced),
        availability(record.balanced, down),
        availability(record.looks),
        availability(record.looks, down),
        round(sum(min(last, lasts_s) - first for first, last in down), 2),
        sum(look.tries > 1 for look in record.balanced),
    )
