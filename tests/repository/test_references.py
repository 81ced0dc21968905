"""Every reference to a page of docs/ that stands in a text file, comments and docstrings included, leads somewhere."""

from __future__ import annotations

import re

from .markdown import anchors
from .tracked import ROOT, text_files, text_of

REFERENCE = re.compile(r"\bdocs/((?:[\w-]+/)*[\w-]+\.md)(?:#([\w-]+))?")
PARAGRAPH = re.compile(r"\b(?:CONTRACT|PROTOCOL)(?:\.md)?\s*§")


def test_references_to_docs_name_a_page_and_a_heading_that_exist() -> None:
    dangling = []
    seen = 0
    for path in text_files():
        for page, anchor in REFERENCE.findall(text_of(path) or ""):
            seen += 1
            target = ROOT / "docs" / page
            if not target.exists() or (anchor and anchor not in anchors(target)):
                dangling.append(f"{path.relative_to(ROOT)}: docs/{page}{'#' * bool(anchor)}{anchor}")
    assert seen > 10
    assert not dangling, "\n".join(dangling)


def test_no_text_refers_to_a_page_by_paragraph_number() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in text_files()
        for number, line in enumerate((text_of(path) or "").splitlines(), 1)
        if PARAGRAPH.search(line)
    ]
    assert not found, "\n".join(found)
