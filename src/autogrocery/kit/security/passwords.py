"""Hash and check passwords with bcrypt in worker processes, so that hashing does not take CPU time from requests.

bcrypt releases the GIL and still starves a server: two hashing threads took 97 % of its throughput. So max(1, cores -
1) processes hash instead, each in its own session at the lowest priority, behind a bounded queue.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
import re
import signal
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from autogrocery.kit.backoff import spread_s
from autogrocery.kit.errors import Unavailable
from autogrocery.kit.process.interpreter import inherited_environ, module_command
from autogrocery.kit.process.log import log
from autogrocery.kit.process.parent_death import dies_with_us
from autogrocery.kit.security.password_worker import HashJob, HashResult

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MAX_QUEUE_WAIT_S: Final = 3.5  # a job that would wait longer is refused at once; a caller's own deadline is 5 s
TIMEOUT_S: Final = 4.5  # of a caller: below a request's deadline of 5 s, so that no job outlives its request
JOB_DEADLINE_S: Final = 15.0  # of a worker, for one job
ROUND_S: Final = 60e-6  # one of the 2**cost rounds, as measured: 250 ms at cost 12
MIN_QUEUE_SIZE: Final = 4
RESTART_AFTER_S: Final = 1.0
SMALLEST_COST: Final = 4
LARGEST_COST: Final = 16  # 4 s of work; a hash of a higher cost is treated as malformed
MAX_PASSWORD_BYTES: Final = 1_024
ALPHABET: Final = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
LAST_OF_SALT: Final = ".Oeu"  # 128 bits end within the 22nd character; bcrypt rejects any other before it hashes
HASH: Final = re.compile(rf"\$2[aby]\$([0-9]{{2}})\$[./A-Za-z0-9]{{21}}[{LAST_OF_SALT}][./A-Za-z0-9]{{31}}")


class QueuedJob(Struct, frozen=True):
    """A job and the future of its result."""

    job: HashJob
    result: asyncio.Future[HashResult]


class PasswordHasher:
    """Hashes and checks passwords with `count` processes; `open_password_hasher` starts them.

    `cost` is the bcrypt cost of new hashes; `queue_size` is how many jobs may wait.
    """

    def __init__(self, cost: int, count: int, timeout_s: float) -> None:
        self.cost = cost
        self.count = count
        self._timeout_s = timeout_s
        self.queue_size = max(MIN_QUEUE_SIZE, int(MAX_QUEUE_WAIT_S * count / (ROUND_S * 2**cost)))
        self._jobs: asyncio.Queue[QueuedJob] = asyncio.Queue(self.queue_size)
        self._dummy = _never_matching_hash(cost)

    @property
    def waiting(self) -> int:
        """The number of jobs that no worker has taken yet."""
        return self._jobs.qsize()

    async def hash(self, password: str) -> str:
        """Return a new hash; raises Unavailable(busy) when the queue is full or the timeout passes."""
        result = await self._submit(HashJob(_base64(password.encode()), cost=self.cost))
        assert result.hashed is not None
        return result.hashed

    async def matches(self, password: str, hashed: str | None) -> bool:
        """Return whether the password matches the hash.

        An impossible password, `hashed` None and a hash of a lower cost take the same time as a hash of `cost`, so that
        the time does not tell which accounts exist. A hash of a higher cost takes longer. Raises Unavailable(busy).
        """
        plain = password.encode("utf-8", "replace")
        possible = b"\0" not in plain and 0 < len(plain) <= MAX_PASSWORD_BYTES
        known = hashed if possible and hashed is not None and _cost_of(hashed) else None
        result = await self._submit(HashJob(_base64(plain if possible else b"-"), known or self._dummy, self.cost))
        return result.matched and known is not None

    def needs_rehash(self, hashed: str) -> bool:
        """Return whether a hash was made at a lower cost than `cost`, and should be replaced."""
        return 0 < _cost_of(hashed) < self.cost

    async def _submit(self, job: HashJob) -> HashResult:
        result: asyncio.Future[HashResult] = asyncio.get_running_loop().create_future()
        try:
            self._jobs.put_nowait(QueuedJob(job, result))
        except asyncio.QueueFull:
            raise Unavailable("busy", "Too many logins are waiting.", retry_after_s=5.0) from None
        try:
            async with asyncio.timeout(self._timeout_s):
                return await result
        except TimeoutError:
            raise Unavailable("busy", "The login took too long.", retry_after_s=5.0) from None

    async def serve(self) -> None:
        """Feed jobs to one worker process until cancelled; a worker that dies is replaced and its job runs again."""
        worker: asyncio.subprocess.Process | None = None
        deaths = 0  # one after the other
        try:
            while True:
                queued = await self._jobs.get()
                while not queued.result.done():  # done before it ran: the caller timed out, so the job is skipped
                    try:
                        worker = worker or await _start()
                    except OSError as error:
                        log.error("password_worker_not_started", reason=type(error).__name__)
                        await asyncio.sleep(RESTART_AFTER_S)
                        continue
                    result = await _run_job(worker, queued.job)
                    if result is not None:
                        deaths = 0
                        if not queued.result.done():
                            queued.result.set_result(result)
                        break
                    await _end(worker)
                    log.warning("password_worker_died", status=worker.returncode)
                    worker = None
                    deaths += 1
                    if deaths > 1:  # the first may be an accident: its job runs again at once
                        await asyncio.sleep(spread_s(RESTART_AFTER_S))
        finally:
            if worker is not None:
                await _end(worker)


async def _start() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *module_command("autogrocery.kit.security.password_worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        close_fds=True,
        start_new_session=True,
        env=inherited_environ(),
        preexec_fn=dies_with_us(signal.SIGKILL),
    )


async def _run_job(worker: asyncio.subprocess.Process, job: HashJob) -> HashResult | None:
    """Return the worker's result, None if it died or missed the deadline."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        async with asyncio.timeout(JOB_DEADLINE_S):
            worker.stdin.write(msgspec.json.encode(job) + b"\n")
            await worker.stdin.drain()
            line = await worker.stdout.readline()
        return msgspec.json.decode(line, type=HashResult) if line else None
    except (OSError, RuntimeError, TimeoutError, ValueError):
        return None  # uvloop raises RuntimeError for a write to a closed pipe


