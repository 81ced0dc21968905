"""PasswordHasher with real worker processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import bcrypt
import pytest
import uvloop

from autogrocery.kit.errors import Unavailable
from autogrocery.kit.security.passwords import PasswordHasher, open_password_hasher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

COST = 5
TIMEOUT_S = 10.0
OTHER = bcrypt.hashpw(b"another password", b"$2b$05$ZY0ieNX5QTEZTu2CVaOxbO").decode()


@pytest.fixture
async def passwords() -> AsyncIterator[PasswordHasher]:
    async with open_password_hasher(COST) as passwords:
        yield passwords


def workers(parent: int) -> list[int]:
    """Return the pids of a process's bcrypt workers, from /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes()
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (OSError, ValueError):
            continue
        if b"password_worker" in line and int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(entry.name))
    return found


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def environment(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def open_files(pid: int) -> list[str]:
    """Return what a process has open besides its three standard files."""
    return [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if int(link.name) > 2]


async def ended(pid: int) -> bool:
    async with asyncio.timeout(TIMEOUT_S):
        while lives(pid):  # noqa: ASYNC110 - the kernel notifies only the parent
            await asyncio.sleep(0.01)
    return True


async def test_hash_matches_its_password_only(passwords: PasswordHasher) -> None:
    hashed = await passwords.hash("correct horse battery")
    assert hashed.startswith(f"$2b$0{COST}$")
    assert await passwords.matches("correct horse battery", hashed)
    assert not await passwords.matches("correct horse batterY", hashed)
    assert not await passwords.matches("", hashed)


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
async def test_hash_of_other_bcrypt_variant_matches(passwords: PasswordHasher, prefix: str) -> None:
    hashed = bcrypt.hashpw("pässwörd-12".encode(), bcrypt.gensalt(COST)).decode().replace("$2b$", prefix)
    assert await passwords.matches("pässwörd-12", hashed)
    assert not await passwords.matches("password-12", hashed)


@pytest.mark.parametrize("length", [71, 72, 73, 200, 1024])
async def test_hash_of_long_password_from_other_library_matches(passwords: PasswordHasher, length: int) -> None:
    password = ("0123456789" * 103)[:length]
    hashed = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(COST)).decode()
    assert await passwords.matches(password, hashed)


IMPOSSIBLE = {
    "empty": "",
    "NUL": "a\0b",
    "NUL behind the 72nd": "x" * 80 + "\0",
    "1,025 bytes": "x" * 1_025,
    "1,026 in 513": "é" * 513,
}


