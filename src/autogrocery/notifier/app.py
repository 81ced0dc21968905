"""The notifier: sends the receipts and alerts that the gateway's transactions have put into its outboxes.

It works on the gateway's database and migrates nothing. Any number of notifiers may run; without one orders go on, and
what is owed waits.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from autogrocery.contracts.notifier_settings import PREFIX
from autogrocery.kit.messages.quiet_hours import parse_quiet_hours
from autogrocery.kit.pg.db import open_db
from autogrocery.kit.pg.start import explained
from autogrocery.kit.process import loops
from autogrocery.kit.process.log import log
from autogrocery.kit.process.ready import notify
from autogrocery.kit.process.run import StartError
from autogrocery.kit.process.settings import load
from autogrocery.kit.security.transport import local_address
from autogrocery.notifier.actions.send_alert import AlertLimits
from autogrocery.notifier.loops import notifier_loops
from autogrocery.notifier.peers.mail import open_mail
from autogrocery.notifier.peers.sms import open_sms
from autogrocery.notifier.settings import NotifierSettings
from autogrocery.notifier.store.schema import missing_columns

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Mapping

    from autogrocery.kit.pg.db import Db

HTTP_SETTING = "NOTIFIER_HTTP_ADDR"
CONNECTIONS = 2  # for alerts, which lock their device's row
BATCH_CONNECTIONS = 2  # one for each outbox


async def main(environ: Mapping[str, str], stop: asyncio.Event) -> None:
    """Send until `stop` is set. Raises SettingsError and StartError with one line for the operator."""
    settings = load(NotifierSettings, environ, prefix=PREFIX)
    limits = AlertLimits(
        parse_quiet_hours(settings.alert_quiet_hours, settings.store_timezone), settings.alert_cap_per_day
    )
    listens = local_address(HTTP_SETTING, settings.notifier_http_addr) if settings.notifier_http_addr else None
    async with AsyncExitStack() as stack:
        mail = await stack.enter_async_context(
            open_mail(settings.smtp_url, settings.autogrocery_home, settings.receipt_from)
        )
        sms = await stack.enter_async_context(open_sms(settings.sms_url))
        db = await stack.enter_async_context(_open_gateway_db(settings.database_direct_url or settings.database_url))
        await stack.enter_async_context(loops.running(notifier_loops(db, mail, sms, settings.store_id, limits)))
        if listens is not None:
            await stack.enter_async_context(_serve(*listens))
        log.info("notifier_started")
        notify()
        await stop.wait()
        log.info("notifier_stopping")


@asynccontextmanager
async def _open_gateway_db(dsn: str) -> AsyncIterator[Db]:
    """Open the gateway's database; raises StartError if it lacks a table or a column that the notifier uses."""
    async with AsyncExitStack() as stack:
        with explained("DATABASE_URL", dsn):
            db = await stack.enter_async_context(
                open_db(dsn, application="notifier", max_size=CONNECTIONS, batch_connections=BATCH_CONNECTIONS)
            )
            missing = await missing_columns(db)
        if missing:
            raise StartError(
                f"DATABASE_URL: the database lacks {len(missing)} columns, {missing[0]} first: run autogrocery migrate"
            )
        yield db


@asynccontextmanager
async def _serve(host: str, port: int) -> AsyncIterator[None]:
    """Serve /healthz and /metrics on `host:port`."""
    from autogrocery.kit.http.app import App  # noqa: PLC0415 - slow to load, and most notifiers do not listen
    from autogrocery.kit.http.server import serve_http  # noqa: PLC0415
    from autogrocery.notifier.routes import probe_routes  # noqa: PLC0415

    async with serve_http(App(probe_routes()), host, port, HTTP_SETTING) as bound:
        log.info("notifier_listening", port=bound)
        yield
