"""A gateway runs with nothing but its database, secrets and peers' addresses, as docs/BENCHMARKS.md says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from autogrocery.lab.ports import free_ports
from bench import page
from bench.environment import Keys, fresh_database, gateway_variables, listen_addresses
from bench.job import GatewayPorts
from tests.harness.fake_peers import serve_peers
from tests.harness.gateway_process import GatewayProcess, command, is_up
from tests.harness.running_gateway import DEVICE_KEY, ROBOT_KEY, connect, webhook_body
from tests.harness.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from autogrocery.lab.postgres.embedded import EmbeddedPostgres

KEYS = Keys(DEVICE_KEY, ROBOT_KEY, b"the-first-signs-every-webhook---")
START_S = 40.0


def test_page_names_the_variables_that_a_gateway_needs() -> None:
    wanted = gateway_variables("", KEYS, {"inventory": "", "pricing": ""}).keys()
    assert set(re.findall(r"([A-Z_]+)=", page.ALONE)) == wanted
    assert page.ALONE.splitlines()[-1] == "autogrocery gateway"
    assert f"```sh\n{page.ALONE}\n```" in page.PAGE.read_text(encoding="utf-8")


async def test_order_is_completed_by_a_gateway_with_these_variables_alone(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    dsn, ports, out, err = await fresh_database(postgres), free_ports(2), tmp_path / "out", tmp_path / "err"
    async with serve_peers() as (inventory, pricing, target), connect(dsn, ports, inventory, pricing) as gateway:
        variables = gateway_variables(dsn, KEYS, {"inventory": target, "pricing": target})
        # Where it listens differs only because other tests may listen at the default places.
        places = listen_addresses(GatewayPorts(*ports)) | {"ANALYTICS_ZMQ_ADDR": "tcp://127.0.0.1:0"}
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = await command(variables | places, stdout, stderr)
        try:
            started = GatewayProcess(gateway, process, out, err)
            await until(lambda: is_up(started), START_S)
            device = await gateway.device()
            order_id = await device.processing()
            assert (await gateway.send_webhook(webhook_body(order_id))).status == 200
            await device.wait_for_status(order_id, "COMPLETED")
        finally:
            process.kill()
            await process.wait()
