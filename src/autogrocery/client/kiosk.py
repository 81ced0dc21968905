"""The client of a smart fridge or a kiosk: registration, catalog, and an order from preview to its last event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from autogrocery.client.account import Account, poll_until
from autogrocery.client.models import (
    Event,
    EventPage,
    Item,
    Me,
    Order,
    OrderPage,
    ProductPage,
    Registration,
    Status,
)
from autogrocery.client.pending_calls import PendingCalls, PendingOrder, key_of
from autogrocery.client.problems import Problem
from autogrocery.client.transport import Call

if TYPE_CHECKING:
    from collections.abc import Iterable

FINAL_REFUSALS: Final = frozenset({404, 409, 410, 422})  # final refusals; a 401 or 403 says nothing about the order


class OrderResponse(Struct, frozen=True):
    """One 2xx about an order: the step that was called, the HTTP status and the order in the body."""

    step: str
    http_status: int
    order: Order


class Kiosk(Account[PendingOrder, Order, OrderResponse]):
    """A client of the gateway at `url` for one device; see Account for the arguments.

    With a `state_file`, an order in flight survives a power loss: `resume` continues it.
    """

    state_type = PendingCalls[PendingOrder]
    model = Order
    response_type = OrderResponse

    async def register(self, *, email: str | None = None, phone: str | None = None) -> Registration:
        """Register this device. Raises Problem `device_taken` if another device has its name.

        If an earlier response was lost and the name is taken now, a login shows whether this device took it.
        """
        wanted = {"email": email, "phone": phone}
        body = {"device_id": self.device_id, "password": self._password}
        body |= {name: value for name, value in wanted.items() if value is not None}
        try:
            created = await self._send(Call("POST", "/api/client/register", body))
        except Problem as problem:
            if problem.code != "device_taken" or not problem.lost:
                raise
            return await self._already_registered(problem)
        return msgspec.json.decode(created, type=Registration)

    async def _already_registered(self, taken: Problem) -> Registration:
        try:
            me = await self.me()
        except Problem as refused:
            raise taken from refused
        return Registration(me.device_id, me.user_id)

    async def me(self) -> Me:
        """Return this device's registry entry."""
        return await self._get("/api/client/me", Me)

    async def catalog(self, query: str = "", *, cursor: str | None = None, limit: int = 50) -> ProductPage:
        """Return one page of products whose name or SKU matches."""
        params = {"q": query, "limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        return await self._get("/api/client/catalog", ProductPage, params)

    async def preview(
        self, items: Iterable[Item], *, basket_id: str | None = None, allow_partial: bool = False
    ) -> Order:
        """Request a quote; the gateway holds the goods until `expires_at`.

        The same `basket_id` (default: the next number of the state file) always names the same order, however often the
        call is repeated, also after a crash. Raises Problem `insufficient_stock`, `unknown_sku`.
        """
        async with self._lock:
            if basket_id is None:
                await self._save(self._state().with_next_number())
                basket_id = self._state().last_id
            return await self._preview(PendingOrder(basket_id, list(items), allow_partial))

    async def confirm(self, order_id: str) -> Order:
        """Confirm the order, which dispatches robots.

        Returns once the result is known, or with `dispatch` "in_doubt" when the deadline passes: then call it again.
        Raises Problem `hold_expired`, `no_robots`, `order_cancelled`, `order_not_found`.
        """
        async with self._lock:
            return await self._decide("confirm", order_id)

    async def cancel(self, order_id: str) -> Order:
        """Cancel the order. Raises Problem `too_late_to_cancel` once picking has started, `hold_expired`."""
        async with self._lock:
            return await self._decide("cancel", order_id)

    async def resume(self) -> Order | None:
        """Continue the order that a power loss interrupted, with the same key; None if none was in flight.

        An order that was only previewed comes back PREVIEWED: confirming or cancelling it is the customer's choice.
        """
        async with self._lock:
            basket = self._state().in_flight
            if basket is None:
                return None
            if basket.order_id is None:
                return await self._preview(basket)
            if basket.wanted == "preview":
                return await self.order(basket.order_id)
            return await self._decide(basket.wanted, basket.order_id)

    async def order(self, order_id: str) -> Order:
        """Return the order as it stands now. Raises Problem `order_not_found`."""
        return await self._send_step("order", Call("GET", f"/api/client/orders/{order_id}"))

    async def orders(self, *, status: Status | None = None, cursor: str | None = None, limit: int = 20) -> OrderPage:
        """Return one page of this device's orders, newest first."""
        params = {"limit": str(limit)} | ({"status": status} if status else {}) | ({"cursor": cursor} if cursor else {})
        return await self._get("/api/client/orders", OrderPage, params)

    async def events(self, order_id: str) -> list[Event]:
        """Return the order's history, oldest first. Raises Problem `order_not_found`."""
        return (await self._get(f"/api/client/orders/{order_id}/events", EventPage)).data

    async def finished(self, order_id: str, within_s: float) -> Order:
        """Poll the order at growing intervals until it is terminal; return its last state after `within_s` seconds."""
        return await poll_until(lambda: self.order(order_id), lambda order: order.terminal, within_s)

    async def _preview(self, basket: PendingOrder) -> Order:
        await self._save(replace(self._state(), in_flight=basket))
        body = {"items": basket.items, "allow_partial": basket.allow_partial}
        call = Call("POST", "/api/client/order/preview", body, key_of(self.device_id, basket.basket_id))
        try:
            order = await self._send_step("preview", call)
        except Problem as problem:
            if problem.status in FINAL_REFUSALS:
                await self._save(replace(self._state(), in_flight=None))
            raise
        await self._save(replace(self._state(), in_flight=replace(basket, order_id=order.order_id)))
        return order

    async def _decide(self, choice: Literal["confirm", "cancel"], order_id: str) -> Order:
        """Confirm or cancel; the choice is saved before it is sent, and removed once its result is known."""
        basket = self._state().in_flight
        ours = basket is not None and basket.order_id == order_id
        if basket is not None and ours:
            await self._save(replace(self._state(), in_flight=replace(basket, wanted=choice)))
        call = Call("POST", f"/api/client/order/{choice}", {"order_id": order_id}, repeat_accepted=True)
        try:
            order = await self._send_step(choice, call)
        except Problem as problem:
            if ours and problem.status in FINAL_REFUSALS:
                await self._save(replace(self._state(), in_flight=None))
            raise
        if ours and order.dispatch not in ("in_doubt", "releasing"):
            await self._save(replace(self._state(), in_flight=None))
        return order
