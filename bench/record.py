"""The JSON that `make bench` writes and the report is rendered from."""

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
    logins: int = 0


class Comparison(Struct, frozen=True, kw_only=True):
    """Rounds of pgbench and the gateway on one server; pgbench has as many clients as the gateway has connections."""

    connections: int
    gateways: int
    lines: int
    pgbench: list[PgbenchResult]
    runs: list[Run]

    @property
    def ratios(self) -> list[float]:
        """The gateway's orders a second ÷ pgbench's, by round."""
        rounds = zip(self.runs, self.pgbench, strict=True)
        return [run.orders_per_s / result.orders_per_s for run, result in rounds]

    @property
    def ratio(self) -> float:
        """Median of the rounds' ratios."""
        return statistics.median(self.ratios)

    @property
    def p50_ratio(self) -> float:
        """The p50 of an order ÷ that of pgbench's three transactions: median of the rounds."""
        rounds = zip(self.runs, self.pgbench, strict=True)
        return statistics.median(run.tally.latency_ms["order"].p50 / result.latency.p50 for run, result in rounds)

    @property
    def case(self) -> Case:
        """The run of the middle of all rounds, by orders a second."""
        ranked = sorted(self.runs, key=lambda run: run.orders_per_s)
        return Case(
            connections=self.connections, gateways=self.gateways, lines=self.lines, run=ranked[(len(ranked) - 1) // 2]
        )


class MailEffect(Struct, frozen=True, kw_only=True):
    """Rounds of an open loop at `rate` orders a second: a usual mail server, a slow one, a burst of receipts.

    `slow_s`: seconds that the slow one takes for a message. `burst`: receipts that become due at once.
    """

    connections: int
    lines: int
    rate: float
    slow_s: float
    burst: int
    usual: list[Run]
    slow: list[Run]
    bursts: list[Run]

    def p99_shift(self, runs: list[Run]) -> float:
        """Return how much longer an order's p99 is than with a usual mail server: median of the rounds, as a share."""
        rounds = zip(runs, self.usual, strict=True)
        return statistics.median(
            run.tally.latency_ms["order"].p99 / usual.tally.latency_ms["order"].p99 - 1.0 for run, usual in rounds
        )


class Record(Struct, frozen=True, kw_only=True):
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
    rows: list[Comparison] = []
    whole: list[Case] = []
    half: Case | None = None
    overload: Case | None = None
    logins: list[Case] = []
    mail: MailEffect | None = None
    switched: dict[str, Case] = {}
    table_growth: list[TableGrowth] = []
    cost: OrderCost | None = None
    profile: list[tuple[str, ...]] = []
    blocks: list[Block] = []
    block_connections: int = 0  # how many calls at a time the blocks were measured with
    batch_costs: list[BatchCost] = []

    @property
    def closed(self) -> list[Case]:
        """The closed loops: for each row the run of the middle of its rounds."""
        return [row.case for row in self.rows]

    @property
    def single(self) -> list[Comparison]:
        """The rows with one gateway and the first number of lines, for which the goals hold."""
        rows = [row for row in self.rows if row.gateways == 1]
        return [row for row in rows if row.lines == rows[0].lines]

    @property
    def peak(self) -> float:
        """The most orders a second of one gateway in the closed loops: median of a row's rounds."""
        rates = [statistics.median(run.orders_per_s for run in row.runs) for row in self.single]
        return max(rates, default=0.0)

    @property
    def runs(self) -> list[Run]:
        """All runs of the gateway; an audit followed each."""
        cases = [
            *self.whole,
            *self.logins,
            *self.switched.values(),
            *(case for case in (self.half, self.overload) if case),
        ]
        mail = self.mail
        return [
            *(run for row in self.rows for run in row.runs),
            *(case.run for case in cases),
            *((*mail.usual, *mail.slow, *mail.bursts) if mail else ()),
            *(growth.run for growth in self.table_growth),
        ]

    @property
    def missing_receipts(self) -> int:
        """Receipts of completed orders that never arrived at the mail server."""
        return sum(run.missing_receipts for run in self.runs)

    @property
    def violations(self) -> int:
        """Number of violations that all audits found."""
        return sum(run.violations for run in self.runs) + (self.cost.violations if self.cost else 0)
