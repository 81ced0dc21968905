"""An operator lists, disables and changes devices, with masked addresses, and makes enrolment codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.harness.operators import Operator
    from tests.harness.running_gateway import Device

pytestmark = pytest.mark.asyncio(loop_scope="module")
ADDRESS, NUMBER = "anna.smith@home.example", "+15550100123"


async def test_address_is_changed_and_shown_masked_everywhere(device: Device, operator: Operator) -> None:
    path = f"/devices/{device.device_id}"
    reply = await operator.send("PATCH", path, email=ADDRESS, phone=NUMBER, alerts="all")
    assert (reply.json["email"], reply.json["phone"], reply.json["alerts"]) == (
        "a***@home.example",
        "+*********23",
        "all",
    )
    assert (await device.get("/api/client/me")).json["email"] == ADDRESS
    (entry,) = await operator.log_of(f"device:{device.device_id}")
    assert (entry["before"]["email"], entry["after"]["email"]) == (None, "a***@home.example")
    rows = await device.gateway.db.rows("SELECT ops_audit_log::text AS whole FROM ops_audit_log")
    assert not any("anna.smith" in row["whole"] or NUMBER in row["whole"] for row in rows)
    assert (await operator.send("PATCH", path, email=None)).json["email"] is None
    assert (await operator.send("PATCH", path, email="no address")).code == "invalid_request"


async def test_disabled_device_is_refused_at_once_and_enabled_again(device: Device, operator: Operator) -> None:
    for _ in range(2):
        reply = await operator.send("POST", f"/devices/{device.device_id}/disable")
        assert reply.json["disabled_at"] is not None
    assert (await device.get("/api/client/me")).status == 401
    reply = await operator.send("POST", f"/devices/{device.device_id}/enable")
    assert reply.json["disabled_at"] is None
    assert (await device.get("/api/client/me")).status == 200


async def test_devices_are_listed_by_id_in_pages(device: Device, operator: Operator) -> None:
    others = [await device.gateway.device() for _ in range(3)]
    found, cursor = [], ""
    while True:
        page = (await operator.get(f"/devices?limit=2&q=fridge-{cursor}")).json
        found += [one["device_id"] for one in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert {device.device_id, *(one.device_id for one in others)} <= set(found)
    assert len(found) == len(set(found))
    assert (await operator.get("/devices?cursor=nonsense!")).code == "invalid_request"
    assert (await operator.get("/devices/nobody")).code == "device_not_found"


async def test_enrolment_code_is_told_once(operator: Operator) -> None:
    first = await operator.send("POST", "/enrolment-codes", key="code-1", uses=3)
    again = await operator.send("POST", "/enrolment-codes", key="code-1", uses=3)
    assert (first.status, again.json) == (201, first.json | {"code": None})
    rows = await operator.gateway.db.rows("SELECT ops_audit_log::text AS whole FROM ops_audit_log")
    assert not any(first.json["code"] in row["whole"] for row in rows)
