"""The routes of a notifier's own listener, which it opens if NOTIFIER_HTTP_ADDR is set."""

from __future__ import annotations

from functools import partial

from autogrocery.kit.http.probes import healthz, metrics
from autogrocery.kit.http.route import Route


def probe_routes() -> list[Route]:
    """Return the liveness probe and the metrics; neither needs a token."""
    unauthenticated = partial(Route, "GET", auth=False, urgent=True)
    return [
        unauthenticated("/healthz", healthz, answer=dict[str, str], summary="The process answers"),
        unauthenticated("/metrics", metrics, media="text/plain", summary="Prometheus"),
    ]
