"""A row's flag, lifted while a peer is asked again: it is set anew only if the peer still contradicts."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


@asynccontextmanager
async def lifted_flag(
    flagged: str | None, unflag: Callable[[str], Awaitable[object]], flag: Callable[[str], Awaitable[object]]
) -> AsyncIterator[None]:
    """Lift the flag `flagged`, if there is one, for the block; put it back if the block raises."""
    if flagged is not None:
        await unflag(flagged)
    try:
        yield
    except BaseException:
        if flagged is not None:
            await flag(flagged)
        raise
