"""The households' devices: named, registered and logged in once, sharing one pool of connections."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import secrets
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

import aiohttp
from msgspec import Struct

from autogrocery.client import Kiosk, Problem, Unanswered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from autogrocery.client import Patience, Told
    from autogrocery.lab.replay.journal import Journal

REGISTERING_AT_ONCE: Final = 4  # each costs the gateway a bcrypt hash or two
CONNECTIONS: Final = 128
SECRET_NAME: Final = "devices.secret"  # noqa: S105 - the name of a file
SECRET_BYTES: Final = 32


class Timings(Struct, frozen=True):
    """How long each step took as its device felt it, retries included, in milliseconds."""

    by_step_ms: dict[str, list[float]] = {}

    def add(self, step: str, started_at: float) -> None:
        """Note a step that began at `started_at` on the monotonic clock and ends now."""
        self.add_ms(step, (time.monotonic() - started_at) * 1000)

    def add_ms(self, step: str, took_ms: float) -> None:
        """Note how long a step took."""
        self.by_step_ms.setdefault(step, []).append(took_ms)


class Fleet:
    """Every device of a replay. `ready` waits until a household's device has registered and logged in."""

    def __init__(self, kiosks: dict[int, Kiosk], journal: Journal, timings: Timings) -> None:
        self._kiosks = kiosks
        self.journal = journal
        self.timings = timings
        self._entered = {household: asyncio.Event() for household in kiosks}
        self._refused: dict[int, Problem | Unanswered] = {}

    def __len__(self) -> int:
        return len(self._kiosks)

    async def ready(self, household: int) -> Kiosk:
        """Return the device of this household, logged in. Raises Problem or Unanswered if it could not get that far."""
        await self._entered[household].wait()
        if household in self._refused:
            raise self._refused[household]
        return self._kiosks[household]

    def device(self, household: int) -> Kiosk:
        """Return the device of this household, whether it is logged in yet or not."""
        return self._kiosks[household]

    async def enrol(self) -> None:
        """Bring every device to its login, in the order in which the demand needs them; ends when all have tried.

        Who is in already is left alone.
        """
        waiting = iter([one for one in self._kiosks if not self._entered[one].is_set() or one in self._refused])

        async def work() -> None:
            for household in waiting:
                try:
                    await self._enter(self._kiosks[household])
                    self._refused.pop(household, None)
                except (Problem, Unanswered) as refusal:
                    self._refused[household] = refusal
                self._entered[household].set()

        async with asyncio.TaskGroup() as group:
            for _ in range(REGISTERING_AT_ONCE):
                group.create_task(work())

    async def _enter(self, kiosk: Kiosk) -> None:
        started_at = time.monotonic()
        try:
            await kiosk.register(email=f"{kiosk.device_id}@mart.example")
            self.timings.add("register", started_at)
        except Problem as problem:
            if problem.code != "device_taken":  # else it was here before, in an earlier run
                raise
        started_at = time.monotonic()
        await kiosk.login()
        self.timings.add("login", started_at)


@asynccontextmanager
async def open_fleet(
    url: str,
    households: Iterable[int],
    journal: Journal,
    *,
    home: Path | None = None,
    patience: Patience | None = None,
) -> AsyncIterator[Fleet]:
    """Open one device for each household; `home` keeps the secret their passwords come from, so that they can come again."""
    secret = _secret(home)
    async with AsyncExitStack() as open_ones:
        limits = aiohttp.TCPConnector(limit=CONNECTIONS)
        session = await open_ones.enter_async_context(aiohttp.ClientSession(connector=limits))
        kiosks = {}
        for household in dict.fromkeys(households):
            device_id = device_name(secret, household)
            password = base64.urlsafe_b64encode(hmac.digest(secret, device_id.encode(), "sha256")).decode()
            heard = _writer(journal, device_id)
            kiosk = Kiosk(url, device_id, password, session=session, patience=patience, heard=heard)
            kiosks[household] = await open_ones.enter_async_context(kiosk)
        yield Fleet(kiosks, journal, Timings())


def device_name(secret: bytes, household: int) -> str:
    """Name a household's device; another secret is another name, so that a lost secret never meets its own old devices."""
    return f"household-{household}-{hashlib.sha256(secret).hexdigest()[:8]}"


def _writer(journal: Journal, device_id: str) -> Callable[[Told], None]:
    return lambda told: journal.write(device_id, told)


def _secret(home: Path | None) -> bytes:
    if home is None:
        return secrets.token_bytes(SECRET_BYTES)
    path = home / SECRET_NAME
    if path.is_file():
        return path.read_bytes()
    home.mkdir(parents=True, exist_ok=True)
    secret = secrets.token_bytes(SECRET_BYTES)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret)
    return secret
