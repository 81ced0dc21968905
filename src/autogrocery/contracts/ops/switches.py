"""GET /internal/ops/switches and PUT /internal/ops/switches/{name}: what the mart stops taking for a while."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations

from msgspec import Struct

from autogrocery.contracts.ops.actions import Reason  # noqa: TC001


class SwitchIn(Struct, frozen=True, forbid_unknown_fields=True):
    """Sets a switch. `until`: it ends by itself then; None: when a person switches it off."""

    on: bool
    reason: Reason
    until: datetime | None = None


class SwitchOut(Struct, frozen=True):
    """A switch. `on` is false also when `until` has passed; the other fields are of the last change, if there was one.

    `words` says what is refused and what goes on while it is on.
    """

    name: str
    on: bool
    title: str
    words: str
    reason: str | None = None
    operator: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class SwitchesOut(Struct, frozen=True):
    """Every switch there is, on or off: pause_previews, pause_dispatch, maintenance, drain_aisle:<aisle>."""

    data: list[SwitchOut]
