"""The comparison of a network's facts with its history: one database, one analytics process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aiohttp
import msgspec

from autogrocery.contracts import identities
from autogrocery.contracts.analytics.census import FactCensus
from autogrocery.gateway.store.metrics_log import count_changes
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.pg.db import open_db
from autogrocery.kit.security.tls import tls_arguments
from autogrocery.lab.network.options import web_address
from autogrocery.lab.replay.fact_check import FactCheck

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from autogrocery.kit.security.tls import Identity
    from autogrocery.lab.network import Stack

TIMEOUT_S: Final = 30.0


def make_fact_auditor(stack: Stack, identity: Identity | None = None) -> Callable[[], Awaitable[FactCheck | None]]:
    """Return a function that compares facts and history; it returns None while one of them is unavailable."""
    url = web_address(stack.env["ANALYTICS_HTTP_ADDR"], "https" if identity else "http")

    async def compare() -> FactCheck | None:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), raise_for_status=True) as session,
                session.get(f"{url}/census", **tls_arguments(identities.ANALYTICS, identity)) as response,
            ):
                found = msgspec.json.decode(await response.read(), type=FactCensus)
            async with open_db(stack.dsn, application="fact audit", max_size=1) as db:
                history = await count_changes(db, found.since)
        except (Unavailable, aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError):
            return None
        facts = found.facts.changes if found.facts is not None else None
        return FactCheck(history.changes, found.counted, facts, found.facts == history)

    return compare
