"""The load asks what it says and counts what it was answered: held to a real server that answers as it is told."""

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
from bench.job import Door, Job
from bench.shoppers import CONFIRM_PATH, PREVIEW_PATH, WEBHOOK_PATH

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

KEY = b"k" * 32
ORDER_ID = b"01890000-0000-7000-8000-000000000000"
OK = {PREVIEW_PATH: 201, CONFIRM_PATH: 200, WEBHOOK_PATH: 200}


class Gateway:
    """Answers every request after `delay_s` seconds, with `status[path]` if that is set; `asked` keeps what came."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.status: dict[str, list[int]] = {}
        self.delay_s = 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                first, *lines = head.strip().split("\r\n")
                fields = dict(line.split(": ", 1) for line in lines)
                path = first.split(" ")[1]
                self.asked.append((path, fields, await reader.readexactly(int(fields["content-length"]))))
                await asyncio.sleep(self.delay_s)
                later = self.status.get(path)
                status = later.pop(0) if later else OK[path]
                body = b'{"order_id":"%s"}' % ORDER_ID
                whole = b"HTTP/1.1 %d x\r\ncontent-length: %d\r\nretry-after: 0\r\n\r\n%s" % (status, len(body), body)
                for part in (whole[:40], whole[40:]):  # an answer comes in as many pieces as the network likes
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
    plain = {
        "doors": [Door(port, port)],
        "connections": 1,
        "seconds": 5.0,
        "tokens": ["a", "b"],
        "baskets": [[("milk", 2)]],
        "webhook_key": KEY,
        "warm_up_s": 0.0,
        "orders": 4,
    }
    async with server:
        yield gateway, Job(**(plain | wanted))  # type: ignore[arg-type]


async def test_an_order_is_preview_confirm_and_signed_webhook_and_devices_take_turns(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with serving() as (gateway, job):
        tally = await load.run(job)
    assert capfd.readouterr().out.startswith('{"event":"began"')
    assert (tally.orders, tally.all_orders, tally.begun, tally.other) == (4, 4, 4, {})
    assert [path for path, _, _ in gateway.asked] == [PREVIEW_PATH, CONFIRM_PATH, WEBHOOK_PATH] * 4
    bearers = [fields["authorization"] for path, fields, _ in gateway.asked if path == PREVIEW_PATH]
    assert bearers == ["Bearer b", "Bearer a"] * 2
    preview, confirm, (_, fields, body) = gateway.asked[:3]
    assert msgspec.json.decode(preview[2]) == {"items": [{"sku": "milk", "quantity": 2}]}
    assert msgspec.json.decode(confirm[2]) == {"order_id": ORDER_ID.decode()}
    signed = b".".join((fields["webhook-id"].encode(), fields["webhook-timestamp"].encode(), body))
    assert fields["webhook-signature"] == "v1," + base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()


async def test_a_busy_confirm_is_asked_again_and_a_refused_preview_is_an_order_less() -> None:
    async with serving(orders=2) as (gateway, job):
        gateway.status = {CONFIRM_PATH: [503], PREVIEW_PATH: [429]}
        tally = await load.run(job)
    assert tally.other == {"preview 429": 1, "confirm 503": 1}
    assert (tally.orders, tally.begun) == (2, 3)
    assert tally.refused_ms is not None
    assert tally.refused_ms.count == 2


async def test_in_an_open_loop_waiting_for_a_connection_counts_as_the_order_s_time() -> None:
    async with serving(rate=100.0, orders=None, seconds=1.0, warm_up_s=0.05) as (gateway, job):
        gateway.delay_s = (
            0.05  # three requests: the one connection takes six orders a second of the hundred that are due
        )
        tally = await load.run(job)
    assert tally.late > 50
    assert tally.spread_ms["confirm"].most < 300.0
    assert tally.spread_ms["preview"].most > 500.0


def test_percentiles_are_by_nearest_rank() -> None:
    spread = load.spread(array("d", [number / 1e3 for number in range(1_000, 0, -1)]))
    assert (spread.count, spread.p50, spread.p90, spread.p99, spread.p999, spread.most) == (
        1_000,
        500,
        900,
        990,
        999,
        1_000,
    )
