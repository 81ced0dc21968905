"""Commands on enrolment codes: add, list, revoke."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.table import Table

from autogrocery.cli.console import show
from autogrocery.cli.database import dsn_of, run_with_database
from autogrocery.gateway.core.enrolment import digest_of, new_code
from autogrocery.gateway.store import enrolments
from autogrocery.kit.pg.db import open_db

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

LISTED = 1_000
MAX_USES, MAX_DAYS = 100_000, 3_650


def run_add(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Create a code and print it; it can't be read again."""
    if arguments.uses > MAX_USES or arguments.days > MAX_DAYS:
        raise SystemExit(f"at most {MAX_USES:,} uses and {MAX_DAYS:,} days")
    code = new_code()

    async def work() -> int:
        async with open_db(dsn_of(environ), application="enrolment") as db:
            code_id = await enrolments.add(db, digest_of(code), arguments.uses, arguments.days)
        print(f"code {code_id} added: {arguments.uses} uses, {arguments.days} days")
        print(f"enrolment_code {code}")
        return 0

    return run_with_database(work)


def run_list(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """List codes, newest first, without their text."""

    async def work() -> int:
        async with open_db(dsn_of(environ), application="enrolment") as db:
            found = await enrolments.list_codes(db, LISTED)
        table = Table("code_id", "uses left", "made", "until", "state")
        for one in found:
            made, until = (f"{at:%Y-%m-%d %H:%M}" for at in (one.created_at, one.expires_at))
            table.add_row(str(one.code_id), f"{one.uses_left} of {one.uses}", made, until, one.state)
        show(found, table, as_json=arguments.json)
        return 0

    return run_with_database(work)


def run_revoke(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Revoke a code: no further device can register with it."""

    async def work() -> int:
        async with open_db(dsn_of(environ), application="enrolment") as db:
            done = await enrolments.revoke(db, arguments.code_id)
        if not done:
            print(f"no code {arguments.code_id}", file=sys.stderr)
            return 1
        print(f"code {arguments.code_id} revoked")
        return 0

    return run_with_database(work)
