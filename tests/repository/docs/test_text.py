from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from .conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
DECISION = ("Context", "Decision", "Consequences", "Alternatives")
SCREEN_LINES = 50


def anchors(document: Path) -> set[str]:
    """Return the names under which GitHub finds the headings of a document."""
    headings = HEADING.findall(document.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def source() -> str:
    """Return all that a glossary may name: code, SQL and wire formats."""
    kinds = ("*.py", "*.sql", "*.proto", "*.fbs")
    return "\n".join(path.read_text(encoding="utf-8") for kind in kinds for path in (ROOT / "src").rglob(kind))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_relative_links_lead_somewhere(document: Path) -> None:
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
    rows = [
        line
        for line in (ROOT / "docs" / "GLOSSARY.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    names = {name for row in rows[2:] for name in re.findall(r"`([^`]+)`", row)}
    assert len(names) > 40
    assert [name for name in sorted(names - {"audit.sql"}) if not re.search(rf"\b{re.escape(name)}\b", text)] == []


def test_the_glossary_is_sorted() -> None:
    rows = [
        line
        for line in (ROOT / "docs" / "GLOSSARY.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    words = [row.split("|")[1].strip() for row in rows[2:]]
    assert words == sorted(words)


@pytest.mark.parametrize("document", sorted((ROOT / "docs" / "decisions").glob("*.md")), ids=lambda path: path.name)
def test_a_decision_says_all_four_things_on_one_screen(document: Path) -> None:
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
