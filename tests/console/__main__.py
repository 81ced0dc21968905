"""Screenshots of every page in two themes and three widths, with axe's findings: `make console-screens`.

It opens the console of the network whose home is AUTOGROCERY_HOME, which `autogrocery up` runs.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from autogrocery.cli.demo_accounts import operator_login
from autogrocery.lab.network.home import home_directory, read_run
from tests.console.browser import PAGES, axe_source, chromium, findings, log_in, open_browser, open_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

WIDTHS = (360, 768, 1440)
THEMES = ("light", "dark")
OUT = Path("out/console")


def main() -> int:
    """Write the pictures and return 1 if axe found something serious or a page spoke to anybody but the console."""
    home = home_directory(os.environ)
    run = read_run(home)
    if run is None or "CONSOLE_HTTP_ADDR" not in run["addresses"]:
        print("No network with a console runs: start `make up` first.", file=sys.stderr)
        return 2
    if chromium() is None:
        print("Chromium is not installed: no picture is taken.", file=sys.stderr)
        return 2
    url = f"http://{run['addresses']['CONSOLE_HTTP_ADDR']}"
    login = operator_login(home)
    OUT.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[str]] = {}
    only = sys.argv[1:]
    with open_browser() as browser:
        for theme in THEMES:
            for width in WIDTHS:
                name = f"{width}-{theme}"
                if not only or name in only:
                    found |= _round(browser, url, (login.device_id, login.password), width, theme)
    (OUT / "findings.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    for place, words in found.items():
        print(place, *words, sep="\n  ")
    return 1 if found else 0


def _round(browser: Browser, url: str, login: tuple[str, str], width: int, theme: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    source = axe_source()
    with open_page(browser, url, width, theme) as page:
        wrong: list[str] = []
        page.on("request", lambda one: None if one.url.startswith((url, "data:", "ws:")) else wrong.append(one.url))
        page.on("console", lambda one: wrong.append(one.text) if one.type == "error" else None)
        page.on("pageerror", lambda one: wrong.append(str(one)))
        page.goto("/login")
        page.screenshot(path=OUT / f"login-{width}-{theme}.png")
        log_in(page, *login)
        places = list(PAGES)
        page.goto("/orders")
        page.wait_for_selector(".b-rows")
        if page.locator(".b-rows td a").count():
            places.append(str(page.locator(".b-rows td a").first.get_attribute("href")))
        for place in places:
            wrong.clear()
            page.goto(place)
            page.wait_for_selector("h1#content")
            page.wait_for_timeout(600)
            name = place.strip("/").split("/")[0] or "overview"
            name = "order" if place.startswith("/orders/") else name
            page.screenshot(path=OUT / f"{name}-{width}-{theme}.png", full_page=True)
            sideways = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
            words = [*wrong, *(["the page scrolls sideways"] if sideways else [])]
            words += findings(page, source) if source else []
            if words:
                found[f"{name} {width} {theme}"] = words
    return found


if __name__ == "__main__":
    sys.exit(main())
