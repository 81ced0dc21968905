"""Commands on the store of analytics, while the analytics process does not use it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from autogrocery.analytics import settings
from autogrocery.analytics.actions.backfill import BackfillProgress, backfill
from autogrocery.analytics.core.counters import Counters
from autogrocery.analytics.peers.metrics_log import open_metrics_log
from autogrocery.analytics.store.opening import open_backlog
from autogrocery.cli.console import console
from autogrocery.cli.signals import run_until_signal
from autogrocery.contracts import identities
from autogrocery.kit.process.run import StartError
from autogrocery.kit.security.tls import identity_of
from autogrocery.lab.network.home import home_directory

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping


def run_backfill(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Store the history of the metrics log since a day, with a line of progress each second."""
    wanted = settings.load({**environ, "AUTOGROCERY_HOME": str(home_directory(environ))})
    identity = identity_of(wanted, identities.ANALYTICS, {"GATEWAY_WEBHOOK_URL": wanted.gateway_webhook_url})

    async def work() -> int:
        async with AsyncExitStack() as stack:
            backlog = await stack.enter_async_context(open_backlog(wanted))
            if backlog is None:
                raise StartError("facts are not stored: pip install 'autogrocery[analytics]'")
            log = await stack.enter_async_context(open_metrics_log(wanted.gateway_webhook_url, identity))
            done = await backfill(log, backlog, Counters(), arguments.since, _report)
            _report(done)
            return 0

    return run_until_signal("analytics", work())


def _report(progress: BackfillProgress) -> None:
    rate = progress.stored / max(progress.took_s, 0.001)
    left = f", {progress.missing / rate:,.0f} s left" if progress.missing and rate else ""
    console().print(
        f"{progress.stored:,} facts stored, {progress.missing:,} numbers missing, {rate:,.0f}/s{left}", highlight=False
    )
