"""The routes with which operators see and change devices."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from autogrocery.contracts.ops.actions import ActionIn
from autogrocery.contracts.ops.devices import (
    DeviceChangeIn,
    DeviceRow,
    DevicesOut,
    EnrolmentCodeIn,
    EnrolmentCodeOut,
)
from autogrocery.gateway.actions.ops.add_enrolment_code import add_enrolment_code
from autogrocery.gateway.actions.ops.change_device import change_device, set_device_enabled
from autogrocery.gateway.actions.ops.view_devices import view_device, view_devices
from autogrocery.gateway.routes.ops.writes import OPS, RECORDED_ERRORS, Cursor, Limit, answer_of, write_of
from autogrocery.kit.http.route import Answer, Request, Route

if TYPE_CHECKING:
    from autogrocery.gateway.deps import AccountDeps


class DevicesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which devices: `q` is how their id begins."""

    q: Annotated[str, Meta(max_length=100)] = ""
    cursor: Cursor | None = None
    limit: Limit = 50


def device_routes(accounts: AccountDeps) -> list[Route]:
    """Return the routes of devices and enrolment codes."""
    bind = partial(partial, accounts=accounts)
    one = f"{OPS}/devices/{{device_id}}"
    writes = partial(Route, scope="ops:write", keyed=True)
    missing = ("404 device_not_found", *RECORDED_ERRORS)
    return [
        Route(
            "GET",
            f"{OPS}/devices",
            bind(_devices),
            scope="ops:read",
            query=DevicesQuery,
            answer=DevicesOut,
            summary="Devices by id, with masked addresses",
        ),
        Route(
            "GET",
            one,
            bind(_device),
            scope="ops:read",
            answer=DeviceRow,
            summary="One device, with masked addresses",
            errors=("404 device_not_found",),
        ),
        writes(
            "PATCH",
            one,
            bind(_change),
            body=DeviceChangeIn,
            answer=DeviceRow,
            summary="Change its e-mail address, telephone number or alerts",
            errors=missing,
        ),
        writes(
            "POST",
            f"{one}/disable",
            bind(_set_enabled, enabled=False),
            body=ActionIn,
            answer=DeviceRow,
            summary="Refuse its logins and tokens",
            errors=missing,
        ),
        writes(
            "POST",
            f"{one}/enable",
            bind(_set_enabled, enabled=True),
            body=ActionIn,
            answer=DeviceRow,
            summary="Let it log in again",
            errors=missing,
        ),
        writes(
            "POST",
            f"{OPS}/enrolment-codes",
            bind(_add_code),
            body=EnrolmentCodeIn,
            answer=EnrolmentCodeOut,
            status=201,
            summary="A code with which devices register; it is told once",
            errors=RECORDED_ERRORS,
        ),
    ]


async def _devices(request: Request, *, accounts: AccountDeps) -> DevicesOut:
    query: DevicesQuery = request.query
    return await view_devices(accounts.db, prefix=query.q, cursor=query.cursor, limit=query.limit)


async def _device(request: Request, *, accounts: AccountDeps) -> DeviceRow:
    return await view_device(accounts.db, request.params["device_id"])


async def _change(request: Request, *, accounts: AccountDeps) -> Answer:
    device_id = request.params["device_id"]
    write = write_of(request, "change", f"device:{device_id}")
    return answer_of(await change_device(accounts.db, device_id, request.body, write))


async def _set_enabled(request: Request, *, accounts: AccountDeps, enabled: bool) -> Answer:
    device_id = request.params["device_id"]
    write = write_of(request, "enable" if enabled else "disable", f"device:{device_id}")
    verifiers = (accounts.device_verifier, accounts.operator_verifier)
    return answer_of(await set_device_enabled(accounts.db, verifiers, device_id, write, enabled=enabled))


async def _add_code(request: Request, *, accounts: AccountDeps) -> Answer:
    write = write_of(request, "add", "enrolment-code")
    return answer_of(await add_enrolment_code(accounts.db, request.body, write))
