"""A real browser at the console of a running network: Debian's Chromium, driven by playwright."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import Browser, Page, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES = ("/", "/orders", "/attention", "/shelves", "/robots", "/trucks", "/devices", "/analytics", "/switches")
SERIOUS = ("serious", "critical")
TIMEOUT_MS = 20_000


def chromium() -> str | None:
    """Return the program of the machine's own Chromium, None without one."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def axe_source() -> str | None:
    """Return axe-core, which `make console-screens` installs by npm, None without it."""
    file = Path("out/axe/node_modules/axe-core/axe.min.js")
    return file.read_text(encoding="utf-8") if file.exists() else None


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Run Chromium while the block runs."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(browser: Browser, url: str, width: int = 1440, theme: Any = "light") -> Iterator[Page]:
    """Open one page in a context of its own; `bypass_csp` is off, so the policy holds."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, base_url=url)
    context.set_default_timeout(TIMEOUT_MS)
    try:
        yield context.new_page()
    finally:
        context.close()


def log_in(page: Page, operator: str, password: str) -> None:
    """Log in through the form, with the keyboard alone."""
    page.goto("/login")
    page.wait_for_function("document.activeElement.name === 'operator'")
    page.keyboard.type(operator)
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")
    page.wait_for_selector("h1#content, [role=alert]")
    assert not page.locator("[role=alert]").count(), page.locator("[role=alert]").inner_text()


def findings(page: Page, source: str) -> list[str]:
    """Return axe's serious and critical findings, each as its rule and the first element."""
    page.context.new_cdp_session(page).send("Runtime.evaluate", {"expression": source})
    found = page.evaluate("axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})")
    return [f"{one['id']}: {one['nodes'][0]['html'][:160]}" for one in found["violations"] if one["impact"] in SERIOUS]
