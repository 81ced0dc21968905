"""Orders over HTTP, preview and confirm, on some connections at once; every refusal is counted with its code."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from bench.http_connection import HttpConnection, connect, post

if TYPE_CHECKING:
    from collections.abc import Sequence

# Refusals that say "too much at once". Any other one is a fault of the gateway or of its peers.
OVERLOAD = frozenset({"overloaded", "rate_limited"})
MAX_REFUSALS = 50  # of one order, before it is given up
SEED = 15


class Tally(Struct):
    """What came of a run: how long each order took, and how often each refusal came."""

    connections: int
    took_s: float = 0.0
    orders: list[float] = []
    overload: Counter[str] = Counter()
    others: Counter[str] = Counter()

    @property
    def per_second(self) -> float:
        """Finished orders a second."""
        return len(self.orders) / self.took_s if self.took_s else 0.0


class _Problem(Struct):
    code: str = "no code"


class _Order(Struct):
    order_id: str


async def place_orders(
    port: int, tokens: Sequence[str], skus: Sequence[str], *, orders: int, connections: int
) -> Tally:
    """Place so many orders on so many connections to the gateway at `port`; return what came of them."""
    tally = Tally(connections, orders=[], overload=Counter(), others=Counter())
    left = iter(range(orders))
    chance = random.Random(SEED)
    wires = [await connect(port) for _ in range(connections)]

    async def order_client(wire: HttpConnection) -> None:
        for number in left:
            bearer = ("authorization", f"Bearer {tokens[number % len(tokens)]}")
            items = [
                {"sku": sku, "quantity": chance.randint(1, 3)} for sku in chance.sample(skus, chance.randint(1, 3))
            ]
            began = time.perf_counter()
            body = await _until(wire, tally, "preview", 201, {"items": items}, bearer)
            if body is None:
                continue
            order_id = msgspec.json.decode(body, type=_Order).order_id
            if await _until(wire, tally, "confirm", 200, {"order_id": order_id}, bearer) is not None:
                tally.orders.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*map(order_client, wires))
    tally.took_s = time.perf_counter() - began
    for wire in wires:
        wire.close()
    return tally


async def _until(
    wire: HttpConnection, tally: Tally, verb: str, success: int, content: object, bearer: tuple[str, str]
) -> bytes | None:
    """Ask until there is a success; return its body, or None after MAX_REFUSALS."""
    request = post(f"/api/client/order/{verb}", msgspec.json.encode(content), bearer)
    for _ in range(MAX_REFUSALS):
        status, body, retry_after_s = await _send(wire, request)
        if status == success:
            return body
        code = "connection lost" if not status else msgspec.json.decode(body, type=_Problem).code
        counted = tally.overload if code in OVERLOAD else tally.others
        counted[f"{verb} {status} {code}"] += 1
        await asyncio.sleep(max(retry_after_s, 0.05) * random.uniform(1.0, 1.5))
    tally.others[f"{verb} given up"] += 1
    return None


async def _send(wire: HttpConnection, request: bytes) -> tuple[int, bytes, float]:
    answer: asyncio.Future[tuple[int, bytes, float]] = asyncio.get_running_loop().create_future()
    wire.send(request, lambda *response: answer.set_result(response))
    return await answer
