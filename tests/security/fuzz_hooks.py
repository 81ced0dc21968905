"""Schemathesis hooks: tokens, and SKUs that exist, so that requests are not only refused."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, Final

import schemathesis

TOKENS: Final[dict[str, list[str]]] = json.loads(Path(os.environ["FUZZ_TOKENS"]).read_text(encoding="ascii"))
SKUS: Final = ("apple", "bread", "milk")
ODD: Final = range(1, 65, 2)  # a SKU has at most 64 characters
TURN_S: Final = 0.5  # long enough for a scenario to find its own orders, short enough for a device's rate limit


@schemathesis.auth(refresh_interval=None, retry_on=[])
class NextDevice:
    """Takes turns among several devices or trucks: each has its own rate limit and sees its own orders only."""

    def get(self, case: Any, _context: Any) -> str:
        tokens = TOKENS["truck" if case.operation.path.startswith("/api/truck") else "device"]
        return tokens[int(time.monotonic() / TURN_S) % len(tokens)]

    def set(self, case: Any, data: str, _context: Any) -> None:
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook.apply_to(path="/api/client/order/preview")
def map_body(_context: Any, body: Any) -> Any:
    """Replace each SKU of an odd length with one that exists; the rest of the body stays as generated.

    A SKU that is too long stays too: it may be the deliberate error of this body.
    """
    if isinstance(body, dict) and isinstance(body.get("items"), list):
        for item in body["items"]:
            if isinstance(item, dict) and isinstance(item.get("sku"), str) and len(item["sku"]) in ODD:
                item["sku"] = SKUS[len(item["sku"]) % len(SKUS)]
    return body
