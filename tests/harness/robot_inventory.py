"""A fake inventory with leases and fences for robots, and a fake gateway where they log in."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from autogrocery.contracts.inventory.v1 import inventory_pb2 as wire
from autogrocery.kit.rpc.server import bearer
from autogrocery.kit.rpc.status import Code, RpcError

if TYPE_CHECKING:
    from autogrocery.kit.rpc.server_call import ServerCall

RESULT = wire.ReportPickResponse


class Task(msgspec.Struct):
    assignment: wire.Assignment
    fence: int = 0
    robot_id: str = ""
    lease_until: float = 0.0
    report: wire.ReportPickRequest | wire.ReportPutawayRequest | None = None
    placed: dict[str, wire.RestockedItem] = {}


class FakeInventory:
    """Leases last `lease_s`; `reports` has the result of every report."""

    def __init__(self, login_server: LoginServer, lease_s: float = 10.0) -> None:
        self.login_server = login_server
        self.lease_s = lease_s
        self.tasks: dict[str, Task] = {}
        self.reports: list[tuple[str, int, int, str]] = []  # robot_id, fence, sequence, result
        self.heartbeats: list[str] = []
        self.starts: list[tuple[str, str]] = []
        self.fence = 0

    def add_pick(self, name: str, robot_class: str = "bread", **quantities: int) -> Task:
        items = [wire.Item(sku=sku, quantity=quantity) for sku, quantity in quantities.items()]
        self.tasks[name] = Task(
            wire.Assignment(assignment_id=name, robot_class=robot_class, aisle=robot_class, items=items)
        )
        return self.tasks[name]

    def add_putaway(self, name: str, robot_class: str = "bread", **quantities: int) -> Task:
        """Add an assignment to put away a delivery's lines."""
        task = self.add_pick(name, robot_class, **quantities)
        task.assignment.order_type = wire.Assignment.PUTAWAY
        return task

    async def ListWork(self, request: wire.ListWorkRequest, call: ServerCall) -> wire.ListWorkResponse:
        self._check(request.robot_id, call)
        open_ = [
            task.assignment
            for task in self.tasks.values()
            if task.report is None
            and task.assignment.robot_class == request.robot_class
            and (task.robot_id == request.robot_id or task.lease_until < time.monotonic())
        ]
        return wire.ListWorkResponse(assignments=open_[: request.limit])

    async def StartPick(self, request: wire.StartPickRequest, call: ServerCall) -> wire.StartPickResponse:
        self._check(request.robot_id, call)
        task = self.tasks[request.assignment_id]
        if task.report is not None or (task.robot_id and task.lease_until >= time.monotonic()):
            return wire.StartPickResponse(granted=False)
        self.fence += 1
        self.starts.append((request.robot_id, request.assignment_id))
        task.fence, task.robot_id, task.lease_until = self.fence, request.robot_id, time.monotonic() + self.lease_s
        granted = wire.StartPickResponse(granted=True, fence=task.fence, items=task.placed.values())
        granted.lease_until.FromDatetime(datetime.now(UTC) + timedelta(seconds=self.lease_s))
        return granted

    async def Heartbeat(self, request: wire.HeartbeatRequest, call: ServerCall) -> wire.HeartbeatResponse:
        self._check(request.robot_id, call)
        self.heartbeats.append(request.robot_id)
        held = {task.fence: task for task in self.tasks.values() if task.robot_id == request.robot_id}
        for fence in request.fences:
            if fence in held:
                held[fence].lease_until = time.monotonic() + self.lease_s
        return wire.HeartbeatResponse(lost_fences=[fence for fence in request.fences if fence not in held])

    async def ReportPick(self, request: wire.ReportPickRequest, call: ServerCall) -> wire.ReportPickResponse:
        self._check(request.robot_id, call)
        result = self._result(request)
        if result == RESULT.ACCEPTED:
            self.tasks[request.assignment_id].report = request
        return wire.ReportPickResponse(result=result)

    async def ReportPutaway(self, request: wire.ReportPutawayRequest, call: ServerCall) -> wire.ReportPutawayResponse:
        self._check(request.robot_id, call)
        task = self.tasks[request.assignment_id]
        result = self._result(request)
        if result == RESULT.ACCEPTED:
            task.placed |= {item.sku: item for item in request.items}
            task.report = request if request.done else None
        return wire.ReportPutawayResponse(result=result)

    def _result(self, request: wire.ReportPickRequest | wire.ReportPutawayRequest) -> RESULT.Result:
        task = self.tasks[request.assignment_id]
        result = RESULT.ACCEPTED
        if request.fence != task.fence:
            result = RESULT.STALE_FENCE
        elif task.report is not None:
            result = RESULT.DUPLICATE
        self.reports.append((request.robot_id, request.fence, request.sequence, RESULT.Result.Name(result)))
        return result

    def _check(self, robot_id: str, call: ServerCall) -> None:
        if self.login_server.access.get(bearer(call)) != robot_id:
            raise RpcError(Code.UNAUTHENTICATED, "invalid_token")


class LoginServer:
    """Logs robots in; `access` and `refreshable` map valid tokens to robot ids."""

    def __init__(self, expires_in: float = 900.0) -> None:
        self.expires_in = expires_in
        self.access: dict[str, str] = {}
        self.refreshable: dict[str, str] = {}
        self.calls: list[str] = []
        self.answers: list[web.Response] = []  # responses to the first logins, each sent once

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/internal/login", self.log_in)
        app.router.add_post("/internal/refresh", self.refresh)
        return app

    async def log_in(self, request: web.Request) -> web.Response:
        self.calls.append("login")
        body = await request.json()
        if self.answers:
            return self.answers.pop(0)
        if body != {"device_id": body["device_id"], "password": f"password of {body['device_id']}"}:
            return web.json_response({"code": "invalid_credentials"}, status=401)
        return self._tokens(body["device_id"])

    async def refresh(self, request: web.Request) -> web.Response:
        self.calls.append("refresh")
        robot_id = self.refreshable.pop(request.headers["Authorization"].removeprefix("Bearer "), None)
        return self._tokens(robot_id) if robot_id else web.json_response({"code": "invalid_token"}, status=401)

    def _tokens(self, robot_id: str) -> web.Response:
        number = len(self.access)
        self.access[f"a{number}"] = self.refreshable[f"r{number}"] = robot_id
        return web.json_response(
            {
                "access_token": f"a{number}",
                "refresh_token": f"r{number}",
                "token_type": "Bearer",
                "expires_in": self.expires_in,
            }
        )
