"""The whole network over TLS and CURVE: foreign certificates are refused, keys are renewed, every order ends right."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from functools import partial
from typing import TYPE_CHECKING

import pytest

from autogrocery.cli.demo_accounts import provision
from autogrocery.cli.migrations import migrate_all
from autogrocery.cli.network import DEMO_ENVIRON
from autogrocery.cli.replay import run_demo_replay
from autogrocery.lab.network import options_from, pki, running_stack
from tests.harness.homes import temporary_home
from tests.harness.tls_endpoints import certificate_at, foreign_client_context, identity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ORDERS = 20
LISTENERS = ("ORDERING_INTERNAL_ADDR", "INVENTORY_GRPC_ADDR", "PRICING_GRPC_ADDR")


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_home(on_disk=True) as directory:
        yield directory


@pytest.mark.timeout(150)
async def test_demo_over_tls_with_renewed_keys_ends_clean(home: Path, strangers: Path) -> None:
    environ = {**DEMO_ENVIRON, **os.environ, "AUTOGROCERY_HOME": str(home / "mart")}
    figures = home / "figures.json"
    asked = argparse.Namespace(orders=ORDERS, rate=5.0, seed=1, json=str(figures), kill=[])
    migrate = partial(migrate_all, environ=environ)
    async with running_stack(
        options_from(environ, ports="auto", tls=True), migrate_all=migrate, provision=provision
    ) as stack:
        assert stack.pki is not None
        ports = [int(stack.env[name].rpartition(":")[2]) for name in LISTENERS]
        before = [await certificate_at(port, identity(stack.pki, "operator")) for port in ports]
        for port in ports:
            with pytest.raises(OSError, match=r"(?i)alert|eof|reset|pipe"):
                await certificate_at(port, foreign_client_context(stack.pki, strangers, "operator"))
        playing = asyncio.create_task(run_demo_replay(stack, asked, environ))
        await asyncio.to_thread(pki.renew, stack.pki)
        assert await playing == 0
        after = [await certificate_at(port, identity(stack.pki, "operator")) for port in ports]
        assert not set(before) & set(after)
        assert json.loads((stack.home / "run.json").read_text())["url_internal"].startswith("https://")
        secrets = [path.read_text().strip() for path in stack.pki.glob("*.curve")]
        assert not [path for path in (stack.home / "logs").iterdir() if any(key in path.read_text() for key in secrets)]
    figures_read = json.loads(figures.read_text())
    assert sum(figures_read["outcomes"].values()) == ORDERS
