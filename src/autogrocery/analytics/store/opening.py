"""Which store the settings ask for."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from autogrocery.analytics.store import embedded, server
from autogrocery.analytics.store.backlog import Backlog
from autogrocery.analytics.store.fact_store import FactStore
from autogrocery.analytics.store.schema import Retention
from autogrocery.analytics.store.spool import Spool
from autogrocery.kit.process.log import log
from autogrocery.kit.process.run import StartError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from autogrocery.analytics.settings import Settings
    from autogrocery.analytics.store.engine import Engine

MEMORY: Final = "memory:"
MEGABYTE: Final = 1 << 20
ADVICE: Final = "pip install 'autogrocery[analytics]'"


@asynccontextmanager
async def open_backlog(settings: Settings) -> AsyncIterator[Backlog | None]:
    """Open the store of ANALYTICS_URL, or the embedded one in AUTOGROCERY_HOME; None: figures are counted in memory.

    Raises SettingsError and StartError, as LockHeldError while another process has the directory.
    """
    home = _directory(settings)
    if reason := _why_in_memory(settings):
        log.warning("facts_are_not_stored", reason=reason)
        yield None
        return
    async with AsyncExitStack() as stack:
        if settings.analytics_url:
            address = server.address_of(settings.analytics_url)
            if not server.is_installed():
                raise StartError(f"ANALYTICS_URL needs a client: {ADVICE}")
            engine: Engine = await stack.enter_async_context(server.open_server(address))
            cluster = address.cluster
            if home is not None:
                stack.enter_context(embedded.locked(home))
        else:
            assert home is not None
            engine, cluster = await stack.enter_async_context(embedded.open_embedded(home)), ""
        retention = Retention(settings.analytics_keep_facts_days, settings.analytics_keep_minutes_days)
        spool = Spool(home / "spool", settings.analytics_spool_mb * MEGABYTE) if home is not None else None
        yield Backlog(FactStore(engine, retention, cluster), spool)


def _why_in_memory(settings: Settings) -> str:
    if settings.analytics_url:
        return "ANALYTICS_URL asks for it" if settings.analytics_url == MEMORY else ""
    if not settings.autogrocery_home:
        return "AUTOGROCERY_HOME is not set"
    return "" if embedded.is_installed() else f"the extra is not installed: {ADVICE}"


def _directory(settings: Settings) -> Path | None:
    return Path(settings.autogrocery_home).expanduser() / "analytics" if settings.autogrocery_home else None
