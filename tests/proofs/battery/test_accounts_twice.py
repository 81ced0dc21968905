"""Account actions: every step in every state, run twice in a row and twice at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest
import pytest_asyncio
from msgspec import Struct

from autogrocery.gateway.actions.change_contact import change_contact
from autogrocery.gateway.actions.change_password import change_password
from autogrocery.gateway.actions.issue_tokens import TokenSettings
from autogrocery.gateway.actions.log_in import log_in
from autogrocery.gateway.actions.refresh import refresh
from autogrocery.gateway.actions.register import register
from autogrocery.gateway.core.account import Kind
from autogrocery.gateway.store import devices
from autogrocery.kit.errors import Refused
from autogrocery.kit.ids import uuid7
from autogrocery.kit.pg.db import Db, open_db
from autogrocery.kit.security.passwords import SMALLEST_COST, PasswordHasher, open_password_hasher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")
PASSWORD, NEW_PASSWORD = "correct horse battery", "a staple that is new"
ISSUING = TokenSettings(b"devices-of-a-test-sign-with-this", b"robots-of-a-test-sign-with-this-", 900, 3_600)
NO = "401 invalid_credentials"
# the first and the second answer; run at once, both in any order
ACCOUNT_CELLS: Final[dict[tuple[str, str], tuple[str, str]]] = {
    ("register", "unknown"): ("201", "409 device_taken"),
    ("register", "known"): ("409 device_taken", "409 device_taken"),
    ("register", "disabled"): ("409 device_taken", "409 device_taken"),
    ("log_in", "unknown"): (NO, NO),
    ("log_in", "known"): ("200", "200"),
    ("log_in", "disabled"): (NO, NO),
    ("refresh", "unknown"): ("401 invalid_token", "401 invalid_token"),
    ("refresh", "known"): ("200", "200"),  # a lost answer may be repeated for ten seconds
    ("refresh", "disabled"): ("401 invalid_token", "401 invalid_token"),
    ("change_password", "unknown"): (NO, NO),
    ("change_password", "known"): ("204", NO),  # the old password is wrong now
    ("change_password", "disabled"): ("204", NO),
    ("change_contact", "unknown"): ("401 invalid_token", "401 invalid_token"),
    ("change_contact", "known"): ("200", "200"),
    ("change_contact", "disabled"): ("200", "200"),
}


class Registry(Struct):
    db: Db
    passwords: PasswordHasher
    device_id: str = ""
    user_id: int = 0
    token: str = "x" * 43

    async def reach(self, state: str) -> None:
        self.device_id = f"fridge-{uuid7().hex}"
        if state != "unknown":
            self.user_id = await register(self.db, self.passwords, self.device_id, PASSWORD)
            self.token = (
                await log_in(self.db, self.passwords, ISSUING, self.device_id, PASSWORD, [Kind.DEVICE])
            ).refresh_token
        if state == "disabled":
            await devices.disable(self.db, self.device_id, Kind.DEVICE)

    async def answer_of(self, step: str) -> str:
        ports: tuple[Any, ...] = self.db, self.passwords
        try:
            match step:
                case "register":
                    await register(*ports, self.device_id, PASSWORD)
                    return "201"
                case "log_in":
                    await log_in(*ports, ISSUING, self.device_id, PASSWORD, [Kind.DEVICE])
                    return "200"
                case "refresh":
                    await refresh(self.db, ISSUING, self.token, [Kind.DEVICE])
                    return "200"
                case "change_contact":
                    await change_contact(self.db, self.user_id, email="anna@example.com", phone="+15550001111")
                    return "200"
            await change_password(*ports, self.user_id, PASSWORD, NEW_PASSWORD)
        except Refused as refusal:
            return f"{refusal.status} {refusal.code}"
        return "204"

    async def accounts(self) -> int:
        row = await self.db.row("SELECT count(*) AS n FROM smart_devices WHERE device_id = $1", self.device_id)
        assert row is not None
        count: int = row["n"]
        return count

    async def newest_tokens(self) -> list[int]:
        """Return by family how many tokens have not been replaced: one, or the family would never end."""
        rows = await self.db.rows(
            "SELECT count(*) FILTER (WHERE replaced_at IS NULL) AS n FROM refresh_tokens"
            " WHERE user_id = $1 GROUP BY family",
            self.user_id,
        )
        return [row["n"] for row in rows]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(module_dsn: str) -> AsyncIterator[Registry]:
    async with (
        open_db(module_dsn, application="tests") as db,
        open_password_hasher(SMALLEST_COST) as passwords,
    ):
        yield Registry(db, passwords)


@pytest_asyncio.fixture(loop_scope="module")
async def registry(opened: Registry) -> Registry:
    return Registry(opened.db, opened.passwords)


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize(("step", "state"), ACCOUNT_CELLS)
async def test_an_account_step_run_twice_gives_the_listed_answers(
    registry: Registry, step: str, state: str, *, at_once: bool
) -> None:
    await registry.reach(state)
    if at_once:
        answers = await asyncio.gather(registry.answer_of(step), registry.answer_of(step))
    else:
        answers = [await registry.answer_of(step), await registry.answer_of(step)]
    expected = ACCOUNT_CELLS[step, state]
    assert (sorted(answers) if at_once else answers) == (sorted(expected) if at_once else list(expected))
    assert await registry.accounts() == (state != "unknown" or step == "register")
    assert set(await registry.newest_tokens()) <= {1}
