"""What a supplier's truck does at the gateway: it announces what it brings, and watches it being put away."""

from __future__ import annotations

from typing import ClassVar, Final

from msgspec import Struct
from msgspec.structs import replace

from autogrocery.client.account import Account, look_until
from autogrocery.client.memory import Memory, OnBoard, key_of
from autogrocery.client.nouns import Manifest, Restock
from autogrocery.client.problems import Problem
from autogrocery.client.wire import Call

REFUSED: Final = frozenset({400, 409, 413, 422})  # they settle a delivery; a 401 or 403 settles nothing


class ToldRestock(Struct, frozen=True):
    """One 2xx about a delivery: which step, which HTTP status, what was said."""

    step: str
    http_status: int
    restock: Restock


class Truck(Account[OnBoard, Restock, ToldRestock]):
    """One truck's conversation with the gateway at `url`; patience, session and notebook as any Account's.

    With a `notebook` file a delivery in flight survives a power loss: `resume` announces it again.
    """

    doors: ClassVar[str] = "/api/truck"
    pages = Memory[OnBoard]
    noun = Restock
    told = ToldRestock

    async def restock(self, manifest: Manifest, *, delivery_id: str | None = None) -> Restock:
        """Announce a delivery. Returns once inventory has answered, or with `dispatch` "in_doubt" when patience ends.

        The same `manifest_no` of a supplier always names the same delivery, however often and after whatever crash it is
        announced; where there is none, the same `delivery_id` does (default: the next number of the notebook). Raises
        Problem `manifest_mismatch`, `restock_refused`, and what is wrong with a manifest.
        """
        async with self._turn:
            if delivery_id is None:
                memory, delivery_id = self._known().next_number()
                await self._note(memory)
            return await self._announce(OnBoard(delivery_id, manifest))

    async def resume(self) -> Restock | None:
        """Announce again what a power loss interrupted; None if nothing was in flight."""
        async with self._turn:
            carried = self._known().in_flight
            return None if carried is None else await self._announce(carried)

    async def status(self, order_id: str) -> Restock:
        """Return a delivery of this truck's supplier as it stands now. Raises Problem `order_not_found`."""
        return await self._about("status", Call("GET", "/api/truck/restock/status", params={"order_id": order_id}))

    async def finished(self, order_id: str, within_s: float) -> Restock:
        """Look at the delivery, less and less often, until it is put away or rejected; the last look is returned after `within_s`."""
        return await look_until(lambda: self.status(order_id), lambda restock: restock.terminal, within_s)

    async def _announce(self, carried: OnBoard) -> Restock:
        """The manifest is in the notebook before it is on the wire, and out of it once it is settled."""
        await self._note(replace(self._known(), in_flight=carried))
        key = key_of(self.device_id, carried.delivery_id) if carried.manifest.manifest_no is None else None
        call = Call("POST", "/api/truck/restock", carried.manifest, key, settles=True)
        try:
            restock = await self._about("restock", call)
        except Problem as problem:
            if problem.status in REFUSED:
                await self._note(replace(self._known(), in_flight=None))
            raise
        if restock.dispatch != "in_doubt":
            await self._note(replace(self._known(), in_flight=None))
        return restock
