"""Whatever a device makes up is refused at the gateway or answered by a peer; it never counts as a peer's trouble."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.harness.running_gateway import PREVIEW

if TYPE_CHECKING:
    from tests.harness.mart import Mart

pytestmark = pytest.mark.asyncio(loop_scope="module")
CONTROLS = {
    "line end": "a\nb",
    "last line end": "a\n",
    "escape": "\x1b[2J",
    "C1 control": "\x85",
    "paragraph": "\u2029",
}
ODD = {
    "blank": " ",
    "no-break space": "a\u00a0b",
    "byte-order mark": "\ufeff",
    "right-to-left override": "\u202e",
    "unassigned": "\U000e0fff",
    "64 characters of four bytes": "\U0001f955" * 64,
    "quotes and slashes": "'\"\\/%_",
}
CURSORS = {**CONTROLS, **ODD, "200 characters": "x" * 200}


async def buy(mart: Mart, sku: str) -> tuple[int, str]:
    reply = await (await mart.device()).post(PREVIEW, {"items": [{"sku": sku, "quantity": 1}]})
    return reply.status, reply.code


@pytest.mark.parametrize("name", CONTROLS)
async def test_sku_with_a_control_character_is_refused_at_the_gateway(mart: Mart, name: str) -> None:
    assert await buy(mart, CONTROLS[name]) == (422, "invalid_request")


@pytest.mark.parametrize("name", ODD)
async def test_odd_sku_is_unknown(mart: Mart, name: str) -> None:
    assert await buy(mart, ODD[name]) == (422, "unknown_sku")


@pytest.mark.parametrize("name", CURSORS)
async def test_odd_cursor_and_odd_query_are_answered(mart: Mart, name: str) -> None:
    device = await mart.device()
    for query in (f"cursor={quote(CURSORS[name])}", f"q={quote(CURSORS[name][:100])}"):
        assert (await device.get(f"/api/client/catalog?{query}")).status == 200


async def test_lone_surrogate_is_no_text(mart: Mart) -> None:
    device = await mart.device()
    raw = b'{"items":[{"sku":"\\ud800","quantity":1}]}'
    reply = await device.post(PREVIEW, raw=raw)
    assert (reply.status, reply.code) in {(400, "invalid_json"), (422, "invalid_request")}
