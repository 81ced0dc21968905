"""One device's calls, each at a gateway of the scenario's choice, with every attempt recorded."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import msgspec
from msgspec import Struct

from autogrocery.client import TERMINAL, Event, Order, RetryLimits
from autogrocery.client.backoff import Backoff, parse_retry_after
from autogrocery.client.problems import read_problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from autogrocery.client.token_source import TokenSource

ANSWER_TIMEOUT_S: Final = 6.0  # a gateway answers within 5 s, be it with 503
CALL_TIMEOUT_S: Final = 45.0
END_TIMEOUT_S: Final = 60.0  # from the last call to the last pick
POLL_S: Final = 0.3
READ_TIMEOUT_S: Final = 30.0
NO_ANSWER: Final = 0
NOT_2XX: Final = 300
OK: Final = 200
CREATED: Final = 201
ACCEPTED: Final = 202
RETRYABLE: Final = frozenset({NO_ANSWER, ACCEPTED, 429, 502, 503, 504})


class Attempt(Struct, frozen=True):
    """One attempt of a call: the gateway (by index), the HTTP status (0: no answer), the problem's code, the order."""

    gateway: int
    http_status: int
    code: str = ""
    detail: str = ""
    order: Order | None = None
    took_s: float = 0.0

    @property
    def definite(self) -> bool:
        """Whether this answer is final; after any other the same call is repeated."""
        return self.http_status not in RETRYABLE

    @property
    def outcome(self) -> str:
        """HTTP status and problem code: `200`, `409 order_cancelled`; or `no answer`."""
        return f"{self.http_status} {self.code}".rstrip() if self.http_status else "no answer"


class DeviceCall(Struct, frozen=True):
    """One call: every attempt, up to the definite answer or the last one within the time limit."""

    step: str
    attempts: tuple[Attempt, ...]
    requested_id: str = ""

    @property
    def order_id(self) -> str:
        """The id in the request, else the one in the answer."""
        return self.requested_id or (self.last.order.order_id if self.last.order is not None else "")

    @property
    def last(self) -> Attempt:
        """The last attempt: the definite answer, if there was one."""
        return self.attempts[-1]

    @property
    def outcome(self) -> str:
        """The outcome of the last attempt."""
        return self.last.outcome


class OrderEnd(Struct, frozen=True):
    """An order as last read, with its history; no order if the gateway did not return it."""

    order_id: str
    order: Order | None
    events: tuple[Event, ...] = ()

    @property
    def status(self) -> str:
        """The order's status, or `not returned`."""
        return self.order.status if self.order is not None else "not returned"


class _Page(Struct, frozen=True):
    data: list[Event]


class _Response(Struct, frozen=True):
    attempt: Attempt
    body: bytes = b""
    retry_after_s: float | None = None


