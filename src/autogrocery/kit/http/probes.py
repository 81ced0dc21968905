"""Actions that every listener for operators has: the liveness probe, and Prometheus figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from autogrocery.kit.http.route import Answer

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from autogrocery.kit.http.route import Request


async def healthz(_request: Request) -> dict[str, str]:
    """Answer that the process answers."""
    return {"status": "ok"}


async def metrics(_request: Request) -> Answer:
    """Answer with the figures of this process."""
    return exposition(REGISTRY)


def metrics_with(own: Collector) -> Answer:
    """Return the figures of this process and those of one object in it."""
    registry = CollectorRegistry()
    registry.register(own)
    return Answer(generate_latest(REGISTRY) + generate_latest(registry), media=CONTENT_TYPE_LATEST)


def exposition(registry: CollectorRegistry) -> Answer:
    """Return the figures of a registry in Prometheus' text format."""
    return Answer(generate_latest(registry), media=CONTENT_TYPE_LATEST)
