"""Batches on disk while the store is away: one file each, in order, bounded in bytes."""

from __future__ import annotations

import asyncio
import os
import zlib
from typing import TYPE_CHECKING, Final

import msgspec

from autogrocery.analytics.core.batch import Batch
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from pathlib import Path

BLOCK_BYTES: Final = 4_096  # what a small file takes of the disk
CHECKSUM_BYTES: Final = 4
SUFFIX: Final = ".batch"


class Spool:
    """A directory of batches that are not stored yet; a kill leaves whole files only.

    A file that can't be read is renamed and logged: its numbers are in no mark, so the metrics log is asked for them.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        """Take over what an earlier process left. Raises OSError."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._max_bytes = max_bytes
        for draft in directory.glob("*.new"):
            draft.unlink()
        self._files = sorted(directory.glob(f"*{SUFFIX}"))
        self._bytes = sum(map(_size, self._files))

    def __len__(self) -> int:
        """Return how many batches are on disk."""
        return len(self._files)

    @property
    def rows(self) -> int:
        """Return how many facts are on disk."""
        return sum(int(file.stem.split("-")[1]) for file in self._files)

    async def append(self, batch: Batch) -> bool:
        """Write a batch behind the others; False if the spool, or the disk, is full."""
        body = msgspec.msgpack.encode(batch)
        if self._bytes + max(len(body), BLOCK_BYTES) > self._max_bytes:
            return False
        number = int(self._files[-1].stem.split("-")[0]) + 1 if self._files else 1
        file = self._directory / f"{number:012}-{len(batch.facts)}{SUFFIX}"
        try:
            await asyncio.to_thread(_write, file, zlib.crc32(body).to_bytes(CHECKSUM_BYTES, "big") + body)
        except OSError as error:
            log.warning("spool_refused", reason=error.strerror)
            return False
        self._files.append(file)
        self._bytes += _size(file)
        return True

    async def oldest(self) -> Batch | None:
        """Return the oldest batch, which stays until `remove`; None if there is none."""
        while self._files:
            content = await asyncio.to_thread(self._files[0].read_bytes)
            checksum, body = content[:CHECKSUM_BYTES], content[CHECKSUM_BYTES:]
            if zlib.crc32(body).to_bytes(CHECKSUM_BYTES, "big") == checksum:
                return msgspec.msgpack.decode(body, type=Batch)
            log.error("spooled_batch_damaged", file=str(self._files[0]))
            self._bytes -= _size(self._files[0])
            self._files[0].replace(self._files.pop(0).with_suffix(".damaged"))
        return None

    def remove(self) -> None:
        """Remove the oldest batch: it is stored."""
        self._bytes -= _size(self._files[0])
        self._files.pop(0).unlink(missing_ok=True)


def _size(file: Path) -> int:
    return max(file.stat().st_size, BLOCK_BYTES)


def _write(file: Path, content: bytes) -> None:
    draft = file.with_suffix(".new")
    with draft.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(file)
