"""The operators' service of inventory opens to the gateway's operator tokens alone, and those open nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
import pytest_asyncio

from autogrocery.contracts.inventory.ops.v1 import operations_pb2 as ops
from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.kit.rpc.channel import stub_of
from tests.harness.grpc_client import code_of
from tests.harness.running_inventory import ROBOT_SECRET, RunningInventory, operator_token
from tests.security.callers import DEVICE_KEY, OPS_SCOPES, SCOPES, issue, robot
from tests.security.policy import CLASSES, ROBOT_CALLS

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.asyncio(loop_scope="module")
SERVICE: Final = ops.DESCRIPTOR.services_by_name["InventoryOperationsService"]
CALLS: Final = [method.name for method in SERVICE.methods]
ALLOWED: Final = {"OK", "INVALID_ARGUMENT"}  # an empty request of an allowed caller
TOKENS: Final[dict[str, tuple[Callable[[], str | None], set[str]]]] = {
    "operator": (operator_token, ALLOWED),
    "operator with ops:write only": (lambda: operator_token("ops:write"), {"PERMISSION_DENIED"}),
    "operator's own token of the gateway": (
        lambda: issue("operator-1", 3, "ops", OPS_SCOPES, key=DEVICE_KEY),
        {"UNAUTHENTICATED"},
    ),
    "token for another audience": (
        lambda: issue("operator-1", 3, "ops", OPS_SCOPES, key=ROBOT_SECRET),
        {"UNAUTHENTICATED"},
    ),
    "device": (lambda: issue("kiosk-1", 3, "ordering", SCOPES, key=DEVICE_KEY), {"UNAUTHENTICATED"}),
    "expired": (
        lambda: issue("operator-1", 3, "inventory", ("ops:read",), key=ROBOT_SECRET, at=1_000_000.0),
        {"UNAUTHENTICATED"},
    ),
    "none": (lambda: None, {"UNAUTHENTICATED"}),
} | {
    f"robot of {name}": (lambda name=name: robot(f"{name}-1", name, key=ROBOT_SECRET), {"PERMISSION_DENIED"})  # type: ignore[misc]
    for name in CLASSES
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inventory(inventory_of_module: RunningInventory) -> RunningInventory:
    return inventory_of_module


@pytest.mark.parametrize("caller", TOKENS)
@pytest.mark.parametrize("call", CALLS)
async def test_operators_call_answers_only_operators(inventory: RunningInventory, call: str, caller: str) -> None:
    make, expected = TOKENS[caller]
    method = getattr(stub_of(inventory.channel, SERVICE), call)
    status = await code_of(method(getattr(ops, f"{call}Request")(), timeout_s=10.0, token=make()))
    assert status.name in expected


@pytest.mark.parametrize("call", ROBOT_CALLS)
async def test_operators_token_opens_no_call_of_robots(inventory: RunningInventory, call: str) -> None:
    kind = pb.DESCRIPTOR.services_by_name["InventoryService"].methods_by_name[call].input_type
    request = getattr(pb, kind.name)(robot_id="operator-1")
    assert await inventory.status_of(call, request, operator_token()) == "PERMISSION_DENIED"
