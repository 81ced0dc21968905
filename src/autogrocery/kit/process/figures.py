"""Figures that the hot path can afford: counts and histograms in plain integers, and gauges read at the scrape.

`prometheus_client` locks and boxes each value. Here an observation is one addition to a list of the event loop's thread,
and the text format is made when Prometheus asks. Label values come from the program, never from a request.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

# Seconds. Dense where an order is normally, with bounds at the deadlines: a peer's call 2 s, an action 5 s.
DURATION_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
DELAY_EVERY_S: Final = 0.25


class Counts(Collector):
    """A counter by labels: `figure.cells[labels] += 1`, after `cells.setdefault` or `add` for the first time."""

    def __init__(
        self, name: str, documentation: str, labels: Sequence[str], registry: CollectorRegistry = REGISTRY
    ) -> None:
        self.cells: dict[tuple[str, ...], int] = {}
        self._about = name, documentation
        self._labels = labels
        registry.register(self)

    def add(self, *labels: str) -> None:
        """Count one under these values of the labels."""
        self.cells[labels] = self.cells.get(labels, 0) + 1

    def collect(self) -> Iterable[Metric]:
        """Return the samples; called at a scrape."""
        family = CounterMetricFamily(*self._about, labels=self._labels)
        for labels, count in self.cells.items():
            family.add_metric(labels, count)
        yield family


class Durations(Collector):
    """A histogram of seconds by labels."""

    def __init__(
        self, name: str, documentation: str, labels: Sequence[str], registry: CollectorRegistry = REGISTRY
    ) -> None:
        self._about = name, documentation
        self._labels = labels
        self._cells: dict[tuple[str, ...], list[int]] = {}  # the observations of each bucket, not cumulated
        self._sums_s: dict[tuple[str, ...], float] = {}
        registry.register(self)

    def observe(self, labels: tuple[str, ...], seconds: float) -> None:
        """Count one duration under these values of the labels."""
        cells = self._cells.get(labels)
        if cells is None:
            cells = self._cells[labels] = [0] * (len(DURATION_BOUNDS_S) + 1)
            self._sums_s[labels] = 0.0
        cells[bisect_left(DURATION_BOUNDS_S, seconds)] += 1
        self._sums_s[labels] += seconds

    def collect(self) -> Iterable[Metric]:
        """Return the samples; called at a scrape."""
        family = HistogramMetricFamily(*self._about, labels=self._labels)
        bounds = [*map(str, DURATION_BOUNDS_S), "+Inf"]
        for labels, cells in self._cells.items():
            family.add_metric(labels, list(zip(bounds, accumulate(cells), strict=True)), self._sums_s[labels])
        yield family


LOOP_DELAY: Final = Durations("event_loop_delay_seconds", "How late the event loop woke a sleeper", [])


async def measure_loop_delay() -> None:
    """Observe the delay of the event loop every DELAY_EVERY_S seconds until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + DELAY_EVERY_S
        await asyncio.sleep(DELAY_EVERY_S)
        LOOP_DELAY.observe((), max(0.0, loop.time() - due_s))


class Scrape(Collector):
    """The figures of one scrape that are read from the objects themselves, in the order in which they were added."""

    def __init__(self) -> None:
        self._families: list[Metric] = []

    def gauge(self, name: str, documentation: str, value: float) -> None:
        """Add a gauge without labels."""
        self._families.append(GaugeMetricFamily(name, documentation, value=value))

    def gauges(self, name: str, documentation: str, label: str, values: Mapping[str, float]) -> None:
        """Add a gauge by one label."""
        family = GaugeMetricFamily(name, documentation, labels=[label])
        for value_of_label, value in values.items():
            family.add_metric([value_of_label], value)
        self._families.append(family)

    def counts(self, name: str, documentation: str, label: str, values: Mapping[str, float]) -> None:
        """Add a counter by one label; the exposition appends `_total` to its name."""
        family = CounterMetricFamily(name, documentation, labels=[label])
        for value_of_label, value in values.items():
            family.add_metric([value_of_label], value)
        self._families.append(family)

    def collect(self) -> Iterator[Metric]:
        """Return what was added."""
        return iter(self._families)
