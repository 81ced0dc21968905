"""InventoryOperationsService: what operators ask through the gateway. It only reads, on connections of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from autogrocery.contracts.identities import GATEWAY
from autogrocery.contracts.inventory.ops.v1 import operations_pb2 as pb
from autogrocery.inventory.actions.operations.audit_recently import LastAudit, audit_recently
from autogrocery.inventory.actions.operations.get_order_detail import get_order_detail
from autogrocery.inventory.actions.operations.get_stock import get_stock
from autogrocery.inventory.actions.operations.list_restocks import list_restocks
from autogrocery.inventory.actions.operations.list_robots import list_robots
from autogrocery.inventory.actions.operations.list_stock import list_stock
from autogrocery.inventory.wire import messages, operations
from autogrocery.kit.errors import Denied
from autogrocery.kit.rpc.server import bearer, server_methods

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db
    from autogrocery.kit.rpc.server_call import ServerCall, ServerMethod
    from autogrocery.kit.security.tokens import Verifier

SCOPE: Final = "ops:read"
SERVICE: Final = pb.DESCRIPTOR.services_by_name["InventoryOperationsService"]
CALLERS: Final = {method.name: (GATEWAY,) for method in SERVICE.methods}


class InventoryOperations:
    """The service's calls. `db` has few connections, so that operators' pages never wait in front of orders."""

    def __init__(self, db: Db, verifier: Verifier, *, seen_s: float) -> None:
        self._db = db
        self._verifier = verifier
        self._seen_s = seen_s
        self._last_audit = LastAudit()

    async def ListStock(self, request: pb.ListStockRequest, call: ServerCall) -> pb.ListStockResponse:  # noqa: N802 - name in the .proto
        """Return a page of products."""
        self._check(call)
        wanted, limit = operations.read_product_filter(request), operations.read_limit(request.limit)
        return operations.stock_response(await list_stock(self._db, wanted, limit), limit)

    async def GetStock(self, request: pb.GetStockRequest, call: ServerCall) -> pb.GetStockResponse:  # noqa: N802
        """Return a product with its lots; an empty message if it is unknown."""
        self._check(call)
        found = await get_stock(self._db, operations.read_text("sku", request.sku))
        return pb.GetStockResponse() if found is None else operations.product_response(found.product, found.lots)

    async def ListRobots(self, request: pb.ListRobotsRequest, call: ServerCall) -> pb.ListRobotsResponse:  # noqa: N802
        """Return a page of robots."""
        self._check(call)
        robot_class = operations.read_text("robot_class", request.robot_class)
        cursor, limit = operations.read_text("cursor", request.cursor), operations.read_limit(request.limit)
        robots = await list_robots(self._db, robot_class, cursor, limit, seen_s=self._seen_s)
        return operations.robots_response(robots, limit)

    async def ListRestocks(self, request: pb.ListRestocksRequest, call: ServerCall) -> pb.ListRestocksResponse:  # noqa: N802
        """Return a page of deliveries."""
        self._check(call)
        state, cursor = operations.read_restock_state(request.state), operations.read_restock_cursor(request.cursor)
        supplier_id, limit = (
            operations.read_text("supplier_id", request.supplier_id),
            operations.read_limit(request.limit),
        )
        return operations.restocks_response(await list_restocks(self._db, state, supplier_id, cursor, limit), limit)

    async def GetOrderDetail(self, request: pb.GetOrderDetailRequest, call: ServerCall) -> pb.GetOrderDetailResponse:  # noqa: N802
        """Return one order whole."""
        self._check(call)
        order_id = messages.read_uuid("order_id", request.order_id)
        return operations.order_detail_response(request.order_id, await get_order_detail(self._db, order_id))

    async def Audit(self, _request: pb.AuditRequest, call: ServerCall) -> pb.AuditResponse:  # noqa: N802
        """Return the last audit."""
        self._check(call)
        done = await audit_recently(self._db, self._last_audit)
        return operations.audit_response(done.checked_at, done.invariants)

    def _check(self, call: ServerCall) -> None:
        """Raise Unauthenticated for an invalid token, Denied for one without the operator's scope."""
        if SCOPE not in self._verifier.verify(bearer(call)).scopes:
            raise Denied("insufficient_scope", "the token is not an operator's")


def methods(operations_of: InventoryOperations) -> dict[str, ServerMethod]:
    """Return the service's methods, as a server takes them."""
    return server_methods(SERVICE, operations_of)
