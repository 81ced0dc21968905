"""Passwords: bcrypt in processes of their own, so that hashing never takes the processor from a request.

bcrypt frees the interpreter's lock and still starves a server: two hashing threads took 97 % of its throughput. So
max(1, cores - 1) processes of their own session at the lowest priority do it, behind a bounded queue.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
import re
import signal
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import msgspec

from autogrocery.kit.deathsig import dies_with_us
from autogrocery.kit.log import log
from autogrocery.kit.password_worker import Done, Job
from autogrocery.kit.refusals import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

QUEUE: Final = 128  # jobs that wait; about 30 s of work at the default cost
JOB_DEADLINE_S: Final = 15.0
MAX_PASSWORD_BYTES: Final = 1_024
ALPHABET: Final = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
HASH: Final = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")

Waiting = tuple[Job, "asyncio.Future[Done]"]


class Passwords:
    """Hashes and checks; `open_passwords` starts its workers."""

    def __init__(self, cost: int) -> None:
        self.cost = cost
        self._jobs: asyncio.Queue[Waiting] = asyncio.Queue(QUEUE)
        self._dummy = f"$2b${cost:02}${''.join(random.choices(ALPHABET, k=53))}"  # noqa: S311 - matches nothing; only its cost counts

    async def hash(self, password: str) -> str:
        """Return a new hash at our cost; raises Unavailable(busy) when too many wait."""
        done = await self._ask(Job(_packed(password.encode()), cost=self.cost))
        assert done.hashed is not None
        return done.hashed

    async def matches(self, password: str, hashed: str | None) -> bool:
        """Say whether the password belongs to the hash; an impossible one, or no hash at all, costs the same work.

        Raises Unavailable(busy).
        """
        plain = password.encode("utf-8", "replace")
        possible = b"\0" not in plain and 0 < len(plain) <= MAX_PASSWORD_BYTES
        known = hashed if possible and hashed is not None and HASH.fullmatch(hashed) else None
        done = await self._ask(Job(_packed(plain if possible else b"-"), known or self._dummy))
        return done.matched and known is not None

    def is_weak(self, hashed: str) -> bool:
        """Say whether a hash was made at a lower cost than ours, so that it should be made anew."""
        found = HASH.fullmatch(hashed)
        return found is not None and int(found[1]) < self.cost

    async def _ask(self, job: Job) -> Done:
        answer: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        try:
            self._jobs.put_nowait((job, answer))
        except asyncio.QueueFull:
            raise Unavailable("busy", "Too many logins are waiting.", retry_after_s=5.0) from None
        try:
            async with asyncio.timeout(JOB_DEADLINE_S):
                return await answer
        except TimeoutError:
            raise Unavailable("busy", "The login took too long.", retry_after_s=5.0) from None

    async def serve(self) -> None:
        """Keep one worker process at work until cancelled; one that dies is replaced, and its job is done again."""
        worker: asyncio.subprocess.Process | None = None
        try:
            while True:
                job, answer = await self._jobs.get()
                while not answer.done():  # a client that gave up costs nothing more
                    worker = worker or await _start()
                    done = await _through(worker, job)
                    if done is not None:
                        if not answer.done():
                            answer.set_result(done)
                        break
                    log.warning("password_worker_died", status=worker.returncode)
                    await _end(worker)
                    worker = None
        finally:
            if worker is not None:
                await _end(worker)


async def _start() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "autogrocery.kit.password_worker",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, close_fds=True, start_new_session=True,
        preexec_fn=dies_with_us(signal.SIGKILL),
    )  # fmt: skip


async def _through(worker: asyncio.subprocess.Process, job: Job) -> Done | None:
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        worker.stdin.write(msgspec.json.encode(job) + b"\n")
        await worker.stdin.drain()
        async with asyncio.timeout(JOB_DEADLINE_S):
            line = await worker.stdout.readline()
        return msgspec.json.decode(line, type=Done) if line else None
    except (OSError, TimeoutError, msgspec.DecodeError):
        return None


async def _end(worker: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        worker.kill()
    await worker.wait()


def _packed(plain: bytes) -> str:
    return base64.b64encode(plain).decode("ascii")


@asynccontextmanager
async def open_passwords(cost: int) -> AsyncIterator[Passwords]:
    """Start the workers; leaving ends them."""
    passwords = Passwords(cost)
    count = max(1, (os.cpu_count() or 1) - 1)
    keepers = [asyncio.create_task(passwords.serve(), name=f"passwords:{number}") for number in range(count)]
    try:
        yield passwords
    finally:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.wait(keepers)
