"""Refuse the tokens of robots that an operator has disabled."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autogrocery.inventory.peers.gateway import Gateway
    from autogrocery.kit.security.tokens import Verifier


async def disable_robots(gateway: Gateway, verifier: Verifier) -> None:
    """Load the gateway's list of disabled accounts into the token verifier, which then refuses their tokens.

    Raises Unavailable or InDoubt if the gateway gives no answer; the last list then stays in force.
    """
    verifier.disabled = await gateway.list_disabled()
