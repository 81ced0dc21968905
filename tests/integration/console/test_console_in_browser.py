"""The console of a whole network in Debian's Chromium; skipped where there is no Chromium."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from autogrocery.cli.demo_accounts import DemoLogin, operator_login
from autogrocery.lab.network.home import read_run
from tests.console.browser import PAGES, chromium, log_in, open_browser, open_page
from tests.harness.homes import temporary_home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

START_S = 90.0
pytestmark = pytest.mark.skipif(chromium() is None, reason="Chromium is not installed: set CHROMIUM to its program")


class Network:
    def __init__(self, url: str, login: DemoLogin) -> None:
        self.url = url
        self.login = login


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    command = [sys.executable, "-m", "autogrocery", "up", "--ports", "auto"]
    with temporary_home(on_disk=True) as home:
        environ = {**os.environ, "AUTOGROCERY_HOME": str(home), "BCRYPT_COST": "10"}
        with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL) as process:
            try:
                yield _started(home, process)
            finally:
                process.terminate()


def _started(home: Path, process: subprocess.Popen[bytes]) -> Network:
    ends_at = time.monotonic() + START_S
    while time.monotonic() < ends_at and process.poll() is None:
        if (run := read_run(home)) is not None:
            return Network(f"http://{run['addresses']['CONSOLE_HTTP_ADDR']}", operator_login(home))
        time.sleep(0.2)
    raise AssertionError("the network did not start")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


def test_every_page_opens_without_an_error_and_asks_nobody_but_the_console(network: Network, browser: Browser) -> None:
    wrong: list[str] = []
    with open_page(browser, network.url) as page:
        log_in(page, *_login(network))
        page.on("request", lambda one: None if one.url.startswith((network.url, "data:")) else wrong.append(one.url))
        page.on("pageerror", lambda one: wrong.append(str(one)))
        page.on("console", lambda one: wrong.append(one.text) if one.type == "error" else None)
        for place in PAGES:
            response = page.goto(place)
            assert response is not None
            page.wait_for_selector("h1#content")
            assert "script-src 'self' 'nonce-" in response.headers["content-security-policy"]
    assert wrong == []


def test_switch_is_set_with_a_reason_by_keyboard(network: Network, browser: Browser) -> None:
    with open_page(browser, network.url) as page:
        log_in(page, *_login(network))
        page.goto("/switches")
        page.focus("[data-act='on|pause_previews']")
        page.keyboard.press("Enter")
        page.wait_for_function("document.activeElement.closest('.sheet') && document.activeElement.tagName === 'INPUT'")
        page.keyboard.type("floor is being cleaned")
        page.keyboard.press("Enter")
        page.wait_for_selector(".sheet .done")
        page.keyboard.press("Escape")
        page.wait_for_selector("[data-act='off|pause_previews']")
        page.goto("/attention")
        page.wait_for_selector("text=floor is being cleaned")


def test_page_without_a_session_leads_to_the_login(network: Network, browser: Browser) -> None:
    with open_page(browser, network.url) as page:
        for place in (*PAGES, "/orders/0"):
            page.goto(place)
            assert page.url == f"{network.url}/login"


def test_cookie_is_closed_to_scripts_and_other_sites(network: Network, browser: Browser) -> None:
    with open_page(browser, network.url) as page:
        log_in(page, *_login(network))
        (cookie,) = page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        page.click("text=Log out")
        page.wait_for_url("**/login")
        page.goto("/")
        assert page.url == f"{network.url}/login"


def _login(network: Network) -> tuple[str, str]:
    return network.login.device_id, network.login.password
