"""The client of a supplier's truck: it announces a delivery and polls it until it is put away."""

from __future__ import annotations

from typing import ClassVar, Final

from msgspec import Struct
from msgspec.structs import replace

from autogrocery.client.account import Account, poll_until
from autogrocery.client.models import Manifest, Restock
from autogrocery.client.pending_calls import PendingCalls, PendingDelivery, key_of
from autogrocery.client.problems import Problem
from autogrocery.client.transport import Call

FINAL_REFUSALS: Final = frozenset({400, 409, 413, 422})  # a 401 or 403 says nothing about the delivery


class RestockResponse(Struct, frozen=True):
    """One 2xx about a delivery: the step that was called, the HTTP status and the delivery in the body."""

    step: str
    http_status: int
    restock: Restock


class Truck(Account[PendingDelivery, Restock, RestockResponse]):
    """A client of the gateway at `url` for one truck; see Account for the arguments.

    With a `state_file`, a delivery in flight survives a power loss: `resume` announces it again.
    """

    login_prefix: ClassVar[str] = "/api/truck"
    state_type = PendingCalls[PendingDelivery]
    model = Restock
    response_type = RestockResponse

    async def restock(self, manifest: Manifest, *, delivery_id: str | None = None) -> Restock:
        """Announce a delivery.

        Returns once inventory has replied, or with `dispatch` "in_doubt" when the deadline passes. The same
        `manifest_no` of a supplier always names the same delivery, however often it is announced, also after a crash;
        without one, the same `delivery_id` does (default: the next number of the state file). Raises Problem
        `manifest_mismatch`, `restock_refused`, and the codes of an invalid manifest.
        """
        async with self._lock:
            if delivery_id is None:
                await self._save(self._state().with_next_number())
                delivery_id = self._state().last_id
            return await self._announce(PendingDelivery(delivery_id, manifest))

    async def resume(self) -> Restock | None:
        """Announce again the delivery that a power loss interrupted; None if none was in flight."""
        async with self._lock:
            delivery = self._state().in_flight
            return None if delivery is None else await self._announce(delivery)

    async def status(self, order_id: str) -> Restock:
        """Return a delivery of this truck's supplier as it stands now. Raises Problem `order_not_found`."""
        return await self._send_step("status", Call("GET", "/api/truck/restock/status", params={"order_id": order_id}))

    async def finished(self, order_id: str, within_s: float) -> Restock:
        """Poll the delivery at growing intervals until it is put away or rejected.

        Returns its last state after `within_s` seconds.
        """
        return await poll_until(lambda: self.status(order_id), lambda restock: restock.terminal, within_s)

    async def _announce(self, delivery: PendingDelivery) -> Restock:
        """Send the manifest; it is saved before it is sent, and removed once its result is known."""
        await self._save(replace(self._state(), in_flight=delivery))
        key = key_of(self.device_id, delivery.delivery_id) if delivery.manifest.manifest_no is None else None
        call = Call("POST", "/api/truck/restock", delivery.manifest, key, repeat_accepted=True)
        try:
            restock = await self._send_step("restock", call)
        except Problem as problem:
            if problem.status in FINAL_REFUSALS:
                await self._save(replace(self._state(), in_flight=None))
            raise
        if restock.dispatch != "in_doubt":
            await self._save(replace(self._state(), in_flight=None))
        return restock
