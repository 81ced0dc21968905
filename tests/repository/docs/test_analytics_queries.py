"""docs/ANALYTICS.md shows each query of the report as it is run: every number has its query."""

from __future__ import annotations

import pytest

from autogrocery.analytics.store import fact_store, report
from tests.repository.tracked import ROOT

QUERIES = {
    **{name: text for name, text in vars(report).items() if name.isupper() and isinstance(text, str)},
    "ADD_MINUTES": fact_store.ADD_MINUTES,
}


@pytest.mark.parametrize("name", QUERIES)
def test_page_shows_the_query_that_is_run(name: str) -> None:
    lines = [line for line in QUERIES[name].strip().splitlines() if not line.startswith("--")]
    assert "\n".join(["```sql", *lines, "```"]) in (ROOT / "docs" / "ANALYTICS.md").read_text(encoding="utf-8")
