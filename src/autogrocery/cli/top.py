"""`autogrocery top`: the figures of the status page in a terminal, every second, until q or Ctrl-C."""

from __future__ import annotations

import asyncio
import sys
import termios
import tty
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import aiohttp
import msgspec
from rich.live import Live

from autogrocery.cli.console import console
from autogrocery.cli.signals import run_until_signal
from autogrocery.cli.top_text import screen
from autogrocery.contracts.ops.status import Figures
from autogrocery.kit.process.run import StartError
from autogrocery.kit.process.settings import web_url

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

PATH: Final = "/status/figures"
EVERY_S: Final = 1.0
TIMEOUT_S: Final = 5.0
MAX_BYTES: Final = 1 << 20
NO_ANSWER: Final = (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError, OSError)


def run_top(arguments: argparse.Namespace, _environ: Mapping[str, str]) -> int:
    """Show the figures live in a terminal; in a pipe or with --json print them once."""
    url = web_url("--url", arguments.url).rstrip("/")

    async def work() -> int:
        output = console()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session:
            if arguments.json or not output.is_terminal:
                try:
                    figures = await _ask(session, url)
                except NO_ANSWER as trouble:
                    raise StartError(f"no gateway answers at {url}: {_words(trouble)}; name another by --url") from None
                if arguments.json:
                    print(msgspec.json.format(msgspec.json.encode(figures)).decode())
                else:
                    output.print(screen(figures, ""))
                return 0 if figures.database == "up" else 1
            stop = asyncio.Event()
            with _quit_key(stop), Live(console=output, auto_refresh=False, screen=True) as live:
                await _follow(session, url, live, stop)
        return 0

    return run_until_signal("top", work())


async def _follow(session: aiohttp.ClientSession, url: str, live: Live, stop: asyncio.Event) -> None:
    """Show the figures until `stop`; while the gateway does not answer, the last ones stay under a notice."""
    figures, failed = None, 0
    while not stop.is_set():
        try:
            figures, failed = await _ask(session, url), 0
            notice = ""
        except NO_ANSWER as trouble:
            failed += 1
            notice = f"{url} does not answer ({_words(trouble)}); reconnecting, attempt {failed}. q ends."
        live.update(screen(figures, notice), refresh=True)
        try:
            async with asyncio.timeout(EVERY_S):
                await stop.wait()
        except TimeoutError:
            continue


async def _ask(session: aiohttp.ClientSession, url: str) -> Figures:
    async with session.get(url + PATH) as response:
        response.raise_for_status()
        return msgspec.json.decode(await response.content.read(MAX_BYTES), type=Figures)


def _words(trouble: BaseException) -> str:
    if isinstance(trouble, aiohttp.ClientResponseError):
        return f"status {trouble.status}"
    return "no connection" if isinstance(trouble, OSError | aiohttp.ClientConnectionError) else type(trouble).__name__


@contextmanager
def _quit_key(stop: asyncio.Event) -> Iterator[None]:
    """Set `stop` when q is pressed; without a terminal as standard input only signals end the command."""
    if sys.stdin is None or not sys.stdin.isatty():
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def read() -> None:
        if sys.stdin.read(1) in {"q", "Q", ""}:
            stop.set()

    tty.setcbreak(descriptor)
    asyncio.get_running_loop().add_reader(descriptor, read)
    try:
        yield
    finally:
        asyncio.get_running_loop().remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
