"""The messages between the benchmark and its load generator: a Job in, LoadEvents out, one line of JSON each."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from array import array

PREVIEW, CONFIRM, WEBHOOK = KINDS = ("preview", "confirm", "webhook")
BEGAN, PROGRESS, ENDED, RESULT = "began", "orders", "ended", "tally"


class GatewayPorts(Struct, frozen=True):
    """The ports of the two listeners of one gateway process, on loopback."""

    public: int
    internal: int


class Login(Struct, frozen=True):
    """The account of a device that logs in without pause while others order."""

    device_id: str
    password: str


class Job(Struct, frozen=True, kw_only=True):
    """One run of the load generator.

    `rate`: None for a closed loop, else the orders a second of an open loop, which begin at even intervals.

    `tokens`: of the devices, used in turn so that no order meets a device's rate limit.
    `sends_webhooks`: True if each client sends the signed webhook of its own order as its third request, False if
    inventory sends it. `orders`: end the run after so many orders, or None.
    """

    ports: list[GatewayPorts]
    connections: int
    seconds: float
    tokens: list[str]
    baskets: list[list[tuple[str, int]]]
    webhook_key: bytes = b""
    sends_webhooks: bool = True
    warm_up_s: float = 1.0
    rate: float | None = None
    logins: list[Login] = []  # msgspec copies the default
    orders: int | None = None


class Latency(Struct, frozen=True):
    """The number and the latency percentiles, in milliseconds, of one kind of request."""

    count: int
    p50: float
    p90: float
    p99: float
    p999: float
    maximum: float


def latency_of(took_s: array[float]) -> Latency:
    """Return the percentiles of durations in seconds, by nearest rank."""
    ranked = sorted(took_s)
    at = partial(percentile_ms, ranked)
    return Latency(len(ranked), at(50.0), at(90.0), at(99.0), at(99.9), at(100.0))


def percentile_ms(ranked: list[float], percent: float) -> float:
    """Return a percentile of sorted seconds, in milliseconds."""
    index = -int(-len(ranked) * percent // 100) - 1
    return round(ranked[max(0, index)] * 1e3, 3)


class Tally(Struct, frozen=True, kw_only=True):
    """The counts of a run of the load generator.

    `orders`: finished within the measured `took_s`; `all_orders`: with warm-up and drain; `warm_up_orders`: finished
    before the measured time; `begun`: started.
    `latency_ms`: by kind of request. `failures`: responses without success, by kind and status.
    `refused_ms`: latency of 429 and 503. `late`: arrivals that found every connection busy; `dropped`: arrivals that
    found the queue full. `cpu_s`: of the load generator itself.
    """

    took_s: float
    orders: int
    all_orders: int
    begun: int
    latency_ms: dict[str, Latency]
    failures: dict[str, int]
    refused_ms: Latency | None
    late: int
    dropped: int
    logins: int
    cpu_s: float
    warm_up_orders: int = 0


class LoadEvent(Struct, frozen=True):
    """One line from the load generator: BEGAN, PROGRESS with the orders so far, ENDED, or RESULT with the tally."""

    kind: str
    orders: int = 0
    tally: Tally | None = None
