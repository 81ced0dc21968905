"""Passwords, hashed by real processes."""

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
from autogrocery.kit.security.passwords import Passwords, open_passwords

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

COST = 5
PATIENCE_S = 10.0
OTHER = bcrypt.hashpw(b"somebody else's", b"$2b$05$ZY0ieNX5QTEZTu2CVaOxbO").decode()


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    async with open_passwords(COST) as passwords:
        yield passwords


def workers(parent: int) -> list[int]:
    """The bcrypt processes of a process, by what the kernel says."""
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
    """What a process holds open beside its three standard files."""
    return [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if int(link.name) > 2]


async def ended(pid: int) -> bool:
    async with asyncio.timeout(PATIENCE_S):
        while lives(pid):  # noqa: ASYNC110 - the kernel tells nobody but the parent
            await asyncio.sleep(0.01)
    return True


async def test_what_was_hashed_matches_and_nothing_else_does(passwords: Passwords) -> None:
    hashed = await passwords.hash("correct horse battery")
    assert hashed.startswith(f"$2b$0{COST}$")
    assert await passwords.matches("correct horse battery", hashed)
    assert not await passwords.matches("correct horse batterY", hashed)
    assert not await passwords.matches("", hashed)


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
async def test_hashes_of_other_makers_are_read(passwords: Passwords, prefix: str) -> None:
    hashed = bcrypt.hashpw("pässwörd-12".encode(), bcrypt.gensalt(COST)).decode().replace("$2b$", prefix)
    assert await passwords.matches("pässwörd-12", hashed)
    assert not await passwords.matches("password-12", hashed)


@pytest.mark.parametrize("length", [71, 72, 73, 200, 1024])
async def test_a_long_password_hashed_elsewhere_still_opens(passwords: Passwords, length: int) -> None:
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
async def test_an_impossible_password_matches_nothing(passwords: Passwords, password: str) -> None:
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
async def test_a_malformed_hash_matches_nothing(passwords: Passwords, hashed: str) -> None:
    assert not await passwords.matches("somebody else's", hashed)


async def test_unknown_wrong_impossible_malformed_and_weak_cost_the_same_work() -> None:
    async with open_passwords(8) as passwords:
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


async def test_a_hash_of_lower_cost_is_weak(passwords: Passwords) -> None:
    assert passwords.is_weak(OTHER.replace("$05$", "$04$"))
    assert not passwords.is_weak(OTHER)
    assert not passwords.is_weak(OTHER.replace("$05$", "$06$"))
    assert not passwords.is_weak("nonsense")


async def test_the_loop_goes_on_while_passwords_are_hashed() -> None:
    async with open_passwords(11) as passwords:
        await passwords.matches("warm", None)
        hashing = asyncio.create_task(passwords.hash("correct horse battery"))
        longest_s, before = 0.0, time.perf_counter()
        while not hashing.done():
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            longest_s, before = max(longest_s, now - before), now
    assert longest_s < 0.05


async def test_what_would_wait_too_long_is_refused_at_once() -> None:
    async with open_passwords(10) as passwords:
        asked = [asyncio.create_task(passwords.matches("x", None)) for _ in range(passwords.room + passwords.count + 5)]
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


async def test_who_waits_longer_than_its_request_may_is_told_to_ask_again() -> None:
    async with open_passwords(12, patience_s=0.01) as passwords:
        with pytest.raises(Unavailable, match="busy"):
            await passwords.matches("x", None)


async def test_a_caller_that_gives_up_spoils_nothing_for_the_next(passwords: Passwords) -> None:
    hashed = await passwords.hash("correct horse battery")
    given_up = [asyncio.create_task(passwords.matches("wrong", hashed)) for _ in range(3)]
    await asyncio.sleep(0)
    for task in given_up:
        task.cancel()
    assert await passwords.matches("correct horse battery", hashed)
    assert not await passwords.matches("wrong", hashed)


async def test_a_worker_that_dies_is_replaced_and_its_job_done() -> None:
    async with open_passwords(10) as passwords:
        hashed = await passwords.hash("correct horse battery")
        (first, *_) = workers(os.getpid())
        checking = [asyncio.create_task(passwords.matches("correct horse battery", hashed)) for _ in range(3)]
        await asyncio.sleep(0.02)
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(PATIENCE_S):
            assert await asyncio.gather(*checking) == [True, True, True]
        assert first not in workers(os.getpid())


def test_a_worker_that_dies_while_idle_is_replaced_whatever_the_loop_has_noticed_by_then() -> None:
    async def rounds() -> list[bool]:
        async with open_passwords(COST) as passwords:
            hashed = await passwords.hash("correct horse battery")
            matched = []
            for number in range(8):
                for pid in workers(os.getpid()):
                    os.kill(pid, signal.SIGKILL)
                await asyncio.sleep(number * 0.0005)  # from "nothing noticed yet" to "all pipes closed"
                async with asyncio.timeout(PATIENCE_S):
                    matched.append(await passwords.matches("correct horse battery", hashed))
            return matched

    assert uvloop.run(rounds()) == [True] * 8  # the loop that every role runs on


@pytest.mark.skipif(os.geteuid() != 0, reason="a worker lets nobody but root look into it")
async def test_a_worker_steps_back_and_takes_nothing_with_it(passwords: Passwords) -> None:
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


async def test_no_worker_outlives_its_pool() -> None:
    async with open_passwords(COST) as passwords:
        await passwords.hash("correct horse battery")
        (pid, *_) = workers(os.getpid())
    assert await ended(pid)


KEEP = """
import asyncio, sys
from autogrocery.kit.security.passwords import open_passwords
async def main():
    async with open_passwords(5) as passwords:
        await passwords.hash("correct horse battery")
        print("ready", flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_no_worker_outlives_a_killed_parent() -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", KEEP, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        assert await parent.stdout.readline() == b"ready\n"
    (pid, *_) = workers(parent.pid)
    parent.kill()
    await parent.wait()
    assert await ended(pid)
