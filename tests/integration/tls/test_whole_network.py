"""The whole network over TLS and CURVE: strangers at every door, keys renewed in the midst, and every order right."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from functools import partial
from typing import TYPE_CHECKING

import pytest

from autogrocery.cli.fleet import provision
from autogrocery.cli.migrations import migrate_all
from autogrocery.cli.network import DEMO_ENVIRON
from autogrocery.cli.replaying import play
from autogrocery.lab.network import options_from, pki, running_stack
from tests.harness.places import open_place
from tests.harness.tls_ends import certificate_at, identity, intruder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ORDERS = 20
DOORS = ("ORDERING_INTERNAL_ADDR", "INVENTORY_GRPC_ADDR", "PRICING_GRPC_ADDR")


@pytest.fixture
def home() -> Iterator[Path]:
    with open_place(on_disk=True) as directory:
        yield directory


@pytest.mark.timeout(150)
async def test_a_demo_over_tls_whose_keys_are_renewed_ends_clean(home: Path, strangers: Path) -> None:
    environ = {**DEMO_ENVIRON, **os.environ, "AUTOGROCERY_HOME": str(home / "mart")}
    figures = home / "figures.json"
    asked = argparse.Namespace(orders=ORDERS, rate=5.0, seed=1, json=str(figures))
    migrate = partial(migrate_all, environ=environ)
    async with running_stack(
        options_from(environ, ports="auto", tls=True), migrate_all=migrate, provision=provision
    ) as stack:
        assert stack.pki is not None
        doors = [int(stack.env[name].rpartition(":")[2]) for name in DOORS]
        before = [await certificate_at(port, identity(stack.pki, "operator")) for port in doors]
        for port in doors:
            with pytest.raises(OSError, match=r"(?i)alert|eof|reset|pipe"):
                await certificate_at(port, intruder(stack.pki, strangers, "operator"))
        playing = asyncio.create_task(play(stack, asked, environ))
        await asyncio.to_thread(pki.renew, stack.pki)
        assert await playing == 0
        after = [await certificate_at(port, identity(stack.pki, "operator")) for port in doors]
        assert not set(before) & set(after)
        assert json.loads((stack.home / "run.json").read_text())["url_internal"].startswith("https://")
        secrets = [path.read_text().strip() for path in stack.pki.glob("*.curve")]
        assert not [path for path in (stack.home / "logs").iterdir() if any(key in path.read_text() for key in secrets)]
    told = json.loads(figures.read_text())
    assert sum(told["outcomes"].values()) == ORDERS
