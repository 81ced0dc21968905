"""The figures of `make bench-metrics`."""

from __future__ import annotations

from msgspec import Struct

from bench.proc import Machine  # noqa: TC001 - msgspec reads it from MetricsRecord


class Stage(Struct, frozen=True):
    """One step of a metric's way, and its CPU µs for one metric."""

    name: str
    us: float


class Sending(Struct, frozen=True):
    """Packing and sending with some subscribers: CPU µs a metric by the publisher's process, ZeroMQ's thread included."""

    subscribers: int
    rate: float
    us: float
    dropped: int


class Paced(Struct, frozen=True):
    """The whole chain at a rate: shares of one core by process, metrics stored of those sent, frames dropped."""

    rate: float
    publisher_share: float
    analytics_share: float
    sent: int
    stored: int
    dropped: int


class Saturated(Struct, frozen=True):
    """The whole chain as fast as the store takes metrics: per second, and analytics' memory at a tenth and at the end."""

    sent: int
    stored: int
    per_s: float
    publisher_us: float
    analytics_us: float
    rss_first_mib: float
    rss_last_mib: float


class StoreSize(Struct, frozen=True):
    """A store with generated facts: bytes a fact on disk, and seconds of the report over one of its days and weeks."""

    facts: int
    days: int
    facts_bytes: float
    minutes_bytes: float
    day_s: float
    week_s: float


class MetricsRecord(Struct, frozen=True):
    """The whole run."""

    at: str
    machine: Machine
    loop_us: float
    stages: list[Stage]
    sending: list[Sending]
    paced: list[Paced]
    saturated: Saturated
    stores: list[StoreSize]
