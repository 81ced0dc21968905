"""Switches with which an operator stops work for a while, and what each of them refuses. Pure.

A switch refuses only what would begin: an order that owes inventory a call, or that robots have, always goes on
(docs/PROTOCOL.md#switches).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.gateway.core.account import ROBOT_CLASSES
from autogrocery.gateway.core.quote import LineError
from autogrocery.kit.errors import Conflict, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

PAUSE_PREVIEWS: Final = "pause_previews"
PAUSE_DISPATCH: Final = "pause_dispatch"
MAINTENANCE: Final = "maintenance"
DRAIN: Final = "drain_aisle:"
RETRY_AFTER_S: Final = 5.0


class SwitchText(Struct, frozen=True):
    """What a switch is called, and what it does, for the operator."""

    title: str
    words: str


SWITCHES: Final = {
    PAUSE_PREVIEWS: SwitchText(
        "Pause previews", "New quotes are refused with 503; quotes and orders that exist go on."
    ),
    PAUSE_DISPATCH: SwitchText(
        "Pause dispatch",
        "Confirmations of open quotes are refused with 503 before anything is promised, and quotes expire as ever;"
        " orders that were confirmed go on.",
    ),
    MAINTENANCE: SwitchText(
        "Maintenance", "New quotes and new deliveries are refused with 503; quotes, orders and deliveries go on."
    ),
} | {
    f"{DRAIN}{aisle}": SwitchText(
        f"Drain aisle {aisle}", f"New quotes with a product of aisle {aisle} are refused with 409; others go on."
    )
    for aisle in ROBOT_CLASSES
}


class Switches(Struct, frozen=True):
    """The switches that are on, and the SKUs of the drained aisles.

    `drained_skus` is None while an aisle is drained of which the gateway does not know the products yet.
    """

    names: frozenset[str] = frozenset()
    drained_skus: frozenset[str] | None = frozenset()

    @property
    def drained_aisles(self) -> frozenset[str]:
        """Return the aisles that are drained."""
        return frozenset(name.removeprefix(DRAIN) for name in self.names if name.startswith(DRAIN))

    def require_previews(self, skus: Iterable[str]) -> None:
        """Raise Unavailable(maintenance, previews_paused, aisle_unknown) or Conflict(aisle_drained) for a new quote."""
        if not self.names:
            return
        if MAINTENANCE in self.names:
            raise _in_maintenance()
        if PAUSE_PREVIEWS in self.names:
            raise Unavailable("previews_paused", "the mart takes no new baskets just now", retry_after_s=RETRY_AFTER_S)
        if self.drained_skus is None:
            raise Unavailable("aisle_unknown", "the products of a closed aisle are being read: ask again")
        flaws = tuple(LineError(pointer="/items", sku=sku) for sku in skus if sku in self.drained_skus)
        if flaws:
            raise Conflict("aisle_drained", "products of this basket are in an aisle that is closed", errors=flaws)

    def require_dispatch(self) -> None:
        """Raise Unavailable(dispatch_paused) for a confirmation that would begin a dispatch."""
        if self.dispatch_paused:
            raise Unavailable("dispatch_paused", "robots start no new order just now", retry_after_s=RETRY_AFTER_S)

    @property
    def dispatch_paused(self) -> bool:
        """Return whether confirmations of open quotes are refused."""
        return PAUSE_DISPATCH in self.names

    def require_restocks(self) -> None:
        """Raise Unavailable(maintenance) for a new delivery."""
        if MAINTENANCE in self.names:
            raise _in_maintenance()


ALL_OFF: Final = Switches()


class SwitchBoard(Struct):
    """The switches as this process read them last; `refresh_switches` replaces them."""

    current: Switches = ALL_OFF
    skus_read_at_s: float = 0.0  # by the event loop's clock


def _in_maintenance() -> Unavailable:
    return Unavailable("maintenance", "the mart is in maintenance", retry_after_s=RETRY_AFTER_S)
