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

from autogrocery.kit.errors import Unavailable
from autogrocery.kit.process.log import log
from autogrocery.kit.process.parent_death import dies_with_us
from autogrocery.kit.security.password_worker import Done, Job

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MAX_WAIT_S: Final = 3.5  # what would wait longer is refused at once: the caller's own deadline is 5 s
PATIENCE_S: Final = (
    4.5  # of a request, which is answered in its stead after 5 s: nobody hashes for callers who are gone
)
JOB_DEADLINE_S: Final = 15.0  # of a worker, for one job
ROUND_S: Final = 60e-6  # one of the 2**cost rounds, as measured: 250 ms at cost 12
LEAST_ROOM: Final = 4
START_AGAIN_S: Final = 1.0
SMALLEST_COST: Final = 4
LARGEST_COST: Final = 16  # 4 s of work; a hash that asks for more than that is no hash to us
INHERITED: Final = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH")  # no secret, and no other setting
MAX_PASSWORD_BYTES: Final = 1_024
ALPHABET: Final = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
LAST_OF_SALT: Final = ".Oeu"  # 128 bits end within the 22nd letter; with another there bcrypt gives up before it works
HASH: Final = re.compile(rf"\$2[aby]\$([0-9]{{2}})\$[./A-Za-z0-9]{{21}}[{LAST_OF_SALT}][./A-Za-z0-9]{{31}}")

Waiting = tuple[Job, "asyncio.Future[Done]"]


class Passwords:
    """Hashes and checks with `count` processes; `open_passwords` starts them. `room` is how many jobs may wait."""

    def __init__(self, cost: int, count: int, patience_s: float) -> None:
        self.cost = cost
        self.count = count
        self._patience_s = patience_s
        self.room = max(LEAST_ROOM, int(MAX_WAIT_S * count / (ROUND_S * 2**cost)))
        self._jobs: asyncio.Queue[Waiting] = asyncio.Queue(self.room)
        self._dummy = _never_matching(cost)

    async def hash(self, password: str) -> str:
        """Return a new hash at our cost; raises Unavailable(busy) when too many wait."""
        done = await self._ask(Job(_packed(password.encode()), cost=self.cost))
        assert done.hashed is not None
        return done.hashed

    async def matches(self, password: str, hashed: str | None) -> bool:
        """Say whether the password belongs to the hash.

        An impossible one, no hash at all and a hash of lower cost are the same work: nobody learns by the clock which
        accounts there are. A hash of a higher cost than ours is more. Raises Unavailable(busy).
        """
        plain = password.encode("utf-8", "replace")
        possible = b"\0" not in plain and 0 < len(plain) <= MAX_PASSWORD_BYTES
        known = hashed if possible and hashed is not None and _cost_of(hashed) else None
        done = await self._ask(Job(_packed(plain if possible else b"-"), known or self._dummy, self.cost))
        return done.matched and known is not None

    def is_weak(self, hashed: str) -> bool:
        """Say whether a hash was made at a lower cost than ours, so that it should be made anew."""
        return 0 < _cost_of(hashed) < self.cost

    async def _ask(self, job: Job) -> Done:
        answer: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        try:
            self._jobs.put_nowait((job, answer))
        except asyncio.QueueFull:
            raise Unavailable("busy", "Too many logins are waiting.", retry_after_s=5.0) from None
        try:
            async with asyncio.timeout(self._patience_s):
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
                    try:
                        worker = worker or await _start()
                    except OSError as error:
                        log.error("password_worker_not_started", reason=type(error).__name__)
                        await asyncio.sleep(START_AGAIN_S)
                        continue
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
        sys.executable,
        "-m",
        "autogrocery.kit.security.password_worker",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        close_fds=True,
        start_new_session=True,
        env={name: os.environ[name] for name in INHERITED if name in os.environ},
        preexec_fn=dies_with_us(signal.SIGKILL),
    )


async def _through(worker: asyncio.subprocess.Process, job: Job) -> Done | None:
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        async with asyncio.timeout(JOB_DEADLINE_S):
            worker.stdin.write(msgspec.json.encode(job) + b"\n")
            await worker.stdin.drain()
            line = await worker.stdout.readline()
        return msgspec.json.decode(line, type=Done) if line else None
    except (OSError, RuntimeError, TimeoutError, ValueError):
        return None  # RuntimeError: uvloop's word for a pipe that closed before we wrote


async def _end(worker: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        worker.kill()
    await worker.wait()


def _never_matching(cost: int) -> str:
    """Return what looks like a hash: checking it costs the same work, and nothing is known to match it."""
    letters = random.choices(ALPHABET, k=53)  # noqa: S311 - no secret; only its cost counts
    letters[21] = LAST_OF_SALT[0]
    return f"$2b${cost:02}${''.join(letters)}"


def _cost_of(hashed: str) -> int:
    """Return the cost of a hash that can be checked, 0 for anything else."""
    found = HASH.fullmatch(hashed)
    cost = int(found[1]) if found else 0
    return cost if SMALLEST_COST <= cost <= LARGEST_COST else 0


def _packed(plain: bytes) -> str:
    return base64.b64encode(plain).decode("ascii")


@asynccontextmanager
async def open_passwords(cost: int, *, patience_s: float = PATIENCE_S) -> AsyncIterator[Passwords]:
    """Start max(1, cores - 1) workers; leaving ends them. A caller waits for `patience_s` seconds at the most."""
    passwords = Passwords(cost, max(1, (os.cpu_count() or 1) - 1), patience_s)
    keepers = [asyncio.create_task(passwords.serve(), name=f"passwords:{number}") for number in range(passwords.count)]
    try:
        yield passwords
    finally:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.wait(keepers)
