"""Loaded by Schemathesis: each request bears the token of the next device, for each device has an allowance of requests."""

from __future__ import annotations

import json
import os
from itertools import cycle
from pathlib import Path
from typing import Any

import schemathesis

_tokens = cycle(json.loads(Path(os.environ["FUZZ_TOKENS"]).read_text(encoding="ascii")))


@schemathesis.auth(refresh_interval=None, retry_on=[])
class NextDevice:
    """One of several devices."""

    def get(self, _case: Any, _context: Any) -> str:
        token: str = next(_tokens)
        return token

    def set(self, case: Any, data: str, _context: Any) -> None:
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"