async def _end(worker: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        worker.kill()
    await worker.wait()


def _never_matching_hash(cost: int) -> str:
    """Return a random well-formed hash: checking it takes the time of `cost`, and no password is known to match it."""
    letters = random.choices(ALPHABET, k=53)  # noqa: S311 - not a secret; only its cost matters
    letters[21] = LAST_OF_SALT[0]
    return f"$2b${cost:02}${''.join(letters)}"


def _cost_of(hashed: str) -> int:
    """Return the cost of a hash that can be checked, 0 for anything else."""
    found = HASH.fullmatch(hashed)
    cost = int(found[1]) if found else 0
    return cost if SMALLEST_COST <= cost <= LARGEST_COST else 0


def _base64(plain: bytes) -> str:
    return base64.b64encode(plain).decode("ascii")


@asynccontextmanager
async def open_password_hasher(cost: int, *, timeout_s: float = TIMEOUT_S) -> AsyncIterator[PasswordHasher]:
    """Start max(1, cores - 1) workers; leaving the context ends them. A call waits for at most `timeout_s` seconds."""
    hasher = PasswordHasher(cost, max(1, (os.cpu_count() or 1) - 1), timeout_s)
    servers = [asyncio.create_task(hasher.serve(), name=f"passwords:{number}") for number in range(hasher.count)]
    try:
        yield hasher
    finally:
        for server in servers:
            server.cancel()
        await asyncio.wait(servers)
