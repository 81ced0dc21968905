"""What a smart fridge or a kiosk does at the gateway, from registering to the last event of an order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from autogrocery.client.account import Account, look_until
from autogrocery.client.memory import InFlight, Memory, key_of
from autogrocery.client.nouns import (
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
from autogrocery.client.problems import Problem
from autogrocery.client.wire import Call

if TYPE_CHECKING:
    from collections.abc import Iterable

ABOUT_THE_ORDER: Final = frozenset({404, 409, 410, 422})  # refusals that settle it; a 401 or 403 settles nothing


class Told(Struct, frozen=True):
    """One 2xx about an order: which step, which HTTP status, what was said."""

    step: str
    http_status: int
    order: Order


class Kiosk(Account[InFlight, Order, Told]):
    """One device's conversation with the gateway at `url`; patience, session and notebook as any Account's.

    With a `notebook` file a basket in flight survives a power loss: `resume` drives it on.
    """

    pages = Memory[InFlight]
    noun = Order
    told = Told

    async def register(self, *, email: str | None = None, phone: str | None = None) -> Registration:
        """Enter this device into the registry. Raises Problem `device_taken` if somebody else has its name.

        If an answer was lost on the way and the name is taken now, logging in shows whether it was us.
        """
        wanted = {"email": email, "phone": phone}
        body = {"device_id": self.device_id, "password": self._password}
        body |= {name: value for name, value in wanted.items() if value is not None}
        try:
            answer = await self._ask(Call("POST", "/api/client/register", body))
        except Problem as problem:
            if problem.code != "device_taken" or not problem.lost:
                raise
            return await self._recognise(problem)
        return msgspec.json.decode(answer, type=Registration)

    async def _recognise(self, taken: Problem) -> Registration:
        try:
            me = await self.me()
        except Problem as stranger:
            raise taken from stranger
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
        """Ask for a price and hold the goods until `expires_at`.

        The same `basket_id` (default: the next number of the notebook) always names the same order, however often and
        after whatever crash it is asked. Raises Problem `insufficient_stock`, `unknown_sku`.
        """
        async with self._turn:
            if basket_id is None:
                memory, basket_id = self._known().next_number()
                await self._note(memory)
            return await self._preview(InFlight(basket_id, list(items), allow_partial))

    async def confirm(self, order_id: str) -> Order:
        """Send the robots. Returns once that is known, or with `dispatch` "in_doubt" when patience ends: then ask again.

        Raises Problem `hold_expired`, `no_robots`, `order_cancelled`, `order_not_found`.
        """
        async with self._turn:
            return await self._decide("confirm", order_id)

    async def cancel(self, order_id: str) -> Order:
        """Take the order back. Raises Problem `too_late_to_cancel` once picking has started, `hold_expired`."""
        async with self._turn:
            return await self._decide("cancel", order_id)

    async def resume(self) -> Order | None:
        """Drive on what a power loss interrupted, with the same key; None if nothing was in flight.

        An order that the customer had only looked at comes back PREVIEWED: to confirm or cancel it is the customer's choice.
        """
        async with self._turn:
            basket = self._known().in_flight
            if basket is None:
                return None
            if basket.order_id is None:
                return await self._preview(basket)
            if basket.wanted == "preview":
                return await self.order(basket.order_id)
            return await self._decide(basket.wanted, basket.order_id)

    async def order(self, order_id: str) -> Order:
        """Return the order as it stands now. Raises Problem `order_not_found`."""
        return await self._about("order", Call("GET", f"/api/client/orders/{order_id}"))

    async def orders(self, *, status: Status | None = None, cursor: str | None = None, limit: int = 20) -> OrderPage:
        """Return one page of this device's orders, newest first."""
        params = {"limit": str(limit)} | ({"status": status} if status else {}) | ({"cursor": cursor} if cursor else {})
        return await self._get("/api/client/orders", OrderPage, params)

    async def events(self, order_id: str) -> list[Event]:
        """Return the order's history, oldest first. Raises Problem `order_not_found`."""
        return (await self._get(f"/api/client/orders/{order_id}/events", EventPage)).data

    async def finished(self, order_id: str, within_s: float) -> Order:
        """Look at the order, less and less often, until it is terminal; the last look is returned after `within_s`."""
        return await look_until(lambda: self.order(order_id), lambda order: order.terminal, within_s)

    async def _preview(self, basket: InFlight) -> Order:
        await self._note(replace(self._known(), in_flight=basket))
        body = {"items": basket.items, "allow_partial": basket.allow_partial}
        call = Call("POST", "/api/client/order/preview", body, key_of(self.device_id, basket.basket_id))
        try:
            order = await self._about("preview", call)
        except Problem as problem:
            if problem.status in ABOUT_THE_ORDER:
                await self._note(replace(self._known(), in_flight=None))
            raise
        await self._note(replace(self._known(), in_flight=replace(basket, order_id=order.order_id)))
        return order

    async def _decide(self, wish: str, order_id: str) -> Order:
        """Confirm or cancel; the wish is in the notebook before it is on the wire, and out of it once it is settled."""
        basket = self._known().in_flight
        ours = basket is not None and basket.order_id == order_id
        if basket is not None and ours:
            wanted = "confirm" if wish == "confirm" else "cancel"
            await self._note(replace(self._known(), in_flight=replace(basket, wanted=wanted)))
        call = Call("POST", f"/api/client/order/{wish}", {"order_id": order_id}, settles=True)
        try:
            order = await self._about(wish, call)
        except Problem as problem:
            if ours and problem.status in ABOUT_THE_ORDER:
                await self._note(replace(self._known(), in_flight=None))
            raise
        if ours and order.dispatch not in ("in_doubt", "releasing"):
            await self._note(replace(self._known(), in_flight=None))
        return order
