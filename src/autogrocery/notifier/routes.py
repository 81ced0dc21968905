"""The routes of a notifier's own listener, which it opens if NOTIFIER_HTTP_ADDR is set."""

from __future__ import annotations

from functools import partial

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from autogrocery.kit.http.route import Answer, Request, Route


def probe_routes() -> list[Route]:
    """Return the liveness probe and the metrics; neither needs a token."""
    unauthenticated = partial(Route, "GET", auth=False, urgent=True)
    return [
        unauthenticated("/healthz", _healthz, answer=dict[str, str], summary="The process answers"),
        unauthenticated("/metrics", _metrics, media="text/plain", summary="Prometheus"),
    ]


async def _healthz(_request: Request) -> dict[str, str]:
    return {"status": "ok"}


async def _metrics(_request: Request) -> Answer:
    return Answer(generate_latest(), media=CONTENT_TYPE_LATEST)
