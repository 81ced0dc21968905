"""Damaged parts of the embedded store: set aside, and what they held is asked for again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from autogrocery.analytics.store.engine import quoted
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from autogrocery.analytics.store.engine import Engine

TABLES: Final = ("facts", "order_minutes", "marks", "progress", "poison", "short_lines", "delivered", "picks")

LIST_DETACHED: Final = """
-- damage.list_detached
SELECT table, name AS part FROM system.detached_parts
 WHERE database = currentDatabase() AND startsWith(ifNull(reason, ''), 'broken')
"""
CHECK: Final = """
-- damage.check
CHECK TABLE {table} SETTINGS check_query_single_value_result = 0
"""
DETACH: Final = """
-- damage.detach
ALTER TABLE {table} DETACH PART {part}
"""
FORGET_MARKS: Final = """
-- damage.forget_marks
TRUNCATE TABLE marks
"""
MARK_FACTS: Final = """
-- damage.mark_facts
INSERT INTO marks (epoch, first, last)
SELECT epoch, min(sequence), max(sequence)
  FROM (SELECT epoch, sequence, sequence - row_number() OVER (PARTITION BY epoch ORDER BY sequence) AS run
          FROM (SELECT DISTINCT epoch, sequence FROM facts WHERE sequence > 0))
 GROUP BY epoch, run
"""


class Part(Struct, frozen=True):
    """A part of a table; `part` is its name, of a detached one with the reason before it."""

    table: str
    part: str


class _Checked(Struct, frozen=True):
    part_path: str
    is_passed: bool
    message: str


async def set_aside(engine: Engine) -> list[Part]:
    """Check every part of every table and detach those that can't be read; return them. The files stay on disk."""
    found = []
    for table in TABLES:
        for checked in await engine.rows(CHECK, _Checked, table=table):
            if not checked.is_passed:
                part = checked.part_path.rstrip("/").rsplit("/", 1)[-1]
                await engine.run(DETACH, table=table, part=quoted(part))
                log.error("damaged_part_set_aside", table=table, part=part, reason=checked.message[:200])
                found.append(Part(table, part))
    return found


async def list_detached(engine: Engine) -> list[Part]:
    """Return the parts that the engine itself set aside when it was opened."""
    return await engine.rows(LIST_DETACHED, Part)


async def mark_facts_again(engine: Engine) -> None:
    """Replace all marks by what the facts show: every number that was lost with a part is missing again.

    A crash in between leaves too few marks, never too many: the metrics log is asked for more than is missing.
    """
    await engine.run(FORGET_MARKS)
    await engine.run(MARK_FACTS)
