"""Shut out the robots that an operator has disabled."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autogrocery.inventory.peers.gateway import Gateway
    from autogrocery.kit.security.tokens import Verifier


async def shut_out(gateway: Gateway, verifier: Verifier) -> None:
    """Refuse from now on whom the gateway has disabled, however long their tokens last; raises Unavailable or InDoubt.

    While the gateway gives no answer, the last list stays in force.
    """
    verifier.disabled = await gateway.list_disabled()
