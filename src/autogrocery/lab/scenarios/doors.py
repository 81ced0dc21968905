"""One device's calls, each at the gateway of the scenario's choice, with everything that was answered on the way."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import msgspec
from msgspec import Struct

from autogrocery.client import TERMINAL, Event, Order, Patience
from autogrocery.client.patience import Deadline, asked_pause_s
from autogrocery.client.problems import read_problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from autogrocery.client.badge import Badge

ANSWER_WITHIN_S: Final = 6.0  # a gateway answers within 5 s, be it with 503
DEFINITE_WITHIN_S: Final = 45.0
END_WITHIN_S: Final = 60.0  # from the last call to the last pick
LOOK_EVERY_S: Final = 0.3
LOOK_WITHIN_S: Final = 30.0
NOTHING: Final = 0
NOT_2XX: Final = 300
OK: Final = 200
CREATED: Final = 201
ACCEPTED: Final = 202
ASK_AGAIN: Final = frozenset({NOTHING, ACCEPTED, 429, 502, 503, 504})


class Answer(Struct, frozen=True):
    """One attempt: which gateway (by index), the HTTP status (0: nothing was heard), a problem's code, the order told."""

    gateway: int
    http_status: int
    code: str = ""
    detail: str = ""
    order: Order | None = None
    took_s: float = 0.0

    @property
    def definite(self) -> bool:
        """It settles what was asked; anything else means: ask again, the same call."""
        return self.http_status not in ASK_AGAIN

    @property
    def word(self) -> str:
        """What was said, without the order: `200`, `409 order_cancelled`."""
        return f"{self.http_status} {self.code}".rstrip() if self.http_status else "no answer"


class Said(Struct, frozen=True):
    """One call from its first attempt to its definite answer, or to the last attempt that time allowed."""

    step: str
    answers: tuple[Answer, ...]
    asked_for: str = ""

    @property
    def order_id(self) -> str:
        """The order that was asked for, or that was told."""
        return self.asked_for or (self.last.order.order_id if self.last.order is not None else "")

    @property
    def last(self) -> Answer:
        """The definite answer, if there was one."""
        return self.answers[-1]

    @property
    def word(self) -> str:
        """The last answer in words."""
        return self.last.word


class End(Struct, frozen=True):
    """How an order stood at the last look, with its history; no order if the gateway did not tell it."""

    order_id: str
    order: Order | None
    events: tuple[Event, ...] = ()

    @property
    def status(self) -> str:
        """The order's status, or that there was none."""
        return self.order.status if self.order is not None else "not told"


class _Page(Struct, frozen=True):
    data: list[Event]


class Device:
    """One registered device; it asks once, or until the answer is definite."""

    def __init__(self, session: aiohttp.ClientSession, urls: Sequence[str], badge: Badge) -> None:
        self._session = session
        self._urls = urls
        self._badge = badge

    async def preview(self, gateway: int, quantities: Mapping[str, int], key: str, *, once: bool = False) -> Said:
        """Ask for a quote; the lines go out in the order of `quantities`."""
        body = {"items": [{"sku": sku, "quantity": quantity} for sku, quantity in quantities.items()]}
        return await self._ask(gateway, "preview", body, once=once, key=key)

    async def confirm(self, gateway: int, order_id: str, *, once: bool = False) -> Said:
        """Confirm an order."""
        return await self._ask(gateway, "confirm", {"order_id": order_id}, once=once)

    async def cancel(self, gateway: int, order_id: str, *, once: bool = False) -> Said:
        """Cancel an order."""
        return await self._ask(gateway, "cancel", {"order_id": order_id}, once=once)

    async def order(self, gateway: int, order_id: str) -> Order | None:
        """Look at an order; None if it is not told within LOOK_WITHIN_S."""
        answer, _ = await self._look(gateway, f"/api/client/orders/{order_id}")
        return answer.order

    async def order_ids(self, gateway: int) -> set[str]:
        """Return the ids of this device's newest orders; raises LookupError if they are not told within LOOK_WITHIN_S."""
        answer, body = await self._look(gateway, "/api/client/orders?limit=100")
        if answer.http_status != OK:
            raise LookupError(f"the device's orders were not told: {answer.word}")
        return {one["order_id"] for one in msgspec.json.decode(body)["data"]}

    async def end(self, gateway: int, order_id: str, within_s: float = END_WITHIN_S) -> End:
        """Wait until the order has ended, or for `within_s`; return the last look and the history.

        Raises LookupError if the history is not told within LOOK_WITHIN_S.
        """
        ends_at = time.monotonic() + within_s
        while True:
            order = await self.order(gateway, order_id)
            if (order is not None and order.status in TERMINAL) or time.monotonic() >= ends_at:
                break
            await asyncio.sleep(LOOK_EVERY_S)
        answer, body = await self._look(gateway, f"/api/client/orders/{order_id}/events")
        if answer.http_status != OK:
            raise LookupError(f"an order's history was not told: {answer.word}")
        return End(order_id, order, tuple(msgspec.json.decode(body, type=_Page).data))

    async def token(self) -> str:
        """Return this device's access token."""
        return await self._badge.token()

    async def _look(self, gateway: int, path: str) -> tuple[Answer, bytes]:
        """Read, until there is a definite answer or LOOK_WITHIN_S are over."""
        deadline = Deadline(Patience(LOOK_WITHIN_S, ANSWER_WITHIN_S))
        while True:
            answer, body, asked_s = await self._attempt(gateway, "GET", path)
            pause_s = None if answer.definite else deadline.pause_s(asked_s)
            if pause_s is None:
                return answer, body
            await asyncio.sleep(pause_s)

    async def _ask(self, gateway: int, step: str, body: Any, *, once: bool, key: str | None = None) -> Said:
        deadline = Deadline(Patience(DEFINITE_WITHIN_S, ANSWER_WITHIN_S))
        answers: list[Answer] = []
        while True:
            answer, _, asked_s = await self._attempt(gateway, "POST", f"/api/client/order/{step}", body, key)
            answers.append(answer)
            pause_s = None if once or answer.definite else deadline.pause_s(asked_s)
            if pause_s is None:
                return Said(step, tuple(answers), body.get("order_id", ""))
            await asyncio.sleep(pause_s)

    async def _attempt(
        self, gateway: int, method: str, path: str, body: Any = None, key: str | None = None
    ) -> tuple[Answer, bytes, float | None]:
        headers = {"Authorization": f"Bearer {await self._badge.token()}", "Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        started_at = time.monotonic()
        try:
            async with self._session.request(
                method,
                self._urls[gateway] + path,
                data=msgspec.json.encode(body) if body is not None else None,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN_S),
                allow_redirects=False,
            ) as response:
                status, text, asked_s = response.status, await response.read(), asked_pause_s(response.headers)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return Answer(gateway, NOTHING, took_s=time.monotonic() - started_at), b"", None
        return _read(gateway, path, status, text, time.monotonic() - started_at), text, asked_s


def _read(gateway: int, path: str, status: int, text: bytes, took_s: float) -> Answer:
    if status >= NOT_2XX:
        problem = read_problem(status, text, None)
        return Answer(gateway, status, problem.code, str(problem), took_s=took_s)
    about_one = "/orders?" not in path and not path.endswith("/events")
    return Answer(gateway, status, order=msgspec.json.decode(text, type=Order) if about_one else None, took_s=took_s)
