"""The analytics engine, one process: figures of every order's way, whole even if it starts late or misses messages."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from autogrocery.analytics import settings
from autogrocery.analytics.actions.tell import write_status
from autogrocery.analytics.core.tally import Tally
from autogrocery.analytics.loops import table
from autogrocery.analytics.peers.frames import open_frames
from autogrocery.analytics.peers.log import open_log
from autogrocery.contracts import identities
from autogrocery.kit.process import loops, ready
from autogrocery.kit.process.log import log
from autogrocery.kit.process.run import StartError
from autogrocery.kit.security.curve import subscriber_keys
from autogrocery.kit.security.tls import identity_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping


async def main(environ: Mapping[str, str], stop: asyncio.Event) -> None:
    """Count until `stop`; raises SettingsError or StartError with what the operator has to change."""
    wanted = settings.load(environ)
    addresses, binds = wanted.subscription
    identity = identity_of(wanted, identities.ANALYTICS, {"GATEWAY_WEBHOOK_URL": wanted.gateway_webhook_url})
    keys = subscriber_keys(wanted, "ANALYTICS_ZMQ_TARGET", ",".join(addresses))
    tally = Tally()
    async with AsyncExitStack() as stack:
        frames = await stack.enter_async_context(open_frames(addresses, binds=binds, keys=keys))
        history = await stack.enter_async_context(open_log(wanted.gateway_webhook_url, identity))
        if wanted.analytics_status_file:
            try:
                await write_status(tally, Path(wanted.analytics_status_file))
            except OSError as error:
                raise StartError(f"ANALYTICS_STATUS_FILE can't be written ({error.strerror})") from None
        await stack.enter_async_context(loops.running(table(frames, history, tally, wanted.analytics_status_file)))
        log.info("analytics_started", binds=binds)
        ready.notify()
        await stop.wait()
    if wanted.analytics_status_file:
        await write_status(tally, Path(wanted.analytics_status_file))
