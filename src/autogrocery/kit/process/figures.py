"""Figures that the hot path can afford: counts and histograms in plain integers, and gauges read at the scrape.

`prometheus_client` locks and boxes each value. Here an observation is an addition to a list of the event loop's thread,
and the text format is made when Prometheus asks. Label values come from the program, never from a request.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from itertools import accumulate
from operator import add
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


class Durations(Collector):
    """A histogram of seconds by labels, and with `outcome` a counter by these and by what came of it.

    Both are kept in one list for each combination: the observations of each bucket, then the sum of seconds.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        registry: CollectorRegistry = REGISTRY,
        *,
        counter: str = "",
        outcome: str = "",
    ) -> None:
        """Serve the histogram `name`, and if the label `outcome` is given the counter `counter`."""
        self._about = name, documentation
        self._labels = tuple(labels)
        self._counter = counter
        self._outcome = outcome
        self._cells: dict[tuple[str | int, ...], list[float]] = {}
        registry.register(self)

    def observe(self, key: tuple[str | int, ...], seconds: float) -> None:
        """Count one duration under these values of the labels; the last one is the outcome, if there is that label."""
        try:
            cells = self._cells[key]
        except KeyError:
            cells = self._cells[key] = [0.0] * (len(DURATION_BOUNDS_S) + 2)
        cells[bisect_left(DURATION_BOUNDS_S, seconds)] += 1
        cells[-1] += seconds

    def collect(self) -> Iterable[Metric]:
        """Return the samples; called at a scrape."""
        family = HistogramMetricFamily(*self._about, labels=self._labels)
        together: dict[tuple[str, ...], list[float]] = {}
        counts: dict[tuple[str, ...], float] = {}
        for key, cells in self._cells.items():
            texts = tuple(map(str, key))
            counts[texts] = sum(cells[:-1])
            labels = texts[: len(self._labels)]
            known = together.get(labels)
            together[labels] = [*map(add, known, cells)] if known else cells
        bounds = [*map(str, DURATION_BOUNDS_S), "+Inf"]
        for labels, cells in together.items():
            family.add_metric(labels, list(zip(bounds, accumulate(cells[:-1]), strict=True)), cells[-1])
        yield family
        if self._outcome:
            counter = CounterMetricFamily(self._counter, self._about[1], labels=[*self._labels, self._outcome])
            for texts, count in counts.items():
                counter.add_metric(texts, count)
            yield counter


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
