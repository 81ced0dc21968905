"""Commands on the store of analytics: backfill while the analytics process is stopped, report at any time."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp
import msgspec
from rich.live import Live

from autogrocery.analytics import settings
from autogrocery.analytics.actions.backfill import BackfillProgress, backfill
from autogrocery.analytics.actions.view_report import ReportQuery, view_report
from autogrocery.analytics.core.counters import Counters
from autogrocery.analytics.core.report import DAY_S, HOUR_S, Report
from autogrocery.analytics.peers.metrics_log import open_metrics_logs
from autogrocery.analytics.store.opening import ADVICE, open_backlog
from autogrocery.cli.console import console
from autogrocery.cli.report_page import page
from autogrocery.cli.report_text import tables
from autogrocery.cli.signals import run_until_signal
from autogrocery.contracts import identities
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.process.lock_file import LockHeldError
from autogrocery.kit.process.run import StartError
from autogrocery.kit.security.tls import identity_of, tls_arguments
from autogrocery.lab.network.home import home_directory, read_run
from autogrocery.lab.network.options import web_address

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from autogrocery.analytics.settings import Settings
    from autogrocery.analytics.store.backlog import Backlog
    from autogrocery.kit.security.tls import Identity

ADDRESS: Final = "ANALYTICS_HTTP_ADDR"
TIMEOUT_S: Final = 30.0
FOLLOW_EVERY_S: Final = 2.0
OK: Final = 200


def run_backfill(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Store the history of the metrics log since a day, with a line of progress each second."""
    wanted = _settings(environ)
    identity = identity_of(wanted, identities.ANALYTICS, wanted.metrics_logs)

    async def work() -> int:
        async with AsyncExitStack() as stack:
            backlog = await _opened(stack, wanted)
            logs = await stack.enter_async_context(open_metrics_logs(list(wanted.metrics_logs.values()), identity))
            done = await backfill(logs, backlog, Counters(), arguments.since, _print_progress)
            _print_progress(done)
            return 0

    return run_until_signal("analytics", work())


def run_report(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Show the figures of a day or a week; the running analytics process is asked, else its store is opened."""
    wanted, currency = _settings(environ), environ.get("CURRENCY") or "USD"
    query = _query(arguments)

    async def work() -> int:
        async with AsyncExitStack() as stack:
            report = await _report(stack, wanted, query)
            if arguments.html:
                _write(Path(arguments.html), page(report, currency))
            if arguments.json:
                print(msgspec.json.format(msgspec.json.encode(report)).decode())
                return 0
            if not arguments.follow:
                console().print(tables(report, currency))
                return 0
        with Live(tables(report, currency), console=console(), auto_refresh=False) as live:
            while True:
                await asyncio.sleep(FOLLOW_EVERY_S)
                async with AsyncExitStack() as stack:
                    report = await _report(stack, wanted, query)
                live.update(tables(report, currency), refresh=True)

    return run_until_signal("analytics", work())


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


def _query(arguments: argparse.Namespace) -> ReportQuery:
    last: datetime = arguments.week or arguments.day or datetime.now().astimezone()
    midnight = datetime(last.year, last.month, last.day)  # noqa: DTZ001 - local; astimezone finds its offset
    until = (midnight + timedelta(days=1)).astimezone()
    since = (midnight - timedelta(days=6 if arguments.week else 0)).astimezone()
    step_s = DAY_S if arguments.week else HOUR_S
    return ReportQuery(int(since.timestamp()), int(until.timestamp()), step_s, arguments.mart)


async def _report(stack: AsyncExitStack, wanted: Settings, query: ReportQuery) -> Report:
    """Return the report. Raises StartError if the store is in use by a process that can't be asked."""
    run = read_run(Path(wanted.autogrocery_home))
    address = wanted.analytics_http_addr or (run or {}).get("addresses", {}).get(ADDRESS, "")
    if address:
        identity = identity_of(wanted, identities.ANALYTICS)
        return await _ask(web_address(address, "https" if identity else "http"), query, identity)
    try:
        backlog = await _opened(stack, wanted)
    except LockHeldError as error:
        raise StartError(f"{error}; or set {ADDRESS} for it and for this command") from None
    await backlog.store.load()
    if backlog.store.has_uncomputed_minutes:
        await backlog.store.compute_minutes()
    return await view_report(backlog, Counters(), query)


async def _ask(url: str, query: ReportQuery, identity: Identity | None) -> Report:
    asked = {name: str(value) for name, value in msgspec.structs.asdict(query).items()}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session,
            session.get(f"{url}/report", params=asked, **tls_arguments(identities.ANALYTICS, identity)) as response,
        ):
            body = await response.read()
            if response.status != OK:
                raise Unavailable("report_unavailable", f"{url} answered {response.status}: {body[:200].decode()}")
            return msgspec.json.decode(body, type=Report)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unavailable("report_unavailable", f"{url} did not answer ({type(error).__name__})") from None


def _settings(environ: Mapping[str, str]) -> Settings:
    return settings.load({**environ, "AUTOGROCERY_HOME": str(home_directory(environ))})


async def _opened(stack: AsyncExitStack, wanted: Settings) -> Backlog:
    backlog = await stack.enter_async_context(open_backlog(wanted))
    if backlog is None:
        raise StartError(f"facts are not stored: {ADVICE}")
    return backlog


def _print_progress(progress: BackfillProgress) -> None:
    rate = progress.stored / max(progress.took_s, 0.001)
    left = f", {progress.missing / rate:,.0f} s left" if progress.missing and rate else ""
    console().print(
        f"{progress.stored:,} facts stored, {progress.missing:,} numbers missing, {rate:,.0f}/s{left}", highlight=False
    )
