"""The login: a plain form, which works before any script has loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nicegui import app
from starlette.requests import Request  # noqa: TC002 - FastAPI reads the annotations
from starlette.responses import HTMLResponse, RedirectResponse, Response

from autogrocery.client.problems import Problem, Unanswered
from autogrocery.console.core.text import esc
from autogrocery.console.peers.sessions import COOKIE

if TYPE_CHECKING:
    from autogrocery.console.pages.shell import Console

SEE_OTHER: Final = 303
MAX_FIELD: Final = 1_024
ENDED: Final = "Your session has ended with its token. Log in again."


def register(console: Console) -> None:
    """Add the login and the logout."""

    @app.get("/login")
    async def form(request: Request) -> Response:
        return _page(ENDED if "ended" in request.query_params else "")

    @app.post("/login")
    async def login(request: Request) -> Response:
        fields = await request.form(max_files=0, max_fields=4, max_part_size=4_096)
        name, password = (str(fields.get(field, ""))[:MAX_FIELD] for field in ("operator", "password"))
        try:
            cookie = await console.sessions.open(name, password)
        except Problem as refusal:
            return _page(refusal.detail, 401)
        except Unanswered:
            return _page("The gateway does not answer. Try again in a moment.", 503)
        console.sessions.close(request.cookies.get(COOKIE))
        answer = RedirectResponse("/", status_code=SEE_OTHER)
        answer.set_cookie(COOKIE, cookie, httponly=True, samesite="strict", secure=request.url.scheme == "https")
        return answer

    @app.post("/logout")
    async def logout(request: Request) -> Response:
        console.sessions.close(request.cookies.get(COOKIE))
        answer = RedirectResponse("/login", status_code=SEE_OTHER)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer


def _page(told: str, status: int = 200) -> HTMLResponse:
    words = f'<p class="untold" role="alert">{esc(told)}</p>' if told else ""
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Log in · Autogrocery</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<link rel="icon" href="data:,"><link rel="stylesheet" href="/assets/console.css">'
        '<script src="/assets/console.js"></script></head>'
        '<body class="plain"><main class="login card"><div class="brand"><span class="mark" aria-hidden="true"></span>'
        f"Autogrocery</div><h1>Operator's console</h1>{words}"
        '<form method="post" action="/login"><label>Operator<input name="operator" autocomplete="username" required'
        ' autofocus maxlength="100"></label><label>Password<input name="password" type="password"'
        ' autocomplete="current-password" required maxlength="1024"></label>'
        '<button class="act">Log in</button></form></main></body></html>',
        status_code=status,
    )
