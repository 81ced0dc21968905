"""The timeline of an order as lanes: device, gateway, pricing, inventory, robots; time runs to the right, in steps.

An order waits for seconds and works for milliseconds, so events stand at equal distances, in the order of time, and
each says how long after the one before it came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.console.core.text import clock, duration, esc

if TYPE_CHECKING:
    from datetime import datetime

    from autogrocery.contracts.ops.orders import OrderBundle

LANES: Final = ("device", "gateway", "pricing", "inventory", "robots")
LEFT: Final = 92
STEP: Final = 118
LANE: Final = 58
TOP: Final = 30
MAX_EVENTS: Final = 60
CUT: Final = 16
DEVICE_CAUSES: Final = ("preview", "cancel")


class LaneEvent(Struct, frozen=True):
    """One event in a lane; `from_lane` is the lane of its caller, empty for none; `ok` is whether it went well."""

    at: datetime
    lane: str
    text: str
    detail: str
    from_lane: str = ""
    ok: bool = True


def events_of(bundle: OrderBundle) -> list[LaneEvent]:
    """Return what happened to an order, oldest first: its status changes, calls, webhooks and robots' work."""
    found = []
    for change in bundle.history:
        caller = "device" if change.cause.startswith(DEVICE_CAUSES) or change.from_status is None else ""
        if change.to_status in {"COMPLETED", "FAILED"} and bundle.webhooks:
            caller = "inventory"
        bad = change.to_status in {"FAILED", "CANCELLED", "EXPIRED"}
        found.append(LaneEvent(change.at, "gateway", change.to_status, change.cause, caller, ok=not bad))
    if bundle.confirmed_at is not None:
        found.append(LaneEvent(bundle.confirmed_at, "gateway", "confirm", "the device confirmed", "device"))
    for call in bundle.calls:
        lane = call.peer if call.peer in LANES else "inventory"
        detail = f"{call.outcome}, {duration(call.ms / 1000)}, attempt {call.attempt}"
        found.append(LaneEvent(call.at, lane, call.method, detail, "gateway", ok=call.outcome.upper() == "OK"))
    for one in bundle.inventory.assignments:
        detail = f"{one.robot_id}: {one.state}"
        found.append(LaneEvent(one.assigned_at, "robots", f"{one.robot_class} assigned", detail, "inventory"))
        if one.closed_at is not None:
            well = one.state not in {"FAILED", "WITHDRAWN"}
            found.append(LaneEvent(one.closed_at, "inventory", f"{one.robot_class} closed", detail, "robots", ok=well))
    found.sort(key=lambda event: event.at)
    return found[:MAX_EVENTS]


def draw(events: list[LaneEvent]) -> str:
    """Return the lanes as SVG, in a region that scrolls sideways by keyboard too."""
    width = LEFT + STEP * max(1, len(events)) + 24
    height = TOP + LANE * len(LANES)
    parts = []
    for number, name in enumerate(LANES):
        y = TOP + LANE * number + LANE / 2
        parts.append(f'<text class="l-name" x="8" y="{y + 4:g}">{name}</text>')
        parts.append(f'<line class="l-line" x1="{LEFT - 12}" x2="{width - 8}" y1="{y:g}" y2="{y:g}"/>')
    before = None
    for number, event in enumerate(events):
        parts.append(_event(event, LEFT + 48 + STEP * number, before))
        before = event.at
    words = "; ".join(f"{clock(one.at)} {one.lane}: {one.text}" for one in events)
    return (
        '<div class="wide lanes" tabindex="0" role="region" aria-label="Timeline">'
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" aria-label="{esc(words)}">'
        f"{''.join(parts)}</svg></div>"
    )


def _event(event: LaneEvent, x: int, before: datetime | None) -> str:
    y = TOP + LANE * LANES.index(event.lane) + LANE / 2
    arrow = ""
    if event.from_lane and event.from_lane != event.lane:
        start = TOP + LANE * LANES.index(event.from_lane) + LANE / 2
        arrow = f'<line class="l-arrow" x1="{x}" x2="{x}" y1="{start:g}" y2="{y:g}"/>'
    after = f"+{duration((event.at - before).total_seconds())}" if before is not None else clock(event.at)
    shown = event.text if len(event.text) <= CUT else f"{event.text[: CUT - 1]}\N{HORIZONTAL ELLIPSIS}"
    mark = "" if event.ok else f'<text class="l-bad" x="{x}" y="{y + 4:g}" text-anchor="middle">!</text>'
    return (
        f"<g><title>{clock(event.at)} {esc(event.text)}: {esc(event.detail)}</title>{arrow}"
        f'<text class="l-time" x="{x}" y="16" text-anchor="middle">{after}</text>'
        f'<circle class="{"l-ok" if event.ok else "l-no"}" cx="{x}" cy="{y:g}" r="7"/>{mark}'
        f'<text class="l-text" x="{x}" y="{y + 23:g}" text-anchor="middle">{esc(shown)}</text></g>'
    )
