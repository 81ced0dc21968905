"""Open a database at the start of a role; whatever is wrong with it is one line for the operator."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import asyncpg

from autogrocery.kit.errors import Unavailable
from autogrocery.kit.pg.db import open_db
from autogrocery.kit.pg.diagnosis import explain
from autogrocery.kit.pg.migrate import MigrationError, status
from autogrocery.kit.process.run import StartError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from autogrocery.kit.pg.db import Db


@contextmanager
def explained(setting: str, dsn: str) -> Iterator[None]:
    """Turn an error of the database of `dsn` into a StartError that names `setting`, the reason and what to do."""
    try:
        yield
    except MigrationError as error:
        raise StartError(f"{setting}: {error}") from None
    except Unavailable as error:
        raise StartError(f"{setting}: {error.detail}") from None
    except asyncpg.PostgresError as error:
        raise StartError(f"{setting}: {explain(error, dsn)}") from None


@asynccontextmanager
async def open_migrated(
    setting: str,
    dsn: str,
    package: str,
    schema: str,
    *,
    application: str,
    max_size: int = 10,
    batch_connections: int = 2,
    batches: bool = True,
    direct_dsn: str = "",
) -> AsyncIterator[Db]:
    """Open a pool, as `open_db`, on a database that has every migration of `package` in `schema`.

    Raises StartError naming `setting`.
    """
    opening = open_db(
        dsn,
        application=application,
        max_size=max_size,
        batch_connections=batch_connections,
        batches=batches,
        direct_dsn=direct_dsn,
    )
    async with AsyncExitStack() as stack:
        with explained(setting, dsn):
            missing = [
                one.name
                for one in await status(direct_dsn or dsn, package, schema, newer_is_fine=True)
                if not one.applied
            ]
            db = await stack.enter_async_context(opening)
        if missing:
            raise StartError(
                f"{setting}: the database lacks {len(missing)} migrations, {missing[0]} first: run autogrocery migrate"
            )
        yield db


@asynccontextmanager
async def open_read_only(
    setting: str, dsn: str, *, application: str, max_size: int, statement_timeout_ms: int
) -> AsyncIterator[Db]:
    """Open a small pool whose transactions can't write, on a database that is migrated already.

    Raises StartError naming `setting`.
    """
    opening = open_db(
        dsn,
        application=application,
        max_size=max_size,
        batch_connections=1,
        statement_timeout_ms=statement_timeout_ms,
        read_only=True,
    )
    async with AsyncExitStack() as stack:
        with explained(setting, dsn):
            db = await stack.enter_async_context(opening)
        yield db
