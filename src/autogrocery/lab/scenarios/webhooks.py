"""Webhooks that come twice, too early, too late, in the wrong order, or from somebody else."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final
from uuid import UUID

from msgspec import Struct

from autogrocery.kit.process.clock import uuid7
from autogrocery.lab.scenarios.deliveries import Reply, Sender, update
from autogrocery.lab.scenarios.doors import CREATED, Device, End, Said
from autogrocery.lab.scenarios.floor import Result, judged
from autogrocery.lab.scenarios.laws import unended, unexplained, untrue, wrong_shelf
from autogrocery.lab.scenarios.shelf import Shelf, fill_shelf

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from autogrocery.lab.scenarios.stage import Stage

NAME: Final = "webhooks"
PROMISE: Final = (
    "A webhook counts once and only if inventory signed it: duplicates, early, late and forged ones change nothing."
)
ORDERS: Final = 40
PICKED_WITHIN_S: Final = 45.0
LOOK_EVERY_S: Final = 0.002  # to be as early as inventory's own webhook
FINISHED: Final = frozenset({"COMPLETED", "FAILED"})
KNOWN: Final = frozenset({"200 known"})
ONCE: Final = frozenset({"200 known", "200 applied"})
NOT_DISPATCHED: Final = frozenset({"409 not_dispatched"})
DIFFERS: Final = frozenset({"409 webhook_differs"})
FORGED: Final = frozenset({"401 invalid_signature"})


class Case(Struct, frozen=True):
    """Deliveries of one kind, what each may be answered, and what was answered."""

    kind: str
    expected: frozenset[str]
    replies: tuple[Reply, ...]


class Story(Struct, frozen=True):
    """One order: its device's calls, the deliveries about it, how it ended, and how it stood after the last delivery."""

    calls: tuple[Said, ...]
    cases: tuple[Case, ...] = ()
    end: End | None = None
    after: End | None = None


class Stories(Struct, frozen=True):
    """What was seen of all of them."""

    stocked: Mapping[str, int]
    available: Mapping[str, int]
    stories: list[Story]


def judge(seen: Stories) -> list[str]:
    """Return every broken promise."""
    found = []
    for story in seen.stories:
        found += unexplained(story.calls, {"201", "200"})
        for case in story.cases:
            found += [
                f"{case.kind}: {reply.word} from gateway {reply.gateway + 1}, expected {' or '.join(sorted(case.expected))}"
                for reply in case.replies
                if reply.word not in case.expected
            ]
        applied = sum(reply.applied for case in story.cases for reply in case.replies)
        if story.end is None or story.after is None:
            continue
        found += [flaw for call in story.calls for flaw in untrue(call, story.end)]
        if applied > 1:
            found.append(f"order {story.end.order_id}: applied {applied} times")
        told = {reply.status for case in story.cases for reply in case.replies if reply.http_status == 200}  # noqa: PLR2004
        if told - {story.end.status}:
            found.append(f"order {story.end.order_id}: webhooks were told {sorted(told)}, it ended {story.end.status}")
        if story.after != story.end:
            found.append(f"order {story.end.order_id}: {story.end.status}, then changed to {story.after.status}")
    ends = [story.end for story in seen.stories if story.end is not None]
    return found + unended(ends) + wrong_shelf(seen.stocked, seen.available, ends)


async def play(stage: Stage) -> Result:
    """Tell the four stories, each about every fourth order."""
    orders = max(stage.of(ORDERS), len(STORIES))
    shelf = await fill_shelf(stage.floor, NAME, orders, ("party",))
    sender = Sender(stage.session, stage.floor.internal_urls, stage.floor.webhook_secret)
    room = asyncio.Semaphore(len(STORIES))

    async def story(number: int) -> Story:
        async with room:
            device = stage.devices[number]
            preview = await device.preview(number % 2, dict.fromkeys(shelf.skus, 1), uuid7().hex)
            if preview.last.http_status != CREATED:
                return Story((preview,))
            return await STORIES[number % len(STORIES)](device, shelf, sender, preview)

    stories = list(await asyncio.gather(*map(story, range(orders))))
    seen = Stories(shelf.stocked, await shelf.available(), stories)
    replies = [reply for one in stories for case in one.cases for reply in case.replies]
    words = {word: sum(reply.word == word for reply in replies) for word in sorted({one.word for one in replies})}
    counts = ", ".join(f"{count} times {word}" for word, count in words.items())
    told = f"{len(replies)} deliveries about {orders} orders over two gateways: {counts}"
    return judged(NAME, PROMISE, told, judge(seen))


