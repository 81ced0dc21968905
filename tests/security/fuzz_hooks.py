"""Loaded by Schemathesis: who asks, and for what is on the shelf, so that more than refusals is seen."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, Final

import schemathesis

TOKENS: Final[dict[str, list[str]]] = json.loads(Path(os.environ["FUZZ_TOKENS"]).read_text(encoding="ascii"))
SKUS: Final = ("apple", "bread", "milk")
ODD: Final = range(1, 65, 2)  # a SKU has 64 letters at most
TURN_S: Final = 0.5  # long enough for a scenario to find its own orders, short enough for a device's allowance


@schemathesis.auth(refresh_interval=None, retry_on=[])
class NextDevice:
    """One of several devices, or trucks, each for a short while: each has an allowance of requests, and sees its own orders only."""

    def get(self, case: Any, _context: Any) -> str:
        tokens = TOKENS["truck" if case.operation.path.startswith("/api/truck") else "device"]
        return tokens[int(time.monotonic() / TURN_S) % len(tokens)]

    def set(self, case: Any, data: str, _context: Any) -> None:
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook.apply_to(path="/api/client/order/preview")
def map_body(_context: Any, body: Any) -> Any:
    """Ask for what there is, wherever a basket names a SKU of an odd number of letters; the rest stays as it was drawn.

    So does a SKU that is too long: that may be what is wrong with this body on purpose.
    """
    if isinstance(body, dict) and isinstance(body.get("items"), list):
        for item in body["items"]:
            if isinstance(item, dict) and isinstance(item.get("sku"), str) and len(item["sku"]) in ODD:
                item["sku"] = SKUS[len(item["sku"]) % len(SKUS)]
    return body
