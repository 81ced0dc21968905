"""The JSON that `make bench-metrics` writes and the section of the report is rendered from."""

from __future__ import annotations

from msgspec import Struct

from bench.metrics.chain import Pace, Saturation  # noqa: TC001 - msgspec reads the annotations
from bench.metrics.gateway import Audience  # noqa: TC001
from bench.metrics.storage import Storage  # noqa: TC001
from bench.proc import Machine  # noqa: TC001


class Sending(Struct, frozen=True):
    """What `publish` costs with some subscribers: CPU µs of a metric, made, packed and sent.

    `thread_us`: of the gateway's thread. `cpu_us`: of the process, with ZeroMQ's thread, which writes to the sockets.
    `p99_us`: elapsed, of one call.
    """

    subscribers: int
    thread_us: float
    cpu_us: float
    p99_us: float


class MetricsRecord(Struct, frozen=True, kw_only=True):
    """All measurements of a metric. `costs`: CPU µs by step. `loop_us`: CPU of the calibration loop."""

    at: str
    machine: Machine
    load_average: float
    loop_us: float
    costs: dict[str, float]
    sending: list[Sending]
    saturation: Saturation
    paces: list[Pace]
    storage: list[Storage]
    audiences: list[Audience] = []  # msgspec copies the default
