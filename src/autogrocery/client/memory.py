"""What a device must still know after a power loss: what was in flight, and how far it had got."""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import TYPE_CHECKING, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from autogrocery.client.nouns import Item, Manifest  # noqa: TC001 - msgspec reads the annotations at run time

if TYPE_CHECKING:
    from pathlib import Path

KEY_CHARACTERS: Final = 40
T = TypeVar("T")


class InFlight(Struct, frozen=True):
    """One basket on its way. `wanted` is the customer's last wish; it is written down before the gateway is asked."""

    basket_id: str
    items: list[Item]
    allow_partial: bool
    wanted: Literal["preview", "confirm", "cancel"] = "preview"
    order_id: str | None = None


class OnBoard(Struct, frozen=True):
    """One delivery on its way; written down before the gateway is told of it."""

    delivery_id: str
    manifest: Manifest


class Memory(Struct, Generic[T], frozen=True):
    """A device's notebook, with a basket or a delivery in flight. `run` sets its numbers apart from those of one that was lost."""

    device_id: str
    run: str
    sequence: int = 0
    in_flight: T | None = None

    def next_number(self) -> tuple[Memory[T], str]:
        """Return the notebook with one more number used, and the id of a basket or delivery made of it."""
        sequence = self.sequence + 1
        return replace(self, sequence=sequence), f"{self.run}-{sequence}"


def key_of(device_id: str, number: str) -> str:
    """Derive the Idempotency-Key of a basket or delivery: the same device and number always name the same order."""
    return hashlib.sha256(f"{device_id}\0{number}".encode()).hexdigest()[:KEY_CHARACTERS]


async def recall(path: Path | None, fresh: Memory[T], kind: type[Memory[T]]) -> Memory[T]:
    """Read a notebook of this kind; the `fresh` one if there is none. Raises ValueError if it is torn or another device's.

    Guessing is no choice here: a forgotten key could buy the same basket twice.
    """
    if path is None:
        return fresh
    try:
        text = await asyncio.to_thread(path.read_bytes)
    except FileNotFoundError:
        return fresh
    try:
        memory = msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as torn:
        raise ValueError(f"{path.name} is no notebook of this kind") from torn
    if memory.device_id != fresh.device_id:
        raise ValueError(f"{path.name} belongs to another device")
    return memory


async def keep(path: Path | None, memory: Memory[T]) -> None:
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
