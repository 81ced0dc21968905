"""A typed client of the operator's API, below /internal/ops of a gateway's internal listener.

>>> tokens = await log_in(session, "http://127.0.0.1:5051", "anna", password)
>>> operator = Operator(session, "http://127.0.0.1:5051", tokens)
>>> overview = await operator.overview()
>>> done = await operator.act("orders", order_id, "retry_dispatch", "inventory was down", key)
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from autogrocery.client.backoff import RetryLimits
from autogrocery.client.models import Tokens
from autogrocery.client.problems import Problem
from autogrocery.client.token_source import RENEW_BEFORE_S, RENEW_SHARE, UNAUTHENTICATED
from autogrocery.client.transport import Call, send
from autogrocery.contracts.ops.actions import ActionIn, ActionOut, DeadLettersOut
from autogrocery.contracts.ops.attention import AttentionOut
from autogrocery.contracts.ops.audit_log import AuditLogOut
from autogrocery.contracts.ops.deliveries import DeliveryPage, TruckPage
from autogrocery.contracts.ops.devices import (
    DeviceChangeIn,
    DeviceRow,
    DevicesOut,
    EnrolmentCodeIn,
    EnrolmentCodeOut,
)
from autogrocery.contracts.ops.orders import OrderBundle, OrderRows
from autogrocery.contracts.ops.overview import InvariantsOut, Overview, PeersOut
from autogrocery.contracts.ops.robots import RobotPage
from autogrocery.contracts.ops.stock import StockDetail, StockPage
from autogrocery.contracts.ops.switches import SwitchesOut, SwitchIn, SwitchOut

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    import aiohttp

T = TypeVar("T")
PREFIX: Final = "/internal/ops"
READS: Final = RetryLimits(deadline_s=4.0, timeout_s=3.0)
LOGINS: Final = RetryLimits(deadline_s=15.0, timeout_s=15.0)  # a password is hashed at the lowest priority


async def log_in(
    session: aiohttp.ClientSession, url: str, operator: str, password: str, tls: Mapping[str, Any] | None = None
) -> Tokens:
    """Return a pair of tokens. Raises Problem `invalid_credentials` or another refusal, Unanswered after 15 s."""
    call = Call("POST", "/internal/login", {"device_id": operator, "password": password})
    return msgspec.json.decode((await send(session, url, call, LOGINS, tls=tls)).body, type=Tokens)


class Operator:
    """The operator's API as one operator. It holds tokens and no password: it ends when they can't be renewed.

    Every call raises Problem if the gateway refuses it, 401 once the tokens have ended, and Unanswered if no definite
    response comes within 4 s. A write with the same key is done once, however often it is sent.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        tokens: Tokens,
        tls: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        """`tls` returns the arguments of the next request for mutual TLS."""
        self._session = session
        self._tls = tls
        self._url = url.rstrip("/")
        self._lock = asyncio.Lock()
        self._keep(tokens)

    def _keep(self, tokens: Tokens) -> None:
        self._tokens = tokens
        lifetime_s = tokens.expires_in
        self._renew_at = time.monotonic() + lifetime_s - min(RENEW_BEFORE_S, lifetime_s * RENEW_SHARE)

    async def overview(self) -> Overview:
        """Return the mart at a glance."""
        return await self._get("/overview", Overview)

    async def orders(self, filters: dict[str, str]) -> OrderRows:
        """Return a page of orders; `filters` are query fields: q, status, device, sku, cause, since, until, cursor."""
        return await self._get("/orders", OrderRows, filters)

    async def order(self, order_id: str) -> OrderBundle:
        """Return one order whole."""
        return await self._get(f"/orders/{_part(order_id)}", OrderBundle)

    async def attention(self) -> AttentionOut:
        """Return what a person should look at."""
        return await self._get("/attention", AttentionOut)

    async def invariants(self) -> InvariantsOut:
        """Return the last audit of gateway and inventory."""
        return await self._get("/invariants", InvariantsOut)

    async def peers(self) -> PeersOut:
        """Return the gateway's peers."""
        return await self._get("/peers", PeersOut)

    async def stock(self, filters: dict[str, str]) -> StockPage:
        """Return a page of products; `filters` are query fields: q, aisle, low, cursor, limit."""
        return await self._get("/stock", StockPage, filters)

    async def product(self, sku: str) -> StockDetail:
        """Return a product with its lots."""
        return await self._get(f"/stock/{_part(sku)}", StockDetail)

    async def robots(self) -> RobotPage:
        """Return the first 200 robots."""
        return await self._get("/robots", RobotPage, {"limit": "200"})

    async def deliveries(self, filters: dict[str, str]) -> DeliveryPage:
        """Return a page of deliveries."""
        return await self._get("/deliveries", DeliveryPage, filters)

    async def trucks(self) -> TruckPage:
        """Return the first 200 trucks."""
        return await self._get("/trucks", TruckPage, {"limit": "200"})

    async def devices(self, filters: dict[str, str]) -> DevicesOut:
        """Return a page of devices; `filters` are query fields."""
        return await self._get("/devices", DevicesOut, filters)

    async def dead_letters(self) -> DeadLettersOut:
        """Return the newest receipts and alerts that were given up."""
        return await self._get("/dead-letters", DeadLettersOut)

    async def switches(self) -> SwitchesOut:
        """Return every switch."""
        return await self._get("/switches", SwitchesOut)

    async def audit_log(self) -> AuditLogOut:
        """Return the newest writes of operators."""
        return await self._get("/audit-log", AuditLogOut)

    async def act(self, group: str, target: str, action: str, reason: str, key: str) -> ActionOut:
        """Run a safe action on one of `orders`, `restocks`, `dead-letters/receipts` or `dead-letters/alerts`."""
        path = f"/{group}/{_part(target)}/{_part(action)}"
        return await self._write("POST", path, ActionIn(reason), ActionOut, key)

    async def set_switch(self, name: str, change: SwitchIn, key: str) -> SwitchOut:
        """Set a switch."""
        return await self._write("PUT", f"/switches/{_part(name)}", change, SwitchOut, key)

    async def change_device(self, device_id: str, change: DeviceChangeIn, key: str) -> DeviceRow:
        """Change a device's address, telephone number or alerts."""
        return await self._write("PATCH", f"/devices/{_part(device_id)}", change, DeviceRow, key)

    async def enable_device(self, device_id: str, reason: str, key: str, *, enabled: bool) -> DeviceRow:
        """Disable a device, or enable it again."""
        path = f"/devices/{_part(device_id)}/{'enable' if enabled else 'disable'}"
        return await self._write("POST", path, ActionIn(reason), DeviceRow, key)

    async def add_enrolment_code(self, wanted: EnrolmentCodeIn, key: str) -> EnrolmentCodeOut:
        """Make a code with which devices register."""
        return await self._write("POST", "/enrolment-codes", wanted, EnrolmentCodeOut, key)

    async def _get(self, path: str, kind: type[T], params: dict[str, str] | None = None) -> T:
        return msgspec.json.decode(await self._send(Call("GET", PREFIX + path, params=params or {})), type=kind)

    async def _write(self, method: str, path: str, body: object, kind: type[T], key: str) -> T:
        return msgspec.json.decode(await self._send(Call(method, PREFIX + path, body, key)), type=kind)

    async def _send(self, call: Call) -> bytes:
        """Send with the access token; if it is refused, send once more with a new one."""
        token = await self._token()
        try:
            return await self._attempt(replace(call, bearer=token))
        except Problem as problem:
            if problem.status != UNAUTHENTICATED:
                raise
        return await self._attempt(replace(call, bearer=await self._token(refused=token)))

    async def _attempt(self, call: Call) -> bytes:
        return (await send(self._session, self._url, call, READS, tls=self._tls())).body

    async def _token(self, refused: str | None = None) -> str:
        async with self._lock:
            if self._tokens.access_token == refused or time.monotonic() >= self._renew_at:
                call = Call("POST", "/internal/refresh", bearer=self._tokens.refresh_token)
                self._keep(msgspec.json.decode(await self._attempt(call), type=Tokens))
            return self._tokens.access_token


def _part(text: str) -> str:
    return quote(text, safe=":")
