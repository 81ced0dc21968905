"""What a device keeps on disk to survive a power loss: the order or delivery in flight, and how far it has come."""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import TYPE_CHECKING, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from autogrocery.client.models import Item, Manifest  # noqa: TC001 - msgspec reads the annotations at run time

if TYPE_CHECKING:
    from pathlib import Path

KEY_CHARACTERS: Final = 40
T = TypeVar("T")


class PendingOrder(Struct, frozen=True):
    """One order in flight. `wanted` is the customer's last choice; it is saved before the gateway is called."""

    basket_id: str
    items: list[Item]
    allow_partial: bool
    wanted: Literal["preview", "confirm", "cancel"] = "preview"
    order_id: str | None = None


class PendingDelivery(Struct, frozen=True):
    """One delivery in flight; saved before the gateway is called."""

    delivery_id: str
    manifest: Manifest


class PendingCalls(Struct, Generic[T], frozen=True):
    """The content of a device's state file, with an order or a delivery in flight.

    `run` makes the numbers of this file differ from those of an earlier one that was lost.
    """

    device_id: str
    run: str
    sequence: int = 0
    in_flight: T | None = None

    def with_next_number(self) -> PendingCalls[T]:
        """Return a copy with the next number taken."""
        return replace(self, sequence=self.sequence + 1)

    @property
    def last_id(self) -> str:
        """The basket or delivery id made from the number that was taken last."""
        return f"{self.run}-{self.sequence}"


def key_of(device_id: str, number: str) -> str:
    """Derive the Idempotency-Key of a basket or delivery: the same device and number always name the same order."""
    return hashlib.sha256(f"{device_id}\0{number}".encode()).hexdigest()[:KEY_CHARACTERS]


async def load(path: Path | None, fresh: PendingCalls[T], kind: type[PendingCalls[T]]) -> PendingCalls[T]:
    """Return the content of a state file of this kind, or `fresh` if there is no file.

    Raises ValueError if the file is damaged or another device's: starting anew could buy the same basket twice.
    """
    if path is None:
        return fresh
    try:
        text = await asyncio.to_thread(path.read_bytes)
    except FileNotFoundError:
        return fresh
    try:
        found = msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path.name} is not a state file of this kind") from error
    if found.device_id != fresh.device_id:
        raise ValueError(f"{path.name} belongs to another device")
    return found


async def save(path: Path | None, pending: PendingCalls[T]) -> None:
    """Write the state file; once this returns, the content survives a power loss."""
    if path is not None:
        await asyncio.to_thread(_replace, path, msgspec.json.encode(pending))


def _replace(path: Path, text: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)  # the rename must be on disk too
    finally:
        os.close(directory)
