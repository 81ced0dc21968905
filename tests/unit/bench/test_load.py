"""The load generator sends the requests of an order and counts the responses of a real HTTP server."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from array import array
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from bench import load
from bench.job import GatewayPorts, Job
from bench.order_client import CONFIRM_PATH, PREVIEW_PATH, WEBHOOK_PATH

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

KEY = b"k" * 32
ORDER_ID = b"01890000-0000-7000-8000-000000000000"
OK = {PREVIEW_PATH: 201, CONFIRM_PATH: 200, WEBHOOK_PATH: 200}


class Gateway:
    """Answers each request after `delay_s` seconds, with the next of `status[path]` or success; records `requests`."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.status: dict[str, list[int]] = {}
        self.delay_s = 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                first, *lines = head.strip().split("\r\n")
                fields = dict(line.split(": ", 1) for line in lines)
                path = first.split(" ")[1]
                self.requests.append((path, fields, await reader.readexactly(int(fields["content-length"]))))
                await asyncio.sleep(self.delay_s)
                planned = self.status.get(path)
                status = planned.pop(0) if planned else OK[path]
                body = b'{"order_id":"%s"}' % ORDER_ID
                whole = b"HTTP/1.1 %d x\r\ncontent-length: %d\r\nretry-after: 0\r\n\r\n%s" % (status, len(body), body)
                for part in (whole[:40], whole[40:]):  # a response may arrive in pieces
                    writer.write(part)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(**wanted: object) -> AsyncIterator[tuple[Gateway, Job]]:
    gateway = Gateway()
    server = await asyncio.start_server(gateway.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    defaults = {
        "ports": [GatewayPorts(port, port)],
        "connections": 1,
        "seconds": 5.0,
        "tokens": ["a", "b"],
        "baskets": [[("milk", 2)]],
        "webhook_key": KEY,
        "warm_up_s": 0.0,
        "orders": 4,
    }
    async with server:
        yield gateway, Job(**(defaults | wanted))  # type: ignore[arg-type]


async def test_order_is_preview_confirm_and_signed_webhook_of_the_next_device(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with serving() as (gateway, job):
        tally = await load.run(job)
    assert capfd.readouterr().out.startswith('{"kind":"began"')
    assert (tally.orders, tally.all_orders, tally.begun, tally.failures) == (4, 4, 4, {})
    assert [path for path, _, _ in gateway.requests] == [PREVIEW_PATH, CONFIRM_PATH, WEBHOOK_PATH] * 4
    bearers = [fields["authorization"] for path, fields, _ in gateway.requests if path == PREVIEW_PATH]
    assert bearers == ["Bearer b", "Bearer a"] * 2
    preview, confirm, (_, fields, body) = gateway.requests[:3]
    assert msgspec.json.decode(preview[2]) == {"items": [{"sku": "milk", "quantity": 2}]}
    assert msgspec.json.decode(confirm[2]) == {"order_id": ORDER_ID.decode()}
    signed = b".".join((fields["webhook-id"].encode(), fields["webhook-timestamp"].encode(), body))
    assert fields["webhook-signature"] == "v1," + base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()


async def test_confirm_with_503_is_sent_again_and_preview_with_429_ends_the_order() -> None:
    async with serving(orders=2) as (gateway, job):
        gateway.status = {CONFIRM_PATH: [503], PREVIEW_PATH: [429]}
        tally = await load.run(job)
    assert tally.failures == {"preview 429": 1, "confirm 503": 1}
    assert (tally.orders, tally.begun) == (2, 3)
    assert tally.refused_ms is not None
    assert tally.refused_ms.count == 2


async def test_open_loop_counts_the_wait_for_a_connection_as_latency() -> None:
    async with serving(rate=100.0, orders=None, seconds=1.0, warm_up_s=0.05) as (gateway, job):
        gateway.delay_s = 0.05  # three requests an order: one connection completes 6 of the 100 orders/s due
        tally = await load.run(job)
    assert tally.late > 50
    assert tally.latency_ms["confirm"].maximum < 300.0
    assert tally.latency_ms["preview"].maximum > 500.0


def test_percentiles_use_the_nearest_rank() -> None:
    latency = load.latency_of(array("d", [number / 1e3 for number in range(1_000, 0, -1)]))
    assert (latency.count, latency.p50, latency.p90, latency.p99, latency.p999, latency.maximum) == (
        1_000,
        500,
        900,
        990,
        999,
        1_000,
    )
