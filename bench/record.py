"""What `make bench` records, and what the report is rendered from."""

from __future__ import annotations

import statistics

from msgspec import Struct

from bench.blocks import Block  # noqa: TC001
from bench.grown import Grown  # noqa: TC001
from bench.guard import Cost  # noqa: TC001 - msgspec reads the annotations
from bench.measure import Run  # noqa: TC001 - msgspec reads the annotations
from bench.pgbench import Result  # noqa: TC001
from bench.proc import Machine  # noqa: TC001
from bench.statement import Share  # noqa: TC001


class Case(Struct, frozen=True, kw_only=True):
    """One run, and under what conditions. `rate`: orders a second that were due, None for a closed loop."""

    connections: int
    gateways: int
    lines: float
    run: Run
    rate: float | None = None
    unary_only: bool = False
    logins: int = 0

    @property
    def peers(self) -> str:
        """The form of the calls that the peers know."""
        return "unary" if self.unary_only else "stream"


class Duel(Struct, frozen=True, kw_only=True):
    """pgbench and ours, turn and turn about on one server with as many clients as connections."""

    connections: int
    lines: int
    unary_only: bool
    pgbench: list[Result]
    ours: list[Run]

    @property
    def peers(self) -> str:
        """The form of the calls that the peers know."""
        return "unary" if self.unary_only else "stream"

    @property
    def ratios(self) -> list[float]:
        """Ours by pgbench's, round by round."""
        return [ours.orders_per_s / theirs.orders_per_s for theirs, ours in zip(self.pgbench, self.ours, strict=True)]

    @property
    def ratio(self) -> float:
        """Median of the rounds."""
        return statistics.median(self.ratios)


class Record(Struct, frozen=True, kw_only=True):
    """One whole bench. `load_average` is from before the first run: what others did on the machine.

    `again` says which parts were measured anew later, and when. `loop_us` is what the cost guard's loop of plain Python
    takes: builds of one version of Python differ by a third.
    """

    at: str
    machine: Machine
    durable: dict[str, str]
    load_average: float
    loop_us: float = 0.0
    seconds: float
    settings: dict[str, str]
    again: dict[str, str] = {}  # msgspec copies the default
    closed: list[Case] = []
    duels: list[Duel] = []
    whole: list[Case] = []
    half: Case | None = None
    overload: Case | None = None
    logins: list[Case] = []
    switched: dict[str, Case] = {}
    grown: list[Grown] = []
    cost: Cost | None = None
    profile: list[tuple[str, ...]] = []
    blocks: list[Block] = []
    shares: list[Share] = []

    @property
    def peak(self) -> float:
        """Most orders a second of one gateway in a closed loop."""
        return max((case.run.orders_per_s for case in self.closed if case.gateways == 1), default=0.0)

    @property
    def runs(self) -> list[Run]:
        """Every run of ours, each of which was audited."""
        cases = [
            *self.closed,
            *self.whole,
            *self.logins,
            *self.switched.values(),
            *(case for case in (self.half, self.overload) if case),
        ]
        return [
            *(case.run for case in cases),
            *(one.run for one in self.grown),
            *(run for duel in self.duels for run in duel.ours),
        ]

    @property
    def violations(self) -> int:
        """What all audits found."""
        return sum(run.violations for run in self.runs) + (self.cost.violations if self.cost else 0)
