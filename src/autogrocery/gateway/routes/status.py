"""The status of this gateway: JSON for machines, a page for people, and the figures that the page follows."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache, partial
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from autogrocery.contracts.ops.status import Figures
from autogrocery.gateway.actions.ops.follow_figures import follow_figures
from autogrocery.gateway.actions.ops.view_figures import view_figures
from autogrocery.gateway.actions.view_status import view_status
from autogrocery.gateway.routes.ops.reads import overview_of, require_stream
from autogrocery.kit.http.exchange import EVENT_STREAM
from autogrocery.kit.http.route import Answer, Request, Route

if TYPE_CHECKING:
    from autogrocery.gateway.deps import Deps

JSON: Final = "application/json"
HTML: Final = "text/html"
INLINE: Final = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def status_routes(deps: Deps) -> list[Route]:
    """Return the routes, which need no token: the internal listener is not public, and they name no order."""
    unauthenticated = partial(Route, "GET", auth=False)
    return [
        unauthenticated(
            "/status",
            partial(_status, deps=deps),
            answer=dict[str, Any],
            summary="What this gateway is doing; a page with Accept: text/html",
        ),
        unauthenticated(
            "/status/figures",
            partial(_figures, deps=deps),
            answer=Figures,
            summary="The figures of the status page, every second with Accept: text/event-stream",
            errors=("503 too_many_streams",),
        ),
    ]


async def _status(request: Request, *, deps: Deps) -> Any:
    if request.preferred(JSON, HTML) == HTML:
        return status_page()
    return await view_status(deps.db, deps.inventory, deps.pricing, deps.metrics, deps.settings.store_id)


async def _figures(request: Request, *, deps: Deps) -> Answer:
    view = partial(
        view_figures, partial(overview_of, deps), deps.inventory, deps.pricing, store_id=deps.settings.store_id
    )
    if request.preferred(JSON, EVENT_STREAM) != EVENT_STREAM:
        return Answer(await view(), headers=(("Cache-Control", "no-store"),))
    require_stream(deps)
    return Answer(media=EVENT_STREAM, stream=follow_figures(view, deps.ops))


@cache
def status_page() -> Answer:
    """Return the page with a Content-Security-Policy that allows its own script and style, by their SHA-256, alone."""
    text = resources.files(__package__).joinpath("status.html").read_text(encoding="utf-8")
    hashes = {kind: _source_hash(inline) for kind, inline in INLINE.findall(text)}
    policy = (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = (
        ("Content-Security-Policy", policy),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cache-Control", "no-store"),
        ("Vary", "Accept"),
    )
    return Answer(text.encode(), media="text/html; charset=utf-8", headers=headers)


def _source_hash(inline: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"
