"""The reference peers pass the conformance kit, on PostgreSQL, across a restart, with webhooks and a robot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autogrocery.kit.pg.db import open_db
from autogrocery.kit.rpc.server import serve
from autogrocery.lab.conformance import Options, Outcome, Report, check_inventory, check_pricing
from autogrocery.lab.conformance.options import robot_of
from autogrocery.lab.ports import free_ports
from autogrocery.pricing import rpc as pricing_rpc
from tests.harness.restart_control import restart_command
from tests.harness.running_inventory import WEBHOOK_SECRET, robot_token, run_inventory

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 5.0  # a loaded machine's slow second is no finding


def failures(report: Report) -> dict[str, str]:
    return {one.line_id: one.detail for one in report.results if one.outcome is not Outcome.PASSED}


@pytest.fixture
def inventory_dsn(dsn_of: Callable[[str], str]) -> str:
    return dsn_of("inventory")


@pytest.fixture
def pricing_dsn(dsn_of: Callable[[str], str]) -> str:
    return dsn_of("pricing")


@pytest.mark.timeout(300)
async def test_reference_inventory_passes_every_line(inventory_dsn: str) -> None:
    port, webhooks = free_ports(2)
    token = robot_token("dairy-1", "dairy")
    own = {
        "inventory_grpc_addr": f"127.0.0.1:{port}",
        "gateway_webhook_url": f"http://127.0.0.1:{webhooks}",
    }
    async with run_inventory(inventory_dsn, **own) as inventory, restart_command(inventory.restart) as command:
        options = Options(
            f"127.0.0.1:{port}",
            robot=robot_of(token),
            restart_command=command,
            webhook_listen=f"127.0.0.1:{webhooks}",
            webhook_key=WEBHOOK_SECRET.encode(),
            patience=PATIENCE,
        )
        report = await check_inventory(options, lambda _: None)
        assert failures(report) == {}
        assert await inventory.violations() == []


async def test_reference_pricing_passes_every_line_but_the_restart(pricing_dsn: str) -> None:
    async with open_db(pricing_dsn, application="tests") as db:
        served = pricing_rpc.methods(pricing_rpc.Pricing(db, currency="USD", margin_percent=30))
        async with serve("PRICING_GRPC_ADDR", "127.0.0.1", 0, served) as port:
            report = await check_pricing(Options(f"127.0.0.1:{port}", patience=PATIENCE), lambda _: None)
    assert failures(report) == {"R1": "no --restart-command"}
