"""Record a write of an operator: in the audit log before it runs, and what came of it afterwards."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec
from msgspec import Struct

from autogrocery.contracts.ops.audit_log import Facts  # noqa: TC001 - msgspec reads the annotations
from autogrocery.gateway.store.ops import audit_log
from autogrocery.kit.errors import InDoubt, Invalid, Refused, Unavailable
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from autogrocery.kit.pg.db import Db

T = TypeVar("T")
ABANDONED_AFTER_S = 10.0  # longer than any action: the gateway that began the entry has died


class Write(Struct, frozen=True):
    """Who writes what, and why. `body` is the whole request, of which only a digest is stored."""

    operator: str
    action: str
    target: str
    reason: str
    key: str | None = None
    body: bytes = b""


class Written(Struct, Generic[T], frozen=True):
    """What an action did: its answer, the facts after it, and whether a peer's answer is still owed.

    `stored` is the answer under the same key, if it differs: it leaves out what is told only once.
    """

    answer: T
    after: Facts
    in_doubt: bool = False
    stored: T | None = None


class Recorded(Struct, Generic[T], frozen=True):
    """The answer; `replayed`: the key had got it before, and nothing ran."""

    answer: T
    replayed: bool


async def record_write(
    db: Db, write: Write, kind: type[T], before: Facts, run: Callable[[], Awaitable[Written[T]]]
) -> Recorded[T]:
    """Run an idempotent action between two writes of the audit log, and return its answer, of type `kind`.

    The same operator's same request under the same key is answered as the first time. Raises what the action raises
    (a Refused is logged, and frees the key), Invalid(idempotency_mismatch), and Unavailable(write_busy) while the first
    request under the key still runs.
    """
    digest = hashlib.sha256(f"{write.action}\0{write.target}\0".encode() + write.body).digest()
    entry = await audit_log.begin(
        db,
        write.operator,
        write.action,
        write.target,
        write.reason,
        before=before,
        key=write.key,
        sha256=digest,
    )
    if entry is not None and entry.request_sha256 != digest:
        raise Invalid("idempotency_mismatch", "this Idempotency-Key came with another request before")
    if entry is not None and entry.answer is not None:
        return Recorded(msgspec.json.decode(entry.answer, type=kind), replayed=True)
    if entry is None or not (entry.is_new or entry.age_s > ABANDONED_AFTER_S):
        raise Unavailable("write_busy", "the first request under this Idempotency-Key still runs")
    try:
        done = await run()
    except Refused as refusal:
        await audit_log.finish(db, entry.entry_id, f"refused:{refusal.code}", after=before, answer=None)
        raise
    except InDoubt as doubt:
        raise Unavailable(f"{doubt.peer}_unavailable", f"{doubt.peer} gave no clear answer: ask again") from doubt
    outcome = "in_doubt" if done.in_doubt else "done"
    stored = msgspec.json.encode(done.answer if done.stored is None else done.stored)
    await audit_log.finish(db, entry.entry_id, outcome, after=done.after, answer=stored)
    log.info("operator_wrote", operator=write.operator, action=write.action, target=write.target, outcome=outcome)
    return Recorded(done.answer, replayed=False)
