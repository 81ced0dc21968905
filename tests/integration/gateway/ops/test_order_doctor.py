"""`autogrocery order doctor`: an order that inventory's absence has stuck is found, explained and healed from there."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import grpc
import pytest

if TYPE_CHECKING:
    from tests.harness.operators import Operator
    from tests.harness.running_gateway import Device

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def doctor(dsn: str, *arguments: str) -> tuple[int, Any]:
    """Run the command as a process of its own; returns its exit code and its JSON."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "autogrocery",
        "order",
        "doctor",
        *arguments,
        "--json",
        env={"DATABASE_URL": dsn, "PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "USER": "tester"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(child.communicate(), 40.0)
    assert child.returncode is not None
    return child.returncode, json.loads(out) if out else errors.decode()


async def test_order_stuck_by_a_stopped_inventory_is_found_explained_and_healed(
    module_dsn: str, device: Device, operator: Operator
) -> None:
    order_id, inventory = await device.previewed(), device.gateway.fake_inventory
    inventory.abort_with = {"AssignRobots": grpc.StatusCode.UNAVAILABLE}
    assert (await device.confirm(order_id)).status == 202
    await device.gateway.db.run(
        "UPDATE grocery_orders SET intent_at = now() - interval '2 minutes', attempts = 20,"
        " attention = 'inventory gives no clear answer', due_at = now() + interval '10 minutes' WHERE order_id = $1",
        order_id,
    )
    code, found = await doctor(module_dsn)
    (mine,) = [one["item"] for one in found if one["item"]["id"] == order_id]
    assert (code, mine["cause"], mine["actions"][0]["name"]) == (1, "dispatch_unanswered", "retry_dispatch")
    inventory.clear_faults()
    code, (healed,) = await doctor(module_dsn, order_id, "--heal")
    assert (code, healed["healed"]["before"], healed["healed"]["after"]) == (0, "PREVIEWED/DISPATCH", "PROCESSING")
    assert inventory.dispatches[order_id] == 1
    (entry,) = await operator.log_of(f"order:{order_id}")
    assert (entry["operator"], entry["action"]) == ("cli:tester", "retry_dispatch")
    code, (healthy,) = await doctor(module_dsn, order_id)
    assert (code, healthy["item"]["cause"]) == (0, "picking")


async def test_order_whose_webhook_was_lost_is_healed(module_dsn: str, device: Device) -> None:
    order_id, inventory = await device.processing(), device.gateway.fake_inventory
    inventory.finish(order_id)
    code, (healed,) = await doctor(module_dsn, order_id, "--heal")
    assert (code, healed["healed"]["after"]) == (0, "COMPLETED")


async def test_open_quote_is_not_healed_and_a_missing_order_is_named(module_dsn: str, device: Device) -> None:
    order_id = await device.previewed()
    code, (found,) = await doctor(module_dsn, order_id, "--heal")
    assert (code, found["healed"]) == (0, None)
    assert (await device.order(order_id))["status"] == "PREVIEWED"
    missing = "018f0000-0000-7000-8000-00000000beef"
    assert await doctor(module_dsn, missing) == (1, f"no order or restock {missing}\n")
