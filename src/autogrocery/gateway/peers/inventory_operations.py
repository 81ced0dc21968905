"""What operators ask of inventory: a service that a peer need not have, apart from the calls of orders.

It shares the channel of orders, but not their breaker; a few calls are made at once, so that an operator's page never
slows an order.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from autogrocery.contracts.inventory.ops.v1 import operations_pb2 as wire
from autogrocery.gateway.peers import operations_checks as checks
from autogrocery.kit.errors import InDoubt, NotTold, Unauthenticated
from autogrocery.kit.rpc.channel import stub_of
from autogrocery.kit.rpc.client import Peer
from autogrocery.kit.rpc.status import Code, RpcError
from autogrocery.kit.security import tokens

if TYPE_CHECKING:
    from uuid import UUID

    from autogrocery.contracts.ops.deliveries import DeliveriesQuery, DeliveryPage
    from autogrocery.contracts.ops.robots import RobotPage, RobotsQuery
    from autogrocery.contracts.ops.stock import StockQuery
    from autogrocery.kit.rpc.client_call import Caller

SERVICE: Final = wire.DESCRIPTOR.services_by_name["InventoryOperationsService"]
TIMEOUT_S: Final = 3.0
AUDIT_TIMEOUT_S: Final = 10.0
MAX_CALLS: Final = 3  # at once; inventory has as many connections for them
WAIT_S: Final = 1.0  # for a place among them
TOKEN_TTL_S: Final = 60
TOKEN_KEPT_S: Final = 30.0
NOT_TOLD_S: Final = 30.0  # after which a peer without the service is asked again: it may have been upgraded
ISSUER: Final = "autogrocery"
AUDIENCE: Final = "inventory"
SCOPE: Final = "ops:read"
PRINCIPAL: Final = "gateway-operator"
USER_ID: Final = (1 << 31) - 1  # the last of the registry, so no account has it


class InventoryOperations:
    """The calls; each raises NotTold from a peer without the service, and InDoubt if there is no clear answer."""

    def __init__(self, channel: Caller, key: bytes) -> None:
        """Sign the tokens of the calls with `key`, the first of ROBOT_JWT_SECRET."""
        self.peer = Peer("inventory")
        self._methods = stub_of(channel, SERVICE)
        self._key = key
        self._places = asyncio.Semaphore(MAX_CALLS)
        self._token = ""
        self._token_until = 0.0
        self._asked_again_at = 0.0

    async def list_stock(self, query: StockQuery) -> checks.ProductPage:
        """Return a page of products."""
        request = wire.ListStockRequest(
            query=query.q, aisle_type=query.aisle, at_most=query.low, cursor=query.cursor, limit=query.limit
        )
        reply: wire.ListStockResponse = await self._call("ListStock", request)
        return checks.read_products(self.peer, reply, cursor=query.cursor, limit=query.limit)

    async def get_stock(self, sku: str) -> checks.ProductWithLots | None:
        """Return a product with its lots on the shelf; None if inventory does not know it."""
        reply: wire.GetStockResponse = await self._call("GetStock", wire.GetStockRequest(sku=sku))
        return checks.read_product_with_lots(self.peer, reply, sku)

    async def list_robots(self, query: RobotsQuery) -> RobotPage:
        """Return a page of robots."""
        request = wire.ListRobotsRequest(robot_class=query.robot_class, cursor=query.cursor, limit=query.limit)
        reply: wire.ListRobotsResponse = await self._call("ListRobots", request)
        return checks.read_robots(self.peer, reply, cursor=query.cursor, limit=query.limit)

    async def list_restocks(self, query: DeliveriesQuery) -> DeliveryPage:
        """Return a page of deliveries."""
        request = wire.ListRestocksRequest(
            state=checks.RESTOCK_STATES.get(query.state, wire.RESTOCK_STATE_UNSPECIFIED),
            supplier_id=query.supplier,
            cursor=query.cursor,
            limit=query.limit,
        )
        reply: wire.ListRestocksResponse = await self._call("ListRestocks", request)
        return checks.read_deliveries(self.peer, reply, cursor=query.cursor, limit=query.limit)

    async def get_order_detail(self, order_id: UUID) -> checks.OrderDetail | None:
        """Return an order as inventory has it, with assignments, lots and webhooks; None if it is unknown there."""
        asked = str(order_id)
        reply: wire.GetOrderDetailResponse = await self._call(
            "GetOrderDetail", wire.GetOrderDetailRequest(order_id=asked)
        )
        return checks.read_order_detail(self.peer, reply, asked)

    async def audit(self) -> checks.InventoryAudit:
        """Return inventory's last audit, at most some seconds old."""
        return checks.read_audit(self.peer, await self._call("Audit", wire.AuditRequest(), AUDIT_TIMEOUT_S))

    async def _call(self, name: str, request: Any, timeout_s: float = TIMEOUT_S) -> Any:
        if time.monotonic() < self._asked_again_at:
            raise _not_told()
        try:
            async with asyncio.timeout(WAIT_S):
                await self._places.acquire()
        except TimeoutError:
            raise InDoubt(self.peer.name, "operators ask too much at once") from None
        try:
            return await self.peer.call(
                getattr(self._methods, name),
                request,
                timeout_s=timeout_s,
                point=f"inventory.operations_{name.lower()}",
                token=self._bearer(),
            )
        except InDoubt as doubt:
            if isinstance(doubt.__cause__, RpcError) and doubt.__cause__.code is Code.UNIMPLEMENTED:
                self._asked_again_at = time.monotonic() + NOT_TOLD_S
                raise _not_told() from doubt
            raise
        except Unauthenticated as refused:  # the operator's own token is good: this is between the two processes
            raise InDoubt(self.peer.name, "it did not accept the gateway's token") from refused
        finally:
            self._places.release()

    def _bearer(self) -> str:
        now = time.monotonic()
        if now >= self._token_until:
            self._token = tokens.issue(
                self._key,
                issuer=ISSUER,
                audience=AUDIENCE,
                user_id=USER_ID,
                principal=PRINCIPAL,
                scopes=(SCOPE,),
                ttl_s=TOKEN_TTL_S,
            )
            self._token_until = now + TOKEN_KEPT_S
        return self._token


def _not_told() -> NotTold:
    return NotTold("not_told", "This inventory does not tell operators: it lacks InventoryOperationsService.")
