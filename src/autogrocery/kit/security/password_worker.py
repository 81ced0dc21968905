"""One bcrypt process: a line of JSON in, a line out. It runs at the lowest priority, in a session of its own."""

from __future__ import annotations

import base64
import os
import sys
from contextlib import suppress
from pathlib import Path

import bcrypt
import msgspec
from msgspec import Struct

from autogrocery.kit.process.core_dumps import forbid_core_dumps

MAX_BCRYPT_BYTES = 72  # bcrypt reads no further; older libraries cut silently, so hashes of longer passwords exist


class Job(Struct, frozen=True):
    """Check `password` (base64) against `hashed` with the work of at least `cost`, or hash it at `cost`."""

    password: str
    hashed: str | None = None
    cost: int = 12


class Done(Struct, frozen=True):
    """The hash, or whether it matched."""

    hashed: str | None = None
    matched: bool = False


def work(job: Job) -> Done:
    """Do one job; a malformed hash matches nothing."""
    password = base64.b64decode(job.password)[:MAX_BCRYPT_BYTES]
    if job.hashed is None:
        return Done(hashed=bcrypt.hashpw(password, bcrypt.gensalt(job.cost)).decode("ascii"))
    try:
        matched = bcrypt.checkpw(password, job.hashed.encode())
    except ValueError:
        return Done()
    for cost in range(int(job.hashed[4:6]), job.cost):  # 2**c + (2**c + 2**(c+1) + … + 2**(cost-1)) = 2**cost
        bcrypt.hashpw(password, bcrypt.gensalt(cost))
    return Done(matched=matched)


def step_back() -> None:
    """Leave the processor to the requests: nice 19, and for the whole session where sessions are scheduled as groups."""
    os.nice(19)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text("19", encoding="ascii")


def main() -> None:
    """Work until our parent closes the pipe."""
    step_back()
    forbid_core_dumps()  # afterwards: from here on /proc/self is root's
    decode, encode = msgspec.json.Decoder(Job).decode, msgspec.json.encode
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(encode(work(decode(line))) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
