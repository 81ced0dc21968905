"""Add an enrolment code, which an operator hands to the owner of a new device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autogrocery.contracts.ops.devices import EnrolmentCodeIn, EnrolmentCodeOut
from autogrocery.gateway.actions.ops.record_write import Recorded, Write, Written, record_write
from autogrocery.gateway.core.enrolment import digest_of, new_code
from autogrocery.gateway.store import enrolments

if TYPE_CHECKING:
    from autogrocery.contracts.ops.audit_log import Facts
    from autogrocery.kit.pg.db import Db


async def add_enrolment_code(db: Db, wanted: EnrolmentCodeIn, write: Write) -> Recorded[EnrolmentCodeOut]:
    """Store a new code's digest and return the code, which can't be read again, also not under the same key.

    Raises what `record_write` raises, and Unavailable.
    """

    async def run() -> Written[EnrolmentCodeOut]:
        code = new_code()
        code_id = await enrolments.add(db, digest_of(code), wanted.uses, wanted.days)
        told = EnrolmentCodeOut(code_id, code, wanted.uses, wanted.days)
        facts: Facts = {"code_id": code_id, "uses": wanted.uses, "days": wanted.days}
        return Written(told, facts, stored=EnrolmentCodeOut(code_id, None, wanted.uses, wanted.days))

    return await record_write(db, write, EnrolmentCodeOut, {}, run)
