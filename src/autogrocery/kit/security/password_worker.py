"""The bcrypt worker process: reads one JSON job a line, writes one JSON result a line, at the lowest priority."""

from __future__ import annotations

import base64
import sys

import bcrypt
import msgspec
from msgspec import Struct

from autogrocery.kit.process.core_dumps import forbid_core_dumps
from autogrocery.kit.process.priority import lower_priority

NICE = 19
MAX_BCRYPT_BYTES = 72  # bcrypt reads no further; older libraries truncate silently, so hashes of longer passwords exist


class HashJob(Struct, frozen=True):
    """Check `password` (base64) against `hashed`, taking at least the time of `cost`.

    Without `hashed`, hash the password at `cost`.
    """

    password: str
    hashed: str | None = None
    cost: int = 12


class HashResult(Struct, frozen=True):
    """The new hash, or whether the password matched."""

    hashed: str | None = None
    matched: bool = False


def run_job(job: HashJob) -> HashResult:
    """Hash or check one password; a malformed hash matches nothing."""
    password = base64.b64decode(job.password)[:MAX_BCRYPT_BYTES]
    if job.hashed is None:
        return HashResult(hashed=bcrypt.hashpw(password, bcrypt.gensalt(job.cost)).decode("ascii"))
    try:
        matched = bcrypt.checkpw(password, job.hashed.encode())
    except ValueError:
        return HashResult()
    # A hash of a lower cost must take as long as one of `cost`, or timing reveals which accounts have old hashes.
    for cost in range(int(job.hashed[4:6]), job.cost):  # 2**c + (2**c + 2**(c+1) + … + 2**(cost-1)) = 2**cost
        bcrypt.hashpw(password, bcrypt.gensalt(cost))
    return HashResult(matched=matched)


def main() -> None:
    """Run jobs from stdin until the parent process closes the pipe."""
    lower_priority(NICE)
    forbid_core_dumps()  # last, because it gives /proc/self to root
    decode, encode = msgspec.json.Decoder(HashJob).decode, msgspec.json.encode
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(encode(run_job(decode(line))) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
