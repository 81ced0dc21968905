"""Invariants as SQL: a file of queries, each of which returns the rows that violate one invariant.

Each query stands below a line `-- invariant: name — sentence` and ends at the next such line; any row it returns is a
violation. Each query can be run by hand.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from autogrocery.kit.pg.db import Db

HEADING = re.compile(r"^-- invariant: (?P<name>[a-z0-9_]+) — (?P<sentence>.+)$", re.MULTILINE)
EXAMPLES = 5


class InvariantQuery(Struct, frozen=True):
    """One invariant of the file and the query that finds its violations."""

    name: str
    sentence: str
    sql: str


class InvariantResult(Struct, frozen=True):
    """The result of one invariant: the number of violations and up to EXAMPLES of them, as JSON objects."""

    name: str
    sentence: str
    violations: int
    examples: tuple[str, ...]


def queries(package: str, file: str = "audit.sql") -> list[InvariantQuery]:
    """Return the invariants of a file in `package`; raises ValueError if there is none, or if a name is repeated."""
    text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
    found = list(HEADING.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    listed = [
        InvariantQuery(match["name"], match["sentence"], text[match.end() : end].strip().rstrip(";"))
        for match, end in zip(found, ends, strict=True)
    ]
    if not listed or len({query.name for query in listed}) != len(listed):
        raise ValueError(f"{package}/{file} names no invariant, or one twice")
    return listed


async def violations(db: Db, package: str, file: str = "audit.sql") -> list[InvariantResult]:
    """Run every query of the file, in order, each in a snapshot of its own, and return the results."""
    return [await _run(db, query) for query in queries(package, file)]


async def _run(db: Db, query: InvariantQuery) -> InvariantResult:
    rows = await db.rows(
        f"-- audit.{query.name}\nWITH violating AS (\n{query.sql}\n)\n"
        "SELECT row_to_json(violating)::text AS example, count(*) OVER () AS violations FROM violating"
        f" LIMIT {EXAMPLES}"
    )
    count = rows[0]["violations"] if rows else 0
    return InvariantResult(query.name, query.sentence, count, tuple(row["example"] for row in rows))
