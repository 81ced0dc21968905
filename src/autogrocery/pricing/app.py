"""Wiring of the pricing process: the price list behind PricingService."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from autogrocery.contracts import identities
from autogrocery.kit.pg.start import explained, open_migrated
from autogrocery.kit.process import ready
from autogrocery.kit.process.log import log
from autogrocery.kit.process.settings import address
from autogrocery.kit.rpc.server import serve
from autogrocery.kit.security.tls import identity_of
from autogrocery.pricing import settings
from autogrocery.pricing.actions.refresh_search_keys import refresh_search_keys
from autogrocery.pricing.rpc import CALLERS, Pricing, methods

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

MIGRATIONS: Final = "autogrocery.pricing.store.migrations"
SCHEMA: Final = "pricing"


async def main(environ: Mapping[str, str], stop: asyncio.Event) -> None:
    """Serve until `stop` is set. Raises SettingsError or StartError naming what the operator must change."""
    wanted = settings.load(environ)
    host, port = address("PRICING_GRPC_ADDR", wanted.pricing_grpc_addr)
    identity = identity_of(wanted, identities.PRICING, {"PRICING_GRPC_ADDR": wanted.pricing_grpc_addr})
    async with AsyncExitStack() as stack:
        setting = "PRICING_DATABASE_URL" if wanted.pricing_database_url else "DATABASE_URL"
        db = await stack.enter_async_context(
            open_migrated(setting, wanted.dsn, MIGRATIONS, SCHEMA, application="autogrocery pricing")
        )
        with explained(setting, wanted.dsn):
            await refresh_search_keys(db)
        pricing = Pricing(db, currency=wanted.currency, margin_percent=wanted.price_margin_percent)
        bound = await stack.enter_async_context(
            serve("PRICING_GRPC_ADDR", host, port, methods(pricing), identity=identity, callers=CALLERS)
        )
        log.info("pricing_started", port=bound)
        ready.notify()
        await stop.wait()
