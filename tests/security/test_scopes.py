"""Every route is called by every kind of caller: it answers as the policy says, and docs/SCOPES.md agrees."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pytest
import pytest_asyncio

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from tests.harness.running_gateway import serve_gateway
from tests.harness.running_inventory import ROBOT_SECRET
from tests.security.callers import callers_of, robot
from tests.security.policy import (
    CLASSES,
    ROBOT_CALLS,
    ROBOTS,
    Caller,
    Verdict,
    expected_grpc_status,
    policy_of,
    verdict,
)
from tools.gen_security import route_access

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.harness.running_gateway import Reply, RunningGateway
    from tests.harness.running_inventory import RunningInventory as Inventory
    from tests.security.callers import Callers

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROUTES: Final = [(row.listener, row.method, row.path) for row in route_access()]
CELLS: Final = [(*route, caller) for route in ROUTES for caller in Caller]
CALLS: Final = [method.name for method in pb.DESCRIPTOR.services_by_name["InventoryService"].methods]
AUTHORIZATION_CODES: Final = {Verdict.NO_TOKEN, Verdict.NO_SCOPE, Verdict.NOT_SIGNED, Verdict.NO_SUCH_ORDER}
STREAMS: Final = {"/internal/ops/changes"}  # answered by a stream without an end: its head tells as much
MISSING: Final = "018f0000-0000-7000-8000-00000000beef"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(module_dsn: str) -> AsyncIterator[RunningGateway]:
    async with serve_gateway(module_dsn) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def callers(gateway: RunningGateway) -> Callers:
    return await callers_of(gateway)


async def ask(
    gateway: RunningGateway, listener: str, method: str, path: str, token: str | None, order_id: str
) -> Reply:
    """Call a route with an order id, if it takes one, and an otherwise empty body."""
    body: dict[str, Any] | None = {} if method == "POST" else None
    if re.fullmatch(r"/api/client/order/(confirm|cancel)", path):
        body = {"order_id": order_id}
    return await gateway.request(
        method, re.sub(r"\{\w+\}", order_id, path), body, token=token, inside=listener == "internal"
    )


@pytest.mark.parametrize(
    ("listener", "method", "path", "caller"), CELLS, ids=[f"{m} {p} by {w}" for _, m, p, w in CELLS]
)
async def test_route_answers_each_caller_as_the_policy_says(
    gateway: RunningGateway, callers: Callers, listener: str, method: str, path: str, caller: Caller
) -> None:
    expected = verdict(policy_of(listener, method, path), caller)
    if expected is Verdict.ALLOWED and path in STREAMS:
        method = "HEAD"
    reply = await ask(gateway, listener, method, path, callers.tokens[caller], callers.order_id)
    if expected is Verdict.ALLOWED:
        assert reply.status < 500 or reply.code == "not_told"  # the fake inventory has no operators' service
        assert reply.status < 400 or reply.code not in AUTHORIZATION_CODES, reply
        return
    status = {Verdict.NO_SCOPE: 403, Verdict.NO_SUCH_ORDER: 404}.get(expected, 401)
    assert (reply.status, reply.code) == (status, expected)
    if method == "GET":
        bodiless = await ask(gateway, listener, "HEAD", path, callers.tokens[caller], callers.order_id)
        assert (bodiless.status, bodiless.body) == (status, b"")


async def test_every_route_is_tried_by_every_caller() -> None:
    assert len(CELLS) == len(ROUTES) * len(Caller)
    assert len(ROUTES) >= 27
    assert {caller for *_, caller in CELLS} == set(Caller)


async def test_scopes_page_agrees_with_the_policy() -> None:
    kinds = {"device": Caller.OWNER, "truck": Caller.TRUCK, "operator": Caller.OPERATOR}
    for row in route_access():
        policy = policy_of(row.listener, row.method, row.path)
        if policy.allowed and policy.allowed != set(Caller):
            assert set(row.who.split(", ")) == {kind for kind, caller in kinds.items() if caller in policy.allowed}, row


FOREIGN: Final = [route for route in ROUTES if policy_of(*route).one_order]


@pytest.mark.parametrize(("listener", "method", "path"), FOREIGN, ids=[f"{m} {p}" for _, m, p in FOREIGN])
async def test_another_devices_order_returns_the_same_bytes_as_a_missing_one(
    gateway: RunningGateway, callers: Callers, listener: str, method: str, path: str
) -> None:
    token = callers.tokens[Caller.OTHER]
    foreign, missing = [await ask(gateway, listener, method, path, token, one) for one in (callers.order_id, MISSING)]
    assert foreign.status == missing.status == 404
    assert without_id(foreign) == without_id(missing)


# Headers that differ in every response: an id, the time, and the tokens left of the rate limit.
VARYING: Final = {"x-request-id", "date", "ratelimit"}


def without_id(reply: Reply) -> tuple[bytes, dict[str, str]]:
    known = reply.headers["x-request-id"].encode()
    headers = {name: value for name, value in reply.headers.items() if name not in VARYING}
    return reply.body.replace(known, b"#"), headers


async def test_own_scopes_replace_the_scopes_of_the_kind(gateway: RunningGateway) -> None:
    reader = await gateway.device(scopes=("orders:read",))
    assert (await reader.get("/api/client/orders")).status == 200
    assert (await reader.preview()).code == "insufficient_scope"
    assert (await reader.get("/api/client/catalog")).code == "insufficient_scope"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inventory(inventory_of_module: Inventory) -> Inventory:
    return inventory_of_module


@pytest.mark.parametrize(("call", "caller"), [(call, caller) for call in CALLS for caller in Caller], ids=str)
async def test_inventory_answers_each_caller_as_the_policy_says(
    inventory: Inventory, callers: Callers, call: str, caller: Caller
) -> None:
    _, (assignment,) = await inventory.dispatch(milk=1)
    name = f"{caller.removeprefix('robot of ')}-1" if caller in ROBOTS else "dairy-1"
    token = (
        robot(name, caller.removeprefix("robot of "), key=ROBOT_SECRET) if caller in ROBOTS else callers.tokens[caller]
    )
    status = await inventory.status_of(call, request(call, name, assignment), token)
    expected = expected_grpc_status(call, caller)
    assert status == expected or (expected == "OK" and status == "INVALID_ARGUMENT"), (
        "an empty request of an allowed caller is an INVALID_ARGUMENT"
    )


def request(call: str, name: str, assignment: Any) -> Any:
    """Return a request of the robot `name` about the dairy assignment; an empty one for calls of the gateway."""
    match call:
        case "ListWork":
            return pb.ListWorkRequest(robot_id=name, robot_class="dairy")
        case "StartPick":
            return pb.StartPickRequest(assignment_id=assignment.assignment_id, robot_id=name)
        case "Heartbeat":
            return pb.HeartbeatRequest(robot_id=name)
        case "ReportPick":
            return pb.ReportPickRequest(
                assignment_id=assignment.assignment_id,
                robot_id=name,
                sequence=1,
                fence=1,
                status=pb.ReportPickRequest.PICKED,
            )
        case "ReportPutaway":
            return pb.ReportPutawayRequest(
                assignment_id=assignment.assignment_id, robot_id=name, sequence=1, fence=1, done=True
            )
        case _:
            kind = pb.DESCRIPTOR.services_by_name["InventoryService"].methods_by_name[call].input_type
            return getattr(pb, kind.name)()


@pytest.mark.parametrize("call", ROBOT_CALLS)
async def test_robot_call_for_another_robot_is_permission_denied(inventory: Inventory, call: str) -> None:
    _, (assignment,) = await inventory.dispatch(milk=1)
    token = robot("dairy-2", "dairy", key=ROBOT_SECRET)
    asked = request(call, "dairy-1", assignment)
    assert await inventory.status_of(call, asked, token) == "PERMISSION_DENIED"


@pytest.mark.parametrize("other", [name for name in CLASSES if name != "dairy"])
async def test_report_of_robot_with_another_class_is_permission_denied_despite_its_lease(
    inventory: Inventory, other: str
) -> None:
    _, (assignment,) = await inventory.dispatch(milk=1)
    lease = await inventory.start("dairy-1", assignment.assignment_id)
    report = pb.ReportPickRequest(
        assignment_id=assignment.assignment_id,
        robot_id="dairy-1",
        sequence=1,
        fence=lease.fence,
        status=pb.ReportPickRequest.PICKED,
    )
    token = robot("dairy-1", other, key=ROBOT_SECRET)
    assert await inventory.status_of("ReportPick", report, token) == "PERMISSION_DENIED"
    assert await inventory.report("dairy-1", assignment.assignment_id, lease.fence) == pb.ReportPickResponse.ACCEPTED
