from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from tests.repository.markdown import anchors, rows
from tests.repository.tracked import ROOT, tracked

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENTS = [path for path in tracked() if path.suffix == ".md"]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
DECISION = ("Context", "Decision", "Consequences", "Alternatives")
SCREEN_LINES = 40
README_LINES = 150
GLOSSARY = ROOT / "docs" / "GLOSSARY.md"


def source() -> str:
    """Return the text that a glossary may name: code, SQL and wire formats."""
    kinds = ("*.py", "*.sql", "*.proto", "*.fbs")
    return "\n".join(path.read_text(encoding="utf-8") for kind in kinds for path in (ROOT / "src").rglob(kind))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_to_a_file_and_a_heading(document: Path) -> None:
    for link in LINK.findall(document.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        place, _, anchor = unquote(link).partition("#")
        target = (document.parent / place).resolve() if place else document
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(target), link


def test_every_name_of_the_glossary_is_in_the_source() -> None:
    text = source() + (ROOT / "docs" / "SETTINGS.md").read_text(encoding="utf-8")
    names = {name for row in rows(GLOSSARY) for name in re.findall(r"`([^`]+)`", row)}
    assert len(names) > 40
    assert [name for name in sorted(names - {"audit.sql"}) if not re.search(rf"\b{re.escape(name)}\b", text)] == []


def test_the_glossary_is_sorted() -> None:
    words = [row.split("|")[1].strip() for row in rows(GLOSSARY)]
    assert words == sorted(words)


def test_the_readme_has_at_most_150_lines() -> None:
    assert (ROOT / "README.md").read_text(encoding="utf-8").count("\n") <= README_LINES


@pytest.mark.parametrize("document", sorted((ROOT / "docs" / "decisions").glob("*.md")), ids=lambda path: path.name)
def test_a_decision_has_its_four_parts_on_one_screen(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert text.startswith(f"# {document.name[:4]} ")
    assert [part for part in DECISION if f"**{part}.**" not in text] == []
    assert text.count("\n") <= SCREEN_LINES


def test_the_runbook_names_log_events_that_exist() -> None:
    text = source()
    table = (ROOT / "docs" / "RUNBOOK.md").read_text(encoding="utf-8").split("| event |")[1].split("\n\n")[0]
    events = re.findall(r"^\| `([a-z_]+)`", table, re.MULTILINE)
    assert events
    assert [event for event in events if f'"{event}"' not in text] == []


def test_generated_documents_are_what_their_source_says() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "tools.gen", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
