"""The version that landed last and this one share a database while one replaces the other, and back.

A roll-out (docs/RUNBOOK.md#roll-out-a-version) migrates, then restarts one gateway after the other. A roll-back is the
same without the migration: the version before runs on this version's tables.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from autogrocery.kit.pg.migrate import migrate
from tests.harness.debian import debian_program
from tests.harness.gateway_pair import gateway_pair

if TYPE_CHECKING:
    from autogrocery.lab.postgres.embedded import EmbeddedPostgres

pytestmark = pytest.mark.timeout(240)
ROOT = Path(__file__).parents[3]
GOES_BACK = False  # the version that landed last refuses to start on the tables of a later one; this one does not
LANDED = Path(__file__).parent / "last_landed_commit"  # the commit that this version replaces


@pytest.fixture(scope="module")
def version_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the packages of the version that landed last; skips where its commit is not in the clone."""
    debian_program("haproxy")
    directory = tmp_path_factory.mktemp("landed")
    git = ["git", "-C", str(ROOT)]
    archive = subprocess.run(
        [*git, "archive", LANDED.read_text().strip(), "src"], capture_output=True, check=False, timeout=60
    )
    if archive.returncode:
        pytest.skip("the version that landed last is not in this clone, which is shallow")
    subprocess.run(["tar", "-x", "-C", str(directory)], input=archive.stdout, check=True, timeout=60)
    return directory / "src"


def test_versions_replace_each_other_without_a_failed_request(
    postgres: EmbeddedPostgres, version_before: Path, tmp_path: Path
) -> None:
    asyncio.run(postgres.ensure_database("adjacent"))
    dsn = postgres.dsn("adjacent")
    migrated = subprocess.run(
        [sys.executable, "-m", "autogrocery", "migrate"],
        env=os.environ | {"PYTHONPATH": str(version_before), "DATABASE_URL": dsn},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert migrated.returncode == 0, migrated.stderr

    async def roll_out_and_back() -> None:
        async with gateway_pair(dsn, tmp_path, version_before) as pair, pair.ordering() as outcome:
            await migrate(dsn, "autogrocery.gateway.store.migrations", "public")
            await pair.restart_in_turn(outcome, drained=True)  # the version before may not know STOP_DELAY_S
            if GOES_BACK:
                await pair.restart_in_turn(outcome, version_before)

    asyncio.run(roll_out_and_back())
