"""Find stuck orders, say why they are stuck, and heal them: `autogrocery order doctor`."""

from __future__ import annotations

import asyncio
import getpass
import sys
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
from msgspec import Struct
from rich.table import Table

from autogrocery.cli.console import show
from autogrocery.cli.database import dsn_of, run_with_database
from autogrocery.contracts.ops.actions import ActionOut
from autogrocery.gateway.actions.ops.diagnose import diagnose_all, diagnose_one
from autogrocery.gateway.actions.ops.heal import heal
from autogrocery.gateway.store.ops import due_now
from autogrocery.kit.errors import Conflict, NotFound
from autogrocery.kit.pg.db import open_db

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from autogrocery.contracts.ops.attention import AttentionItem
    from autogrocery.gateway.store.ops.due_now import RowState
    from autogrocery.kit.pg.db import Db

WATCH_S = 15.0  # a loop runs every 5 s or more often, and a call lasts 2 s at most
POLL_S = 0.25
REASON = "autogrocery order doctor --heal"


class Finding(Struct, frozen=True):
    """What is stuck; after --heal also what was done, and why nothing was."""

    item: AttentionItem
    healed: ActionOut | None = None
    refused: str | None = None


def run_order_doctor(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print what is stuck, with cause and safe actions; exit 1 if something is, after --heal if something still is."""
    try:
        only = UUID(arguments.order_id) if arguments.order_id else None
    except ValueError:
        raise SystemExit("order_id must be a UUID") from None

    async def work() -> int:
        async with open_db(dsn_of(environ), application="order-doctor") as db:
            try:
                items = [await diagnose_one(db, only)] if only else await diagnose_all(db)
            except NotFound as missing:
                print(missing.detail, file=sys.stderr)
                return 1
            found = [Finding(item) for item in items]
            if arguments.heal:
                found = [await _heal(db, item) for item in items]
                found = await _watched(db, found)
        _print(found, as_json=arguments.json)
        if arguments.heal:
            owing = [one for one in found if one.item.actions]  # an open quote, say, needs nothing
            return 0 if all(one.healed and one.healed.applied for one in owing) else 1
        return 1 if found and only is None else 0

    return run_with_database(work)


async def _heal(db: Db, item: AttentionItem) -> Finding:
    try:
        return Finding(item, await heal(db, item, f"cli:{getpass.getuser()}", REASON))
    except Conflict as refusal:
        return Finding(item, refused=refusal.detail)


async def _watched(db: Db, found: list[Finding]) -> list[Finding]:
    """Return the findings with the state in which each is once its loop has acted, or after WATCH_S seconds."""
    by_end = asyncio.get_running_loop().time() + WATCH_S
    return [
        await _watch(db, one, by_end) if one.healed and one.item.kind in {"order", "restock"} else one for one in found
    ]


async def _watch(db: Db, one: Finding, by_end: float) -> Finding:
    healed = one.healed
    assert healed is not None
    while True:
        state = await _state(db, one.item)
        if _is_settled(state, healed.before) or asyncio.get_running_loop().time() > by_end:
            break
        await asyncio.sleep(POLL_S)
    after = "gone" if state is None else state.words
    if not _is_settled(state, healed.before):
        words = "Not settled: the peer gives no clear answer, or no gateway is running."
        return Finding(one.item, ActionOut(applied=False, before=healed.before, after=after, words=words))
    flag = None if state is None else state.attention
    words = f"It is {after} now." if flag is None else f"It is {after} still, and flagged: {flag}."
    return Finding(one.item, ActionOut(flag is None, healed.before, after, words))


def _is_settled(state: RowState | None, before: str) -> bool:
    """Return whether a loop has acted: nothing is owed or due, and the peer's answer has changed or cleared the row."""
    if state is None or state.ended:
        return True
    answered = state.words != before or state.attempts == 0 or state.attention is not None
    return state.intent is None and not state.due and answered


async def _state(db: Db, item: AttentionItem) -> RowState | None:
    return await (due_now.read_order if item.kind == "order" else due_now.read_restock)(db, UUID(item.id))


def _print(found: list[Finding], *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    if not found:
        print("nothing is stuck")
        return
    table = Table("kind", "id", "since", "cause", "why", "safe actions", "done")
    for one in found:
        item = one.item
        done = one.refused or (f"{one.healed.before} → {one.healed.after}: {one.healed.words}" if one.healed else "")
        table.add_row(
            item.kind,
            item.id,
            f"{item.since:%Y-%m-%d %H:%M:%S}" if item.since else "",
            item.cause,
            item.words,
            ", ".join(action.name for action in item.actions),
            done,
        )
    show(found, table, as_json=False)
