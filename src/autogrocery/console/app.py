"""The console process: it speaks to the gateway only through the operator's API, with the login of each operator."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp
import uvicorn
from fastapi import FastAPI
from nicegui import app as framework
from nicegui import run as framework_pools
from nicegui import ui

from autogrocery.console.pages import attention, devices, figures, login, orders, overview, stock, switches
from autogrocery.console.pages.security import Protect
from autogrocery.console.pages.shell import Console
from autogrocery.console.peers.analytics import AnalyticsReports
from autogrocery.console.peers.sessions import Sessions
from autogrocery.console.peers.shared_reads import SharedReads
from autogrocery.console.settings import load
from autogrocery.contracts import identities
from autogrocery.kit.process import ready
from autogrocery.kit.process.listening import listen, reachable
from autogrocery.kit.process.log import log
from autogrocery.kit.process.settings import web_url
from autogrocery.kit.security.tls import identity_of, tls_arguments
from autogrocery.kit.security.transport import local_address

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from autogrocery.console.settings import Settings
    from autogrocery.kit.security.tls import Identity

BACKLOG: Final = 128
MAX_CONNECTIONS: Final = 500  # browsers hold a WebSocket for each page
GATEWAY_CONNECTIONS: Final = 8
STOP_S: Final = 2
ASSETS: Final = Path(__file__).parent / "static"


class Server(uvicorn.Server):
    """A server that leaves the signals to this process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


async def main(environ: Mapping[str, str], stop: asyncio.Event) -> None:
    """Serve until `stop` is set; raises SettingsError or StartError that says what the operator has to change."""
    settings = load(dict(environ))
    host, port = local_address("CONSOLE_HTTP_ADDR", settings.console_http_addr)
    url = web_url("GATEWAY_WEBHOOK_URL", settings.gateway_webhook_url)
    identity = identity_of(settings, "", {"GATEWAY_WEBHOOK_URL": url})
    logging.getLogger("nicegui").setLevel(logging.WARNING)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=GATEWAY_CONNECTIONS))
        )
        listener = listen("CONSOLE_HTTP_ADDR", host, port, BACKLOG)
        _add_pages(_console(settings, http, url, identity))
        server = Server(
            uvicorn.Config(
                _application(),
                log_config=None,
                access_log=False,
                limit_concurrency=MAX_CONNECTIONS,
                timeout_graceful_shutdown=STOP_S,
                server_header=False,
                ws_max_size=1 << 16,
            )
        )
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        stopping = asyncio.create_task(stop.wait())
        log.info("console_started", port=port)
        ready.notify()
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serving
        stopping.cancel()
        log.info("console_stopped")


def _console(settings: Settings, http: aiohttp.ClientSession, url: str, identity: Identity | None) -> Console:
    scheme = "https" if identity is not None else "http"
    address = settings.analytics_http_addr
    reports = f"{scheme}://{reachable(address)}" if address else ""
    return Console(
        Sessions(http, url, partial(tls_arguments, identities.GATEWAY, identity)),
        SharedReads(),
        AnalyticsReports(http, reports, partial(tls_arguments, identities.ANALYTICS, identity)),
    )


def _add_pages(console: Console) -> None:
    framework.add_static_files("/assets", ASSETS, max_cache_age=60)
    for page in (login, overview, orders, attention, stock, devices, figures, switches):
        page.register(console)


def _make_no_pool() -> None:
    """Stand in for the making of NiceGUI's pool of processes."""


def _application() -> Protect:
    # NiceGUI's start makes a pool of processes for heavy work, of which this console has none; making one needs shared
    # memory, which a machine may lack.
    framework_pools.setup = _make_no_pool
    outer = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    ui.run_with(
        outer,
        title="Autogrocery",
        favicon="\N{SHOPPING TROLLEY}",
        dark=None,
        language="en-US",
        tailwind=False,
        binding_refresh_interval=None,
        show_welcome_message=False,
        reconnect_timeout=10.0,
    )
    return Protect(outer)
