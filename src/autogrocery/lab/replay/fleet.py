"""The devices of the households: registered and logged in once, sharing one connection pool."""

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

    from autogrocery.client import OrderResponse, RetryLimits
    from autogrocery.lab.replay.journal import Journal

CONCURRENT_REGISTRATIONS: Final = 4  # each costs the gateway one or two bcrypt hashes
CONNECTIONS: Final = 128
SECRET_NAME: Final = "devices.secret"  # noqa: S105 - the name of a file
SECRET_BYTES: Final = 32


class Timings(Struct, frozen=True):
    """Durations by step on the device, retries included, in milliseconds."""

    by_step_ms: dict[str, list[float]] = {}

    def add(self, step: str, started_at: float) -> None:
        """Record a step from `started_at` (monotonic clock, seconds) until now."""
        self.add_ms(step, (time.monotonic() - started_at) * 1000)

    def add_ms(self, step: str, took_ms: float) -> None:
        """Record the duration of a step."""
        self.by_step_ms.setdefault(step, []).append(took_ms)


class Fleet:
    """Every device of a replay. `ready` waits until a household's device is registered and logged in."""

    def __init__(self, kiosks: dict[int, Kiosk], journal: Journal, timings: Timings) -> None:
        self._kiosks = kiosks
        self.journal = journal
        self.timings = timings
        self._login_done = {household: asyncio.Event() for household in kiosks}
        self._refused: dict[int, Problem | Unanswered] = {}

    def __len__(self) -> int:
        return len(self._kiosks)

    async def ready(self, household: int) -> Kiosk:
        """Return the household's device, logged in. Raises Problem or Unanswered if registration or login failed."""
        await self._login_done[household].wait()
        if household in self._refused:
            raise self._refused[household]
        return self._kiosks[household]

    def device(self, household: int) -> Kiosk:
        """Return the household's device, logged in or not."""
        return self._kiosks[household]

    async def enrol(self) -> None:
        """Register and log in every device, in the order in which the demand needs them; return when all have tried.

        A device that is logged in is left as it is; one that failed before tries again.
        """
        waiting = iter([one for one in self._kiosks if not self._login_done[one].is_set() or one in self._refused])

        async def register_next() -> None:
            for household in waiting:
                try:
                    await self._register_and_log_in(self._kiosks[household])
                    self._refused.pop(household, None)
                except (Problem, Unanswered) as refusal:
                    self._refused[household] = refusal
                self._login_done[household].set()

        async with asyncio.TaskGroup() as group:
            for _ in range(CONCURRENT_REGISTRATIONS):
                group.create_task(register_next())

    async def _register_and_log_in(self, kiosk: Kiosk) -> None:
        started_at = time.monotonic()
        try:
            await kiosk.register(email=f"{kiosk.device_id}@mart.example")
            self.timings.add("register", started_at)
        except Problem as problem:
            if problem.code != "device_taken":  # it was registered by an earlier run
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
    retry_limits: RetryLimits | None = None,
) -> AsyncIterator[Fleet]:
    """Open one device for each household.

    `home` keeps the secret that passwords are derived from, so that later runs use the same devices.
    """
    secret = _secret(home)
    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(limit=CONNECTIONS)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        kiosks = {}
        for household in dict.fromkeys(households):
            device_id = device_name(secret, household)
            password = base64.urlsafe_b64encode(hmac.digest(secret, device_id.encode(), "sha256")).decode()
            on_response = _writer(journal, device_id)
            kiosk = Kiosk(url, device_id, password, session=session, retry_limits=retry_limits, on_response=on_response)
            kiosks[household] = await stack.enter_async_context(kiosk)
        yield Fleet(kiosks, journal, Timings())


def device_name(secret: bytes, household: int) -> str:
    """Return the device id of a household; it depends on the secret, so that a new secret gives new devices."""
    return f"household-{household}-{hashlib.sha256(secret).hexdigest()[:8]}"


def _writer(journal: Journal, device_id: str) -> Callable[[OrderResponse], None]:
    return lambda response: journal.write(device_id, response)


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
