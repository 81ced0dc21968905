"""The analytics process: figures of all status changes, complete even if it starts late or misses messages."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from autogrocery.analytics import routes, settings
from autogrocery.analytics.actions.store_batches import load_store, store_rest
from autogrocery.analytics.actions.view_figures import write_status
from autogrocery.analytics.core.counters import Counters
from autogrocery.analytics.loops import table
from autogrocery.analytics.peers.metrics_log import open_metrics_log
from autogrocery.analytics.peers.picks import Picks
from autogrocery.analytics.peers.shortfalls import open_shortfalls
from autogrocery.analytics.peers.subscription import open_subscription
from autogrocery.analytics.store.opening import open_backlog
from autogrocery.contracts import identities
from autogrocery.kit.http.app import App
from autogrocery.kit.http.server import serve_http
from autogrocery.kit.process import loops, ready
from autogrocery.kit.process.log import log
from autogrocery.kit.process.run import StartError
from autogrocery.kit.process.settings import grpc_target, web_url
from autogrocery.kit.rpc.channel import open_channel
from autogrocery.kit.security.curve import subscriber_keys
from autogrocery.kit.security.tls import identity_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping


async def main(environ: Mapping[str, str], stop: asyncio.Event) -> None:
    """Run the engine until `stop`; raises SettingsError or StartError that says what the operator has to change."""
    wanted = settings.load(environ)
    subscribe_to, listen_at = wanted.subscription, wanted.http
    identity = identity_of(
        wanted,
        identities.ANALYTICS,
        {
            "GATEWAY_WEBHOOK_URL": web_url("GATEWAY_WEBHOOK_URL", wanted.gateway_webhook_url),
            "INVENTORY_GRPC_TARGET": grpc_target("INVENTORY_GRPC_TARGET", wanted.inventory),
        },
    )
    keys = subscriber_keys(wanted, "ANALYTICS_ZMQ_TARGET", ",".join(subscribe_to.addresses))
    counters = Counters()
    async with AsyncExitStack() as stack:
        backlog = await stack.enter_async_context(open_backlog(wanted))
        if backlog is not None:
            await load_store(backlog, counters)
        subscription = await stack.enter_async_context(
            open_subscription(subscribe_to.addresses, binds=subscribe_to.binds, keys=keys)
        )
        shortfalls = await stack.enter_async_context(open_shortfalls(wanted.gateway_webhook_url, identity))
        inventory = await stack.enter_async_context(open_channel(wanted.inventory, identity, identities.INVENTORY))
        history = await stack.enter_async_context(open_metrics_log(wanted.gateway_webhook_url, identity))
        if wanted.analytics_status_file:
            try:
                await write_status(counters, backlog, Path(wanted.analytics_status_file))
            except OSError as error:
                raise StartError(f"ANALYTICS_STATUS_FILE can't be written ({error.strerror})") from None
        if listen_at is not None:
            await stack.enter_async_context(
                serve_http(App(routes.table(counters, backlog)), *listen_at, "ANALYTICS_HTTP_ADDR", identity=identity)
            )
        sources = (shortfalls, Picks(inventory))
        all_loops = table(subscription, history, sources, counters, backlog, wanted.analytics_status_file)
        async with loops.running(all_loops):
            log.info("analytics_started", binds=subscribe_to.binds)
            ready.notify()
            await stop.wait()
        if backlog is not None:
            await store_rest(backlog)
        if wanted.analytics_status_file:
            await write_status(counters, backlog, Path(wanted.analytics_status_file))
