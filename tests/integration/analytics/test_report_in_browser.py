"""The report's page of a replayed week, in Chromium: it asks nobody, complains of nothing and fits every width."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools.chromium import find_chromium, open_tab
from tools.sample_report import write_pages

if TYPE_CHECKING:
    from pathlib import Path

ORDERS = 1_500
WIDTHS = (360, 768, 1_440)


async def test_pages_ask_nobody_and_fit_every_width_in_both_themes_and_on_paper(tmp_path: Path) -> None:
    program = find_chromium()
    if program is None:
        pytest.skip("there is no Chromium on this machine")
    files = await write_pages(tmp_path, ORDERS, real=False)
    async with open_tab(program) as tab:
        pictures = set()
        for file in files:
            for width in WIDTHS:
                sizes = await tab.open(file.as_uri(), width, "light")
                assert (sizes.inner, sizes.scroll) == (width, width), file.name
                assert sizes.cut == [], (file.name, width)
            for scheme in ("light", "dark"):
                await tab.open(file.as_uri(), WIDTHS[0], scheme)
                pictures.add(await tab.picture(WIDTHS[0]))
            sizes = await tab.open(file.as_uri(), WIDTHS[1], "dark", media="print")
            assert sizes.scroll == WIDTHS[1]
        assert len(pictures) == 2 * len(files)
        assert set(tab.requests) == {file.as_uri() for file in files}
        assert tab.errors == []


async def test_errors_requests_and_overflow_of_a_page_are_noticed(tmp_path: Path) -> None:
    program = find_chromium()
    if program is None:
        pytest.skip("there is no Chromium on this machine")
    page = tmp_path / "bad.html"
    page.write_text(
        '<!doctype html><h1 style="width:50px;overflow:hidden;white-space:nowrap">far too long a title</h1>'
        '<div style="width:900px">.</div><img src="missing.png"><script>console.error("no");nothing()</script>'
    )
    async with open_tab(program) as tab:
        sizes = await tab.open(page.as_uri(), 360, "light")
        assert sizes.scroll >= 900
        assert sizes.cut == ["far too long a title"]
        assert any(one.endswith("missing.png") for one in tab.requests)
        assert any("ReferenceError" in one for one in tab.errors)