class Device:
    """One registered device; it calls once, or until the answer is definite."""

    def __init__(self, session: aiohttp.ClientSession, urls: Sequence[str], token_source: TokenSource) -> None:
        self._session = session
        self._urls = urls
        self._token_source = token_source

    async def preview(self, gateway: int, quantities: Mapping[str, int], key: str, *, once: bool = False) -> DeviceCall:
        """Ask for a quote; the lines are sent in the order of `quantities`."""
        body = {"items": [{"sku": sku, "quantity": quantity} for sku, quantity in quantities.items()]}
        return await self._call(gateway, "preview", body, once=once, key=key)

    async def confirm(self, gateway: int, order_id: str, *, once: bool = False) -> DeviceCall:
        """Confirm an order."""
        return await self._call(gateway, "confirm", {"order_id": order_id}, once=once)

    async def cancel(self, gateway: int, order_id: str, *, once: bool = False) -> DeviceCall:
        """Cancel an order."""
        return await self._call(gateway, "cancel", {"order_id": order_id}, once=once)

    async def order(self, gateway: int, order_id: str) -> Order | None:
        """Return the order; None if the gateway does not return it within READ_TIMEOUT_S."""
        return (await self._get(gateway, f"/api/client/orders/{order_id}")).attempt.order

    async def order_ids(self, gateway: int) -> set[str]:
        """Return the ids of this device's newest orders. Raises LookupError if there is no 200 in READ_TIMEOUT_S."""
        response = await self._get(gateway, "/api/client/orders?limit=100")
        if response.attempt.http_status != OK:
            raise LookupError(f"the device's orders were not returned: {response.attempt.outcome}")
        return {one["order_id"] for one in msgspec.json.decode(response.body)["data"]}

    async def end(self, gateway: int, order_id: str, within_s: float = END_TIMEOUT_S) -> OrderEnd:
        """Wait until the order is terminal, at most `within_s`; return its last state and its history.

        Raises LookupError if the history is not returned within READ_TIMEOUT_S.
        """
        ends_at = time.monotonic() + within_s
        while True:
            order = await self.order(gateway, order_id)
            if (order is not None and order.status in TERMINAL) or time.monotonic() >= ends_at:
                break
            await asyncio.sleep(POLL_S)
        response = await self._get(gateway, f"/api/client/orders/{order_id}/events")
        if response.attempt.http_status != OK:
            raise LookupError(f"an order's history was not returned: {response.attempt.outcome}")
        return OrderEnd(order_id, order, tuple(msgspec.json.decode(response.body, type=_Page).data))

    async def token(self) -> str:
        """Return this device's access token."""
        return await self._token_source.token()

    async def _get(self, gateway: int, path: str) -> _Response:
        """GET until the answer is definite, at most READ_TIMEOUT_S."""
        backoff = Backoff(RetryLimits(READ_TIMEOUT_S, ANSWER_TIMEOUT_S))
        while True:
            response = await self._request(gateway, "GET", path)
            pause_s = None if response.attempt.definite else backoff.pause_s(response.retry_after_s)
            if pause_s is None:
                return response
            await asyncio.sleep(pause_s)

    async def _call(self, gateway: int, step: str, body: Any, *, once: bool, key: str | None = None) -> DeviceCall:
        backoff = Backoff(RetryLimits(CALL_TIMEOUT_S, ANSWER_TIMEOUT_S))
        attempts: list[Attempt] = []
        while True:
            response = await self._request(gateway, "POST", f"/api/client/order/{step}", body, key)
            attempts.append(response.attempt)
            pause_s = None if once or response.attempt.definite else backoff.pause_s(response.retry_after_s)
            if pause_s is None:
                return DeviceCall(step, tuple(attempts), body.get("order_id", ""))
            await asyncio.sleep(pause_s)

    async def _request(
        self, gateway: int, method: str, path: str, body: Any = None, key: str | None = None
    ) -> _Response:
        headers = {"Authorization": f"Bearer {await self._token_source.token()}", "Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        started_at = time.monotonic()
        try:
            async with self._session.request(
                method,
                self._urls[gateway] + path,
                data=msgspec.json.encode(body) if body is not None else None,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S),
                allow_redirects=False,
            ) as response:
                status, text, retry_after_s = (
                    response.status,
                    await response.read(),
                    parse_retry_after(response.headers),
                )
        except (aiohttp.ClientError, TimeoutError, OSError):
            return _Response(Attempt(gateway, NO_ANSWER, took_s=time.monotonic() - started_at))
        return _Response(_parse(gateway, path, status, text, time.monotonic() - started_at), text, retry_after_s)


def _parse(gateway: int, path: str, status: int, text: bytes, took_s: float) -> Attempt:
    if status >= NOT_2XX:
        problem = read_problem(status, text, None)
        return Attempt(gateway, status, problem.code, str(problem), took_s=took_s)
    is_order = "/orders?" not in path and not path.endswith("/events")
    return Attempt(gateway, status, order=msgspec.json.decode(text, type=Order) if is_order else None, took_s=took_s)
