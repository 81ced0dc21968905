"""A gateway starts on the tables of a later version: a crash while that is rolled out must not keep it down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autogrocery.kit.pg.migrate import MigrationError, migrate, status
from tests.harness.running_gateway import serve_gateway

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db

PACKAGE = "autogrocery.gateway.store.migrations"
LATER = "INSERT INTO schema_migrations (number, name, sha256) VALUES (9999, '9999_later.sql', 'x')"


async def test_newer_tables_are_fine_for_a_start_and_not_for_migrate(gateway_dsn: str, gateway_db: Db) -> None:
    await gateway_db.run(LATER)
    async with serve_gateway(gateway_dsn) as gateway:
        await (await gateway.device()).previewed()
    for refused in (migrate(gateway_dsn, PACKAGE, "public"), status(gateway_dsn, PACKAGE, "public")):
        with pytest.raises(MigrationError, match="9999"):
            await refused
