"""Every door, asked by every caller: what it says is what the policy says, and docs/SCOPES.md agrees."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
import pytest_asyncio

from autogrocery.contracts.inventory.v1 import inventory_pb2 as pb
from autogrocery.inventory.rpc import SERVICE
from autogrocery.kit.rpc.stream_client import Stream
from tests.harness.running_gateway import open_shop
from tests.harness.running_inventory import DEADLINE_S, ROBOT_SECRET
from tests.security.callers import callers_of, robot
from tests.security.policy import CLASSES, ROBOT_CALLS, ROBOTS, Says, Who, grpc_says, line_of, says
from tools.gen_security import doors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.harness.running_gateway import Reply, Shop
    from tests.harness.running_inventory import Shop as Inventory
    from tests.security.callers import Callers

pytestmark = pytest.mark.asyncio(loop_scope="module")
DOORS: Final = [(row.listener, row.method, row.path) for row in doors()]
CELLS: Final = [(*door, who) for door in DOORS for who in Who]
CALLS: Final = [
    (method.name, form)
    for method in pb.DESCRIPTOR.services_by_name["InventoryService"].methods
    if not method.client_streaming
    for form in (("unary", "stream") if method.name in ROBOT_CALLS else ("unary",))
]
ABOUT_WHO: Final = {Says.NO_TOKEN, Says.NO_SCOPE, Says.NOT_SIGNED, Says.NO_SUCH_ORDER}
MISSING: Final = "018f0000-0000-7000-8000-00000000beef"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(module_dsn: str) -> AsyncIterator[Shop]:
    async with open_shop(module_dsn) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def callers(shop: Shop) -> Callers:
    return await callers_of(shop)


async def ask(shop: Shop, listener: str, method: str, path: str, token: str | None, order_id: str) -> Reply:
    """Ask a door with what it needs to know an order by, and with nothing else it could like."""
    body: dict[str, Any] | None = {} if method == "POST" else None
    if re.fullmatch(r"/api/client/order/(confirm|cancel)", path):
        body = {"order_id": order_id}
    return await shop.ask(method, re.sub(r"\{\w+\}", order_id, path), body, token=token, inside=listener == "internal")


@pytest.mark.parametrize(("listener", "method", "path", "who"), CELLS, ids=[f"{m} {p} by {w}" for _, m, p, w in CELLS])
async def test_a_door_says_to_each_caller_what_the_policy_says(
    shop: Shop, callers: Callers, listener: str, method: str, path: str, who: Who
) -> None:
    reply = await ask(shop, listener, method, path, callers.tokens[who], callers.order_id)
    expected = says(line_of(listener, method, path), who)
    if expected is Says.LETS_IN:
        assert reply.status < 500
        assert reply.status < 400 or reply.code not in ABOUT_WHO, reply
        return
    status = {Says.NO_SCOPE: 403, Says.NO_SUCH_ORDER: 404}.get(expected, 401)
    assert (reply.status, reply.code) == (status, expected)
    if method == "GET":
        bodiless = await ask(shop, listener, "HEAD", path, callers.tokens[who], callers.order_id)
        assert (bodiless.status, bodiless.body) == (status, b"")


async def test_the_matrix_is_whole() -> None:
    assert len(CELLS) == len(DOORS) * len(Who)
    assert len(DOORS) >= 27
    assert {who for *_, who in CELLS} == set(Who)


async def test_the_page_about_scopes_lets_in_whom_the_policy_lets_in() -> None:
    kinds = {"device": Who.OWNER, "truck": Who.TRUCK, "operator": Who.OPERATOR}
    for row in doors():
        line = line_of(row.listener, row.method, row.path)
        if line.may and line.may != set(Who):
            assert set(row.who.split(", ")) == {kind for kind, who in kinds.items() if who in line.may}, row


FOREIGN: Final = [door for door in DOORS if line_of(*door).one_order]


@pytest.mark.parametrize(("listener", "method", "path"), FOREIGN, ids=[f"{m} {p}" for _, m, p in FOREIGN])
async def test_a_foreign_order_is_to_the_byte_a_missing_one(
    shop: Shop, callers: Callers, listener: str, method: str, path: str
) -> None:
    token = callers.tokens[Who.OTHER]
    foreign, missing = [await ask(shop, listener, method, path, token, one) for one in (callers.order_id, MISSING)]
    assert foreign.status == missing.status == 404
    assert without_id(foreign) == without_id(missing)


# An id of its own, the time, and what is left of the allowance after each request.
LIVELY: Final = {"x-request-id", "date", "ratelimit"}


def without_id(reply: Reply) -> tuple[bytes, dict[str, str]]:
    known = reply.headers["x-request-id"].encode()
    headers = {name: value for name, value in reply.headers.items() if name not in LIVELY}
    return reply.body.replace(known, b"#"), headers


async def test_a_scope_of_its_own_takes_the_place_of_those_of_the_kind(shop: Shop) -> None:
    reader = await shop.device(scopes=("orders:read",))
    assert (await reader.get("/api/client/orders")).status == 200
    assert (await reader.preview()).code == "insufficient_scope"
    assert (await reader.get("/api/client/catalog")).code == "insufficient_scope"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inventory(inventory_of_module: Inventory) -> Inventory:
    return inventory_of_module


@pytest.mark.parametrize(("call", "form", "who"), [(*c, w) for c in CALLS for w in Who], ids=str)
async def test_inventory_says_to_each_caller_what_the_policy_says(
    inventory: Inventory, callers: Callers, call: str, form: str, who: Who
) -> None:
    _, (assignment,) = await inventory.dispatch(milk=1)
    name = f"{who.removeprefix('robot of ')}-1" if who in ROBOTS else "dairy-1"
    token = robot(name, who.removeprefix("robot of "), key=ROBOT_SECRET) if who in ROBOTS else callers.tokens[who]
    status = await inventory.status_of(call, request(call, name, assignment), token, streamed=form == "stream")
    expected = grpc_says(call, who)
    assert status == expected or (expected == "OK" and status == "INVALID_ARGUMENT"), (
        "let in is what is heard, be it nonsense"
    )


def request(call: str, name: str, assignment: Any) -> Any:
    """A request about the dairy's assignment, from the robot of this name; for the gateway's calls an empty one."""
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


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("call", ROBOT_CALLS)
async def test_a_robot_may_not_speak_for_another(inventory: Inventory, call: str, streamed: bool) -> None:
    _, (assignment,) = await inventory.dispatch(milk=1)
    token = robot("dairy-2", "dairy", key=ROBOT_SECRET)
    asked = request(call, "dairy-1", assignment)
    assert await inventory.status_of(call, asked, token, streamed=streamed) == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    ("calls", "path"), [(pb.Calls, "ConverseRobots"), (pb.RobotCalls, "Converse")], ids=["orders", "robots"]
)
async def test_one_stream_does_not_serve_the_calls_of_the_other(inventory: Inventory, calls: Any, path: str) -> None:
    for field in calls().calls.add().DESCRIPTOR.oneofs_by_name["request"].fields:
        request = field.message_type._concrete_class()
        stream = Stream(inventory.channel, f"/{SERVICE}/{path}", calls, pb.Answers.FromString)
        until = asyncio.get_running_loop().time() + DEADLINE_S
        with pytest.raises(grpc.aio.AioRpcError) as told:
            await stream.ask(field.name, request, until)
        assert told.value.code() is grpc.StatusCode.UNIMPLEMENTED, field.name


@pytest.mark.parametrize("other", [name for name in CLASSES if name != "dairy"])
async def test_a_lease_does_not_help_a_robot_whose_class_was_changed(inventory: Inventory, other: str) -> None:
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
