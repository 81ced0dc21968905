"""The JSON that `make bench` writes and the report is rendered from; `rename` keeps the names in recorded files."""

from __future__ import annotations

import statistics

from msgspec import Struct

from bench.blocks import Block  # noqa: TC001
from bench.measure import Run  # noqa: TC001 - msgspec reads the annotations
from bench.order_cost import OrderCost  # noqa: TC001 - msgspec reads the annotations
from bench.pgbench import PgbenchResult  # noqa: TC001
from bench.proc import Machine  # noqa: TC001
from bench.statement import BatchCost  # noqa: TC001
from bench.table_growth import TableGrowth  # noqa: TC001


class Case(Struct, frozen=True, kw_only=True):
    """One run with its conditions. `rate`: orders a second that were due, None for a closed loop."""

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


class PgbenchComparison(Struct, frozen=True, kw_only=True, rename={"gateway": "ours"}):
    """Rounds of pgbench and the gateway on one server; pgbench has as many clients as the gateway has connections."""

    connections: int
    lines: int
    unary_only: bool
    pgbench: list[PgbenchResult]
    gateway: list[Run]

    @property
    def peers(self) -> str:
        """The form of the calls that the peers know."""
        return "unary" if self.unary_only else "stream"

    @property
    def ratios(self) -> list[float]:
        """The gateway's orders a second ÷ pgbench's, by round."""
        rounds = zip(self.gateway, self.pgbench, strict=True)
        return [run.orders_per_s / result.orders_per_s for run, result in rounds]

    @property
    def ratio(self) -> float:
        """Median of the rounds' ratios."""
        return statistics.median(self.ratios)


JSON_NAMES = {
    "remeasured": "again",
    "comparisons": "duels",
    "table_growth": "grown",
    "batch_costs": "shares",
}


class Record(Struct, frozen=True, kw_only=True, rename=JSON_NAMES):
    """All measurements of one execution of the benchmark.

    `load_average`: before the first run, so of other programs. `remeasured`: parts that were measured again later, with
    the day. `loop_us`: CPU of the calibration loop, since builds of one version of Python differ by a third.
    """

    at: str
    machine: Machine
    durable: dict[str, str]
    load_average: float
    loop_us: float = 0.0
    seconds: float
    settings: dict[str, str]
    remeasured: dict[str, str] = {}  # msgspec copies the default
    closed: list[Case] = []
    comparisons: list[PgbenchComparison] = []
    whole: list[Case] = []
    half: Case | None = None
    overload: Case | None = None
    logins: list[Case] = []
    switched: dict[str, Case] = {}
    table_growth: list[TableGrowth] = []
    cost: OrderCost | None = None
    profile: list[tuple[str, ...]] = []
    blocks: list[Block] = []
    batch_costs: list[BatchCost] = []

    @property
    def peak(self) -> float:
        """The most orders a second of one gateway in the closed loops."""
        return max((case.run.orders_per_s for case in self.closed if case.gateways == 1), default=0.0)

    @property
    def runs(self) -> list[Run]:
        """All runs of the gateway; an audit followed each."""
        cases = [
            *self.closed,
            *self.whole,
            *self.logins,
            *self.switched.values(),
            *(case for case in (self.half, self.overload) if case),
        ]
        return [
            *(case.run for case in cases),
            *(growth.run for growth in self.table_growth),
            *(run for comparison in self.comparisons for run in comparison.gateway),
        ]

    @property
    def violations(self) -> int:
        """Number of violations that all audits found."""
        return sum(run.violations for run in self.runs) + (self.cost.violations if self.cost else 0)