async def _early(device: Device, _shelf: Shelf, sender: Sender, preview: Said) -> Story:
    """Told COMPLETED before anybody confirmed: refused and forgotten, so that the same id may come again with other words."""
    order_id, name = preview.order_id, f"msg_{uuid7().hex}"
    body, other = update(UUID(order_id), "COMPLETED"), update(UUID(order_id), "FAILED")
    early = await sender.deliver_everywhere(name, body)
    confirm = await device.confirm(0, order_id)
    end = await device.end(0, order_id)
    cases = (
        Case("before the dispatch", NOT_DISPATCHED, tuple(early)),
        Case("an id that was refused, with another body", KNOWN, (await sender.deliver(0, name, other),)),
        Case("that id with its first body", DIFFERS, (await sender.deliver(1, name, body),)),
    )
    return Story((preview, confirm), cases, end, await device.end(1, order_id))


async def _finish(device: Device, shelf: Shelf, sender: Sender, preview: Said) -> Story:
    """Told the truth by two at once, then again, with another body, and against it."""
    order_id, name = preview.order_id, f"msg_{uuid7().hex}"
    confirm = await device.confirm(1, order_id)
    state, picked = await _picked(shelf, order_id)
    if state not in FINISHED:
        return Story((preview, confirm), (), end := await device.end(0, order_id), end)
    body = update(UUID(order_id), state, picked if state == "COMPLETED" else None)
    other = update(UUID(order_id), "FAILED" if state == "COMPLETED" else "COMPLETED")
    both = await sender.deliver_everywhere(name, body, times=2)
    end = await device.end(0, order_id)
    cases = (
        Case("twice at both gateways", ONCE, tuple(both)),
        Case("the same once more", KNOWN, tuple(await sender.deliver_everywhere(name, body))),
        Case("the same id with another body", DIFFERS, tuple(await sender.deliver_everywhere(name, other))),
        Case("the opposite afterwards", KNOWN, tuple(await sender.deliver_everywhere(f"{name}-late", other))),
    )
    return Story((preview, confirm), cases, end, await device.end(1, order_id))


async def _late(device: Device, _shelf: Shelf, sender: Sender, preview: Said) -> Story:
    """Told COMPLETED and FAILED after a cancel: the order stays CANCELLED."""
    order_id = preview.order_id
    cancel = await device.cancel(0, order_id)
    end = await device.end(0, order_id)
    cases = tuple(
        [
            Case(
                f"{status} after a cancel",
                KNOWN,
                tuple(await sender.deliver_everywhere(f"msg_{uuid7().hex}", update(UUID(order_id), status))),
            )
            for status in ("COMPLETED", "FAILED")
        ]
    )
    return Story((preview, cancel), cases, end, await device.end(1, order_id))


async def _forged(device: Device, _shelf: Shelf, sender: Sender, preview: Said) -> Story:
    """Told by somebody else, before the confirm and after it."""
    order_id, token = preview.order_id, await device.token()
    body, other = update(UUID(order_id), "FAILED"), update(UUID(order_id), "COMPLETED")
    before = await sender.forge(0, body, other, token)
    confirm = await device.confirm(1, order_id)
    after = await sender.forge(1, body, other, token)
    end = await device.end(0, order_id)
    cases = tuple(Case(how, FORGED, (reply,)) for told in (before, after) for how, reply in told.items())
    return Story((preview, confirm), cases, end, await device.end(1, order_id))


async def _picked(shelf: Shelf, order_id: str) -> tuple[str, dict[str, int]]:
    """Wait until the robots have finished; ask inventory, because it tells the gateway at the same moment."""
    ends_at = time.monotonic() + PICKED_WITHIN_S
    async with shelf.asking() as ask:
        while True:
            state, picked = await ask(order_id)
            if state in FINISHED or time.monotonic() >= ends_at:
                return state, picked
            await asyncio.sleep(LOOK_EVERY_S)


STORIES: Final[tuple[Callable[[Device, Shelf, Sender, Said], Awaitable[Story]], ...]] = (
    _early,
    _finish,
    _late,
    _forged,
)
