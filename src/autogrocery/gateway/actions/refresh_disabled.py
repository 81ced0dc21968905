"""Refresh the list of disabled accounts, whose tokens the gateway refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.gateway.store import devices

if TYPE_CHECKING:
    from collections.abc import Iterable

    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.security.tokens import Verifier


async def refresh_disabled(db: Db, verifiers: Iterable[Verifier]) -> None:
    """Make the verifiers refuse the tokens of accounts that are disabled now. Raises Unavailable."""
    disabled = await devices.list_disabled(db)
    for verifier in verifiers:
        verifier.disabled = disabled
