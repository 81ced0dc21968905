"""A short Schemathesis run: every check on every operation, stateful too. `make schemathesis` is the long one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.gateway_process import start_gateway_process
from tests.security.fuzz import fuzz

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(300)
async def test_gateway_conforms_to_its_openapi_document(gateway_dsn: str, tmp_path: Path) -> None:
    home = tmp_path / "gateway"
    home.mkdir()
    async with start_gateway_process(gateway_dsn, home) as role:
        with (tmp_path / "printed").open("wb") as out:
            code = await fuzz(role.gateway, tmp_path, examples=4, out=out.fileno())
        printed = (tmp_path / "printed").read_text(encoding="utf-8")
        assert code == 0, printed
        assert "Test Phases" in printed
        audit = await role.gateway.request("GET", "/internal/audit", inside=True)
    assert audit.json["clean"]
    assert [line for line in role.lines() if line["level"] == "error"] == []
