"""Read the switches, on or off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.contracts.ops.switches import SwitchesOut, SwitchOut
from autogrocery.gateway.core.switch import SWITCHES
from autogrocery.gateway.store.ops import switches

if TYPE_CHECKING:
    from autogrocery.gateway.store.ops.switches import SwitchState
    from autogrocery.kit.pg.db import Db


async def view_switches(db: Db) -> SwitchesOut:
    """Return every switch there is. Raises Unavailable."""
    known = {one.name: one for one in await switches.list_set(db)}
    return SwitchesOut([switch_out(name, known.get(name)) for name in SWITCHES])


def switch_out(name: str, state: SwitchState | None) -> SwitchOut:
    """Return the JSON of a switch; `state` None: it was never set."""
    text = SWITCHES[name]
    if state is None:
        return SwitchOut(name, on=False, title=text.title, words=text.words)
    return SwitchOut(
        name, state.on, text.title, text.words, state.reason, state.operator, state.changed_at, state.until
    )
