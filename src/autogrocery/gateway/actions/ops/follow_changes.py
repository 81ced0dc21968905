"""Follow the changes of every gateway on this database, as server-sent events, each at least once."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from autogrocery.contracts.ops.changes import ATTENTION, STATUS, SWITCHES, AttentionCount, Change, SwitchesOn
from autogrocery.gateway.store.ops import attention
from autogrocery.gateway.store.ops import changes as store
from autogrocery.kit.errors import FieldError, Invalid, Unavailable
from autogrocery.kit.process.clock import now

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from autogrocery.gateway.actions.ops.cached import OpsCaches
    from autogrocery.gateway.core.switch import SwitchBoard
    from autogrocery.gateway.store.ops.changes import NumberedChange
    from autogrocery.kit.pg.db import Db

POLL_S: Final = 0.5
MAX_STREAM_S: Final = 900.0  # then the stream ends, and the client reconnects with Last-Event-ID
MAX_STREAMS: Final = 64  # of one gateway
FINAL_AFTER_S: Final = 10.0  # a missing number below a change that is older will not be written any more
OVERLAP_S: Final = 15.0
MAX_AGE_S: Final = 3_600.0  # of a Last-Event-ID; an older stream begins anew
MAX_POSITIONS: Final = 64
EVENT_ID: Final = re.compile(r"([0-9]{1,13})((?:_[0-9]{1,19}\.[0-9]{1,19})*)")


class ResumePoint(Struct, frozen=True):
    """Where a stream stopped: when, and the position in each epoch that had changes."""

    at: datetime
    positions: dict[int, int]


class Positions:
    """Up to which number each epoch was told, and which later numbers were told already."""

    def __init__(self, after: dict[int, int]) -> None:
        self.after = after
        self._told: dict[int, set[int]] = {}
        self._changed: dict[int, None] = {}

    def take(self, changes: list[NumberedChange]) -> list[NumberedChange]:
        """Return the changes, sorted by epoch and number, that were not told yet, and count them as told.

        A position passes a missing number only when that can't be written any more; until then what follows is
        remembered.
        """
        fresh = []
        held: set[int] = set()
        for change in changes:
            epoch, sequence = change.epoch, change.sequence
            told = self._told.setdefault(epoch, set())
            if sequence not in told:
                told.add(sequence)
                fresh.append(change)
                self._changed.pop(epoch, None)
                self._changed[epoch] = None  # the newest last
            if epoch not in held and (sequence == self.after[epoch] + 1 or change.age_s > FINAL_AFTER_S):
                self.after[epoch] = sequence
                told.discard(sequence)
            else:
                held.add(epoch)
        return fresh

    def event_id(self) -> str:
        """Return the Last-Event-ID: now in Unix milliseconds, and the positions of the epochs that had changes."""
        epochs = list(self._changed)[-MAX_POSITIONS:]
        return f"{int(now().timestamp() * 1_000)}" + "".join(f"_{epoch}.{self.after[epoch]}" for epoch in epochs)


def parse_event_id(text: str | None) -> ResumePoint | None:
    """Return the resume point of a Last-Event-ID, None without one or if it is too old.

    Raises Invalid(invalid_request) if it is not one of this stream.
    """
    if not text:
        return None
    match = EVENT_ID.fullmatch(text)
    pairs = [one.split(".") for one in match[2].split("_")[1:]] if match else []
    positions = {int(epoch): int(sequence) for epoch, sequence in pairs}
    if match is None or len(pairs) > MAX_POSITIONS or any(max(pair) >= 1 << 63 for pair in positions.items()):
        flaw = FieldError(detail="Last-Event-ID: take the id of the last event, or none")
        raise Invalid("invalid_request", "the event id is not one of this stream", errors=(flaw,))
    at_s = min(int(match[1]) / 1_000, now().timestamp())
    if at_s < now().timestamp() - MAX_AGE_S:
        return None
    return ResumePoint(datetime.fromtimestamp(at_s, UTC), positions)


async def start_positions(db: Db, resume: ResumePoint | None) -> Positions:
    """Return where a stream starts: now, or where it stopped. Raises Unavailable."""
    if resume is None:
        return Positions(await store.list_positions(db, None))
    known = await store.list_positions(db, resume.at - timedelta(seconds=OVERLAP_S))
    return Positions(known | {epoch: after for epoch, after in resume.positions.items() if epoch in known})


async def follow_changes(
    db: Db, caches: OpsCaches, board: SwitchBoard, positions: Positions
) -> AsyncGenerator[bytes, None]:
    """Yield one event for each change from `positions` on.

    The count of what needs attention and the switches that are on come first, and when they change. While the
    database is unavailable the stream waits. Ends after MAX_STREAM_S seconds.
    """
    ends_at = asyncio.get_running_loop().time() + MAX_STREAM_S
    flagged = -1
    switched: frozenset[str] | None = None
    before_id = positions.event_id()
    caches.streams += 1
    try:
        while asyncio.get_running_loop().time() < ends_at:
            try:
                for epoch in await store.list_later_epochs(db, max(positions.after, default=0)):
                    positions.after[epoch] = 0
                fresh = positions.take(list(await store.list_changes(db, positions.after)))
                count = await caches.attention.get(lambda: attention.count_flagged(db))
            except Unavailable:
                fresh, count = [], flagged
            last_id = positions.event_id()
            for change in fresh[:-1]:
                yield _event(STATUS, _change(change), before_id)
            for change in fresh[-1:]:
                yield _event(STATUS, _change(change), last_id)
            before_id = last_id
            if count != flagged:
                flagged = count
                yield _event(ATTENTION, AttentionCount(count), last_id)
            if board.current.names != switched:
                switched = board.current.names
                yield _event(SWITCHES, SwitchesOn(tuple(sorted(switched))), last_id)
            await asyncio.sleep(POLL_S)
    finally:
        caches.streams -= 1


def _event(name: str, body: Struct, event_id: str) -> bytes:
    return f"id: {event_id}\nevent: {name}\ndata: {msgspec.json.encode(body).decode()}\n\n".encode()


def _change(one: NumberedChange) -> Change:
    return Change(
        "restock" if one.kind == "restock" else "order",
        one.order_id,
        one.from_status,
        one.to_status,
        one.cause,
        one.at,
        one.epoch,
        one.sequence,
    )
