"""A page in Chromium, driven over the DevTools protocol: what it asks for, what it complains of, what it looks like."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import re
import shutil
import tempfile
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Literal

import aiohttp
import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
START_S: Final = 30.0
CALL_S: Final = 30.0
FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",  # a page of our own, and containers have no user namespaces
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
SIZES: Final = """
JSON.stringify({
  inner: innerWidth,
  scroll: document.documentElement.scrollWidth,
  height: document.documentElement.scrollHeight,
  cut: [...document.querySelectorAll('h1,h2,b,td,th,.legend span,svg text')]
    .filter(one => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== 'inline')
    .map(one => one.textContent.slice(0, 40)),
})
"""


class Sizes(Struct, frozen=True):
    """Widths and height of a page in CSS pixels; `cut` has the beginnings of texts that do not fit their element."""

    inner: int
    scroll: int
    height: int
    cut: list[str]


class Tab:
    """The one tab of a browser. `requests` has the URL of everything it asked for, `errors` what it complained of."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._loaded = asyncio.Event()
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def open(
        self, url: str, width: int, scheme: Literal["light", "dark"], media: Literal["screen", "print"] = "screen"
    ) -> Sizes:
        """Show a page in a window of `width` CSS pixels, and measure it."""
        await self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        await self._call("Emulation.setEmulatedMedia", media=media, features=[feature])
        self._loaded.clear()
        await self._call("Page.navigate", url=url)
        await asyncio.wait_for(self._loaded.wait(), CALL_S)
        found = await self._call("Runtime.evaluate", expression=SIZES, returnByValue=True)
        return msgspec.json.decode(found["result"]["value"], type=Sizes)

    async def picture(self, height: int | None = None) -> bytes:
        """Return the page as PNG, whole or down to `height` CSS pixels."""
        clip = {}
        if height is not None:
            metrics = (await self._call("Page.getLayoutMetrics"))["cssContentSize"]
            clip = {"clip": {"x": 0, "y": 0, "width": metrics["width"], "height": height, "scale": 1}}
        shot = await self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True, **clip)
        return base64.b64decode(shot["data"])

    async def begin(self) -> None:
        """Ask for the events that are read."""
        for domain in ("Page", "Network", "Runtime", "Log"):
            await self._call(f"{domain}.enable")

    async def read(self) -> None:
        """Read answers and events until the browser ends."""
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                self._waiting.pop(said["id"]).set_result(said)
                continue
            method, told = said.get("method", ""), said.get("params", {})
            if method == "Network.requestWillBeSent":
                self.requests.append(told["request"]["url"])
            elif method == "Page.loadEventFired":
                self._loaded.set()
            elif method == "Log.entryAdded":
                self.errors.append(told["entry"]["text"])
            elif method in {"Runtime.exceptionThrown", "Runtime.consoleAPICalled"}:
                self.errors.append(str(told))

    async def _call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        await self._socket.send_json({"id": number, "method": method, "params": params})
        said = await asyncio.wait_for(answer, CALL_S)
        if "error" in said:
            raise RuntimeError(f"{method}: {said['error']['message']}")
        result: dict[str, Any] = said["result"]
        return result


def find_chromium() -> str | None:
    """Return the path of a Chromium on this machine; None without one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@asynccontextmanager
async def open_tab(program: str) -> AsyncIterator[Tab]:
    """Start a browser with a profile of its own and yield its tab."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = await asyncio.create_subprocess_exec(
            program,
            *FLAGS,
            f"--user-data-dir={profile}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "HOME": profile},
        )
        try:
            address = await asyncio.wait_for(_address(browser), START_S)
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://{address}/json/list") as listed,
                session.ws_connect(_of_page(await listed.json()), max_msg_size=0) as socket,
            ):
                tab = Tab(socket)
                reading = asyncio.create_task(tab.read())
                try:
                    await tab.begin()
                    yield tab
                finally:
                    reading.cancel()
        finally:
            browser.terminate()
            await browser.communicate()


async def save_pictures(program: str, file: Path, out: Path) -> list[str]:
    """Write PNGs of a page in both themes and at three widths; return their names."""
    names = []
    async with open_tab(program) as tab:
        for width in (360, 768, 1440):
            for scheme in ("light", "dark"):
                await tab.open(file.as_uri(), width, "dark" if scheme == "dark" else "light")
                names.append(f"{file.stem}-{width}-{scheme}.png")
                _write(out / names[-1], await tab.picture())
    return names


def _write(file: Path, data: bytes) -> None:
    file.write_bytes(data)


async def _address(browser: asyncio.subprocess.Process) -> str:
    assert browser.stderr is not None
    async for line in browser.stderr:
        if found := re.search(rb"DevTools listening on ws://([^/]+)/", line):
            return found[1].decode()
    raise RuntimeError("Chromium did not start")


def _of_page(listed: list[dict[str, Any]]) -> str:
    return str(next(one["webSocketDebuggerUrl"] for one in listed if one["type"] == "page"))
