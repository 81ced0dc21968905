"""What every page has: its frame with the navigation, blocks that are renewed in place, the dialog of an action."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import Struct
from nicegui import ui
from starlette.responses import RedirectResponse, Response

from autogrocery.client.problems import Problem, Unanswered
from autogrocery.console.core.text import clock, esc, problem
from autogrocery.console.peers.sessions import COOKIE, Session, Sessions
from autogrocery.console.peers.shared_reads import Reading, SessionEndedError, SharedReads

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from nicegui.events import GenericEventArguments
    from starlette.requests import Request

    from autogrocery.console.peers.analytics import AnalyticsReports

T = TypeVar("T")
EVERY_S: Final = 1.0  # at most two updates a second may reach a browser
PAGES: Final = (
    ("/", "Overview"),
    ("/orders", "Orders"),
    ("/attention", "Attention"),
    ("/shelves", "Shelves"),
    ("/robots", "Robots"),
    ("/trucks", "Trucks"),
    ("/devices", "Devices"),
    ("/analytics", "Analytics"),
    ("/switches", "Switches"),
)
HEAD: Final = '<link rel="stylesheet" href="/assets/console.css"><script src="/assets/console.js"></script>'
# Hands a click on a button inside a block of HTML to the server, as the value of its attribute data-act.
CLICK: Final = "(e) => { const b = e.target.closest('[data-act]'); if (b) emit(b.dataset.act); }"
MAX_REASON: Final = 500


class Console(Struct, frozen=True):
    """What pages use."""

    sessions: Sessions
    reads: SharedReads
    reports: AnalyticsReports


Block = tuple[str, "Callable[[Any], str]"]


class View:
    """One page at one browser, for one session."""

    def __init__(self, console: Console, session: Session, path: str) -> None:
        self.console = console
        self.session = session
        self._path = path
        self._blocks: dict[str, ui.html] = {}

    @property
    def api(self) -> Any:
        """Return the operator's API in the name of this session."""
        return self.session.api

    async def read(self, key: str, fetch: Callable[[], Awaitable[T]]) -> Reading[T]:
        """Return the shared reading of `key`; leaves for the login if the session has ended."""
        if not self.session.alive:
            raise SessionEndedError
        return await self.console.reads.read(key, fetch)

    async def live(
        self,
        key: str,
        fetch: Callable[[], Awaitable[T]],
        blocks: Sequence[Block],
        on_act: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """Show blocks made of a reading, each a name and a function to HTML; a block is sent again when it changed."""

        async def renew() -> None:
            try:
                reading = await self.read(key, fetch)
                await self._renew_banner(reading)
            except SessionEndedError:
                self.session.alive = False
                ui.navigate.to("/login?ended=1")
                return
            for name, render in blocks:
                if reading.value is not None:
                    self._show(name, render(reading.value))
                else:
                    self._show(name, problem(f"Not known yet: {reading.error}"))

        async def clicked(event: GenericEventArguments) -> None:
            if on_act is not None:
                await on_act(str(event.args))

        for name, _ in blocks:
            self._blocks[name] = ui.html("", sanitize=False).classes(f"part b-{name}")
            if on_act is not None:
                self._blocks[name].on("click", clicked, js_handler=CLICK)
        await renew()
        ui.timer(EVERY_S, renew, immediate=False)

    def frame(self, title: str) -> None:
        """Show the navigation and the heading."""
        ui.page_title(f"{title} · Autogrocery")
        ui.add_head_html(HEAD)
        links = "".join(f'<a href="{path}"{_current(path, self._path)}>{name}</a>' for path, name in PAGES)
        ui.html(
            '<a class="skip" href="#content">Skip to content</a>'
            '<div class="brand"><span class="mark" aria-hidden="true"></span>Autogrocery</div>'
            f'<nav aria-label="Pages">{links}</nav>'
            f'<div class="who"><span>{esc(self.session.name)}</span>'
            '<button type="button" class="quiet" data-theme-switch>Theme</button>'
            '<form method="post" action="/logout"><button class="quiet">Log out</button></form></div>',
            sanitize=False,
            tag="header",
        ).classes("side")
        self._blocks["banner"] = ui.html("", sanitize=False).classes("part banner").props('role="status"')
        ui.html(f'<h1 id="content" tabindex="-1">{esc(title)}</h1>', sanitize=False).classes("title")

    def _show(self, name: str, content: str) -> None:
        block = self._blocks[name]
        if block.content != content:
            block.content = content

    async def _renew_banner(self, reading: Reading[Any]) -> None:
        if not reading.error:
            self._show("banner", "")
        elif reading.away:
            since = f" Figures are of {clock(reading.at)} UTC." if reading.at is not None else ""
            words = f"<b>Reconnecting to the gateway.</b> {esc(reading.error)}.{since}"
            self._show("banner", f'<div class="away">{words}</div>')
        else:
            words = f'<div class="away">{esc(reading.error)}</div>' if reading.value is not None else ""
            self._show("banner", words)

    async def confirm(self, title: str, words: str, run: Callable[[str, str], Awaitable[str]]) -> None:
        """Ask for a reason, then call `run(reason, key)` and show the sentence that it returns.

        The key stays the same while the dialog is open, so that a second click does nothing twice.
        """
        key = str(uuid.uuid4())
        with ui.dialog() as dialog, ui.element("div").classes("sheet"):
            ui.html(f"<h2>{esc(title)}</h2><p>{esc(words)}</p>", sanitize=False)
            reason = ui.input("Reason, for the audit log").props(f"outlined autofocus maxlength={MAX_REASON}")
            told = ui.html("", sanitize=False).classes("told").props('role="status"')
            with ui.element("div").classes("row-end"):
                close = ui.button("Cancel", on_click=dialog.close).props("flat no-caps")

                async def confirmed() -> None:
                    if not reason.value.strip():
                        told.content = '<p class="untold">Say why: it is written into the audit log.</p>'
                        return
                    go.disable()
                    told.content = await self._run(run, reason.value.strip(), key)
                    close.text = "Close"
                    go.enable()

                go = ui.button(title, on_click=confirmed).props("unelevated no-caps color=primary")
            reason.on("keydown.enter", confirmed)
        dialog.props(f'aria-label="{esc(title)}"').open()

    async def _run(self, run: Callable[[str, str], Awaitable[str]], reason: str, key: str) -> str:
        if not self.session.alive:
            return problem("The session has ended: log in again.")
        try:
            words = await run(reason, key)
        except Problem as refusal:
            return problem(f"Not done: {refusal.detail}")
        except Unanswered:
            return problem("No answer: it may have been done. Press again: it is done once at most.")
        finally:
            self.console.reads.forget()
        return f'<p class="done">{esc(words)}</p>'


def _current(path: str, shown: str) -> str:
    return ' aria-current="page"' if path == shown or (path != "/" and shown.startswith(f"{path}/")) else ""


def enter(console: Console, request: Request, path: str) -> View | Response:
    """Return the view of a page, or the way to the login without a session."""
    session = console.sessions.find(request.cookies.get(COOKIE))
    return View(console, session, path) if session is not None else RedirectResponse("/login", status_code=303)
