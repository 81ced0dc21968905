"""Schemathesis, in short: every check on every operation of the document, stateful too. The long form is `make schemathesis`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.gateway_process import open_role
from tests.security.fuzz import fuzz

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(300)
async def test_the_gateway_does_what_its_document_says(gateway_dsn: str, tmp_path: Path) -> None:
    home = tmp_path / "gateway"
    home.mkdir()
    async with open_role(gateway_dsn, home) as role:
        with (tmp_path / "printed").open("wb") as out:
            code = await fuzz(role.shop, tmp_path, examples=4, out=out.fileno())
        printed = (tmp_path / "printed").read_text(encoding="utf-8")
        assert code == 0, printed
        assert "Test Phases" in printed
        audit = await role.shop.ask("GET", "/internal/audit", inside=True)
    assert audit.json["clean"]
    assert [line for line in role.lines() if line["level"] == "error"] == []
