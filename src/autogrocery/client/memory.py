"""What a kiosk must still know after a power loss: which basket was in flight and how far the customer had gone."""

from __future__ import annotations

import asyncio
import hashlib
import os
import uuid
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from autogrocery.client.nouns import Item  # noqa: TC001 - msgspec reads the annotations at run time

if TYPE_CHECKING:
    from pathlib import Path

KEY_CHARACTERS: Final = 40


class InFlight(Struct, frozen=True):
    """One basket on its way. `wanted` is the customer's last wish; it is written down before the gateway is asked."""

    basket_id: str
    items: list[Item]
    allow_partial: bool
    wanted: Literal["preview", "confirm", "cancel"] = "preview"
    order_id: str | None = None


class Memory(Struct, frozen=True):
    """A device's notebook. `run` sets the numbers of this notebook apart from those of one that was lost."""

    device_id: str
    run: str
    sequence: int = 0
    in_flight: InFlight | None = None

    def next_basket(self) -> tuple[Memory, str]:
        """Return the notebook with one more number used, and the basket id made of it."""
        sequence = self.sequence + 1
        return replace(self, sequence=sequence), f"{self.run}-{sequence}"


def key_of(device_id: str, basket_id: str) -> str:
    """Derive the Idempotency-Key of a basket: the same device and basket always name the same order."""
    return hashlib.sha256(f"{device_id}\0{basket_id}".encode()).hexdigest()[:KEY_CHARACTERS]


async def recall(path: Path | None, device_id: str) -> Memory:
    """Read the notebook; a new one if there is none. Raises ValueError if it is torn or belongs to another device.

    Guessing is no choice here: a forgotten key could buy the same basket twice.
    """
    if path is None:
        return Memory(device_id, uuid.uuid4().hex)
    try:
        text = await asyncio.to_thread(path.read_bytes)
    except FileNotFoundError:
        return Memory(device_id, uuid.uuid4().hex)
    try:
        memory = msgspec.json.decode(text, type=Memory)
    except msgspec.DecodeError as torn:
        raise ValueError(f"{path.name} is no kiosk notebook") from torn
    if memory.device_id != device_id:
        raise ValueError(f"{path.name} belongs to another device")
    return memory


async def keep(path: Path | None, memory: Memory) -> None:
    """Write the notebook so that it survives the power going off the moment this returns."""
    if path is not None:
        await asyncio.to_thread(_replace, path, msgspec.json.encode(memory))


def _replace(path: Path, text: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".new")
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name, too, must be on the disk
    finally:
        os.close(folder)