@pytest.mark.parametrize("password", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
async def test_empty_nul_or_overlong_password_matches_nothing(passwords: PasswordHasher, password: str) -> None:
    hashed = bcrypt.hashpw(password.encode().split(b"\0")[0][:72], bcrypt.gensalt(COST)).decode()
    assert not await passwords.matches(password, hashed)


MALFORMED = [
    "",
    "x",
    "plain text",
    OTHER[:-1],
    OTHER + "x",
    OTHER.replace("$05$", "$99$"),
    OTHER.replace("$05$", "$31$"),
    OTHER.replace("$05$", "$00$"),
    OTHER.replace("$2b$", "$2x$"),
    OTHER.replace("$2b$", "$2$"),
    "$1$abc$def",
    OTHER[:30] + "\0" + OTHER[31:],
    OTHER[:30] + "!" + OTHER[31:],
]


@pytest.mark.parametrize("hashed", MALFORMED)
async def test_malformed_hash_matches_nothing(passwords: PasswordHasher, hashed: str) -> None:
    assert not await passwords.matches("another password", hashed)


async def test_every_failed_check_takes_the_same_time() -> None:
    async with open_password_hasher(8) as passwords:
        known = await passwords.hash("correct horse battery")
        tries = {
            "wrong": ("wrong horse battery", known),
            "unknown": ("wrong horse battery", None),
            "NUL": ("a\0b", known),
            "too long": ("x" * 2_000, known),
            "malformed": ("wrong horse battery", "$2b$08$x"),
            "hash of lower cost": ("wrong horse battery", OTHER),
        }
        spent_s: dict[str, list[float]] = {name: [] for name in tries}
        for _ in range(15):
            for name, (password, hashed) in tries.items():
                began = time.perf_counter()
                assert not await passwords.matches(password, hashed)
                spent_s[name].append(time.perf_counter() - began)
    least_s = {name: min(values) for name, values in spent_s.items()}
    assert min(least_s.values()) > 0.7 * max(least_s.values()), {
        name: median(values) for name, values in spent_s.items()
    }


async def test_only_hash_of_lower_cost_needs_rehash(passwords: PasswordHasher) -> None:
    assert passwords.needs_rehash(OTHER.replace("$05$", "$04$"))
    assert not passwords.needs_rehash(OTHER)
    assert not passwords.needs_rehash(OTHER.replace("$05$", "$06$"))
    assert not passwords.needs_rehash("nonsense")


async def test_event_loop_is_not_blocked_while_hashing() -> None:
    async with open_password_hasher(11) as passwords:
        await passwords.matches("warm", None)
        hashing = asyncio.create_task(passwords.hash("correct horse battery"))
        longest_s, before = 0.0, time.perf_counter()
        while not hashing.done():
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            longest_s, before = max(longest_s, now - before), now
    assert longest_s < 0.05


async def test_check_with_full_queue_raises_busy_at_once() -> None:
    async with open_password_hasher(10) as passwords:
        asked = [
            asyncio.create_task(passwords.matches("x", None)) for _ in range(passwords.queue_size + passwords.count + 5)
        ]
        began = time.monotonic()
        refused = [
            task for task in (await asyncio.wait(asked, timeout=0.1))[0] if isinstance(task.exception(), Unavailable)
        ]
        assert time.monotonic() - began < 0.5
        assert len(refused) >= 5
        error = refused[0].exception()
        assert isinstance(error, Unavailable)
        assert error.code == "busy"
        for task in asked:
            task.cancel()


async def test_check_beyond_its_timeout_raises_busy() -> None:
    async with open_password_hasher(12, timeout_s=0.01) as passwords:
        with pytest.raises(Unavailable, match="busy"):
            await passwords.matches("x", None)


async def test_cancelled_check_does_not_affect_the_next(passwords: PasswordHasher) -> None:
    hashed = await passwords.hash("correct horse battery")
    given_up = [asyncio.create_task(passwords.matches("wrong", hashed)) for _ in range(3)]
    await asyncio.sleep(0)
    for task in given_up:
        task.cancel()
    assert await passwords.matches("correct horse battery", hashed)
    assert not await passwords.matches("wrong", hashed)


async def test_job_of_a_killed_worker_is_run_by_the_next() -> None:
    async with open_password_hasher(10) as passwords:
        hashed = await passwords.hash("correct horse battery")
        (first, *_) = workers(os.getpid())
        checking = [asyncio.create_task(passwords.matches("correct horse battery", hashed)) for _ in range(3)]
        await asyncio.sleep(0.02)
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(TIMEOUT_S):
            assert await asyncio.gather(*checking) == [True, True, True]
        assert first not in workers(os.getpid())


def test_idle_worker_that_dies_is_replaced_before_and_after_its_pipe_closes() -> None:
    async def rounds() -> list[bool]:
        async with open_password_hasher(COST) as passwords:
            hashed = await passwords.hash("correct horse battery")
            matched = []
            for number in range(8):
                for pid in workers(os.getpid()):
                    os.kill(pid, signal.SIGKILL)
                await asyncio.sleep(number * 0.0005)  # from before the event loop notices to after all pipes are closed
                async with asyncio.timeout(TIMEOUT_S):
                    matched.append(await passwords.matches("correct horse battery", hashed))
            return matched

    assert uvloop.run(rounds()) == [True] * 8  # the loop that every role runs on


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may inspect a worker")
async def test_worker_has_low_priority_and_inherits_no_secret_or_socket(passwords: PasswordHasher) -> None:
    os.environ["A_TEST_SECRET"] = "never passed on"
    try:
        await passwords.hash("correct horse battery")
    finally:
        del os.environ["A_TEST_SECRET"]
    (pid, *_) = workers(os.getpid())
    assert os.getpriority(os.PRIO_PROCESS, pid) == 19
    assert os.getsid(pid) == pid
    assert b"A_TEST_SECRET" not in environment(pid)
    assert not [name for name in open_files(pid) if name.startswith("socket:")]


async def test_workers_end_with_the_hasher() -> None:
    async with open_password_hasher(COST) as passwords:
        await passwords.hash("correct horse battery")
        (pid, *_) = workers(os.getpid())
    assert await ended(pid)


KEEP = """
import asyncio, sys
from autogrocery.kit.security.passwords import open_password_hasher
async def main():
    async with open_password_hasher(5) as passwords:
        await passwords.hash("correct horse battery")
        print("ready", flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_workers_end_with_a_killed_parent() -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", KEEP, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    async with asyncio.timeout(TIMEOUT_S):
        assert await parent.stdout.readline() == b"ready\n"
    (pid, *_) = workers(parent.pid)
    parent.kill()
    await parent.wait()
    assert await ended(pid)


async def test_worker_that_dies_again_and_again_is_restarted_with_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = tmp_path / "starts"
    (tmp_path / "sitecustomize.py").write_text(f"import os; open({str(starts)!r}, 'a').write('x'); os._exit(1)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    async with open_password_hasher(COST, timeout_s=2) as passwords:
        with pytest.raises(Unavailable):
            await passwords.hash("correct horse battery")
    assert 2 <= len(starts.read_text()) <= 5
