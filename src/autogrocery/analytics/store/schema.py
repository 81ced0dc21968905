"""The tables: numbered SQL files, applied in order. For a cluster only the engines' names are others."""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.analytics.store import migrations
from autogrocery.kit.process.log import log
from autogrocery.kit.process.run import StartError

if TYPE_CHECKING:
    from autogrocery.analytics.store.engine import Engine

NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
TABLE: Final = re.compile(
    r"-- shard by (?P<key>[^\n]+)\nCREATE TABLE IF NOT EXISTS (?P<name>\w+) (?P<columns>\(.*?\n\)) "
    r"ENGINE = (?P<engine>\w+?MergeTree)(?:\((?P<arguments>\w+)\))?(?P<rest>.*)",
    re.DOTALL,
)
KEEPER_PATH: Final = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'"

CREATE_MIGRATIONS: Final = """
-- shard by number
CREATE TABLE IF NOT EXISTS migrations (
  number     UInt32,
  name       String,
  applied_at DateTime('UTC') DEFAULT now('UTC')
) ENGINE = ReplacingMergeTree
ORDER BY number
"""
LIST_MIGRATIONS: Final = """
-- schema.list_migrations
SELECT DISTINCT number, name FROM migrations ORDER BY number
"""
ADD_MIGRATION: Final = """
-- schema.add_migration
INSERT INTO migrations (number, name)
"""
STATEMENT: Final = """
-- schema.migrate
{statement}
"""
KEEP: Final = """
-- schema.keep
ALTER TABLE {table} MODIFY TTL {written_at} + INTERVAL {days} DAY SETTINGS materialize_ttl_after_modify = 0
"""


class Migration(Struct, frozen=True):
    """One file that was applied."""

    number: int
    name: str


class Retention(Struct, frozen=True):
    """For how many days facts and the figures of minutes are kept after they were written, whenever they occurred."""

    facts_days: int
    minutes_days: int


def files() -> dict[Migration, list[str]]:
    """Return the statements of every migration, in order."""
    found: dict[Migration, list[str]] = {}
    for entry in sorted(resources.files(migrations).iterdir(), key=lambda entry: entry.name):
        if match := NAME.fullmatch(entry.name):
            text = entry.read_text(encoding="utf-8")
            found[Migration(int(match[1]), entry.name)] = [part for part in text.split(";\n") if part.strip()]
    return found


def clustered(statement: str, cluster: str) -> list[str]:
    """Return what creates the table on every replica of `cluster`, and the one that spreads rows over its shards.

    Raises ValueError if the statement is not of the form that the files have.
    """
    found = TABLE.search(statement)
    if found is None:
        raise ValueError("a migration is not `-- shard by …` and CREATE TABLE IF NOT EXISTS")
    name, columns = found["name"], found["columns"]
    arguments = f"{KEEPER_PATH}, {found['arguments']}" if found["arguments"] else KEEPER_PATH
    engine = f"Replicated{found['engine']}({arguments})"
    spread = f"Distributed({cluster}, currentDatabase(), {name}_local, {found['key']})"
    return [
        f"CREATE TABLE IF NOT EXISTS {name}_local ON CLUSTER {cluster} {columns} ENGINE = {engine}{found['rest']}",
        f"CREATE TABLE IF NOT EXISTS {name} ON CLUSTER {cluster} AS {name}_local ENGINE = {spread}",
    ]


async def migrate(engine: Engine, cluster: str = "") -> None:
    """Apply the files that the store lacks. Each statement may be repeated, so that a crash between two does no harm.

    Raises StartError for a store of a newer version, and Unavailable.
    """
    for statement in _for(CREATE_MIGRATIONS, cluster):
        await engine.run(STATEMENT, statement=statement)
    done = await engine.rows(LIST_MIGRATIONS, Migration)
    known = files()
    if unknown := [one.name for one in done if one not in known]:
        raise StartError(f"the store has migrations that this version lacks ({unknown[0]}): install the newer version")
    for migration, statements in known.items():
        if migration in done:
            continue
        for statement in statements:
            for one in _for(statement, cluster):
                await engine.run(STATEMENT, statement=one)
        await engine.insert(ADD_MIGRATION, [migration])
        log.info("store_migrated", migration=migration.name)


async def keep(engine: Engine, retention: Retention, cluster: str = "") -> None:
    """Set for how long rows are kept; parts are dropped as a whole once all their rows have expired."""
    for table, written_at, days in (
        ("facts", "toDateTime(intDiv(batch, 1000000))", retention.facts_days),
        ("order_minutes", "computed_at", retention.minutes_days),
        *((table, "written_at", retention.facts_days) for table in ("short_lines", "delivered", "picks")),
    ):
        place = f"{table}_local ON CLUSTER {cluster}" if cluster else table
        await engine.run(KEEP, table=place, written_at=written_at, days=days)


def _for(statement: str, cluster: str) -> list[str]:
    return clustered(statement, cluster) if cluster else [statement]
