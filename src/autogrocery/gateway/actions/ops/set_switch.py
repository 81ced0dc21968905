"""Set a switch on or off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.contracts.ops.switches import SwitchOut
from autogrocery.gateway.actions.ops.record_write import Recorded, Write, Written, record_write
from autogrocery.gateway.actions.ops.refresh_switches import refresh_switches
from autogrocery.gateway.actions.ops.view_switches import switch_out
from autogrocery.gateway.core.switch import SWITCHES
from autogrocery.gateway.store.ops import switches
from autogrocery.kit.errors import FieldError, Invalid, NotFound
from autogrocery.kit.process.clock import now, rfc3339

if TYPE_CHECKING:
    from autogrocery.contracts.ops.audit_log import Facts
    from autogrocery.contracts.ops.switches import SwitchIn
    from autogrocery.gateway.core.switch import SwitchBoard
    from autogrocery.gateway.peers.pricing import Pricing
    from autogrocery.gateway.store.ops.switches import SwitchState
    from autogrocery.kit.pg.db import Db


async def set_switch(
    db: Db, pricing: Pricing, board: SwitchBoard, name: str, wanted: SwitchIn, write: Write
) -> Recorded[SwitchOut]:
    """Set a switch; this gateway obeys at once, the others within a second.

    Raises NotFound(no_such_switch), Invalid(invalid_request) for an `until` that has no zone or has passed, what
    `record_write` raises, and Unavailable.
    """
    if name not in SWITCHES:
        raise NotFound("no_such_switch", f"the switches are {', '.join(SWITCHES)}")
    if wanted.until is not None and (not wanted.on or wanted.until.tzinfo is None or wanted.until <= now()):
        flaw = FieldError(
            pointer="/until", detail="an instant in the future with its zone, for a switch that is set on"
        )
        raise Invalid("invalid_request", "the switch can't end then", errors=(flaw,))
    known = {one.name: one for one in await switches.list_set(db)}

    async def run() -> Written[SwitchOut]:
        state = await switches.write(
            db, name, on=wanted.on, reason=wanted.reason, operator=write.operator, until=wanted.until
        )
        return Written(switch_out(name, state), _facts(state))

    done = await record_write(db, write, SwitchOut, _facts(known.get(name)), run)
    await refresh_switches(db, pricing, board)
    return done


def _facts(state: SwitchState | None) -> Facts:
    if state is None:
        return {"on": False, "until": None}
    return {"on": state.on, "until": None if state.until is None else rfc3339(state.until)}
