from __future__ import annotations

from tests.repository.markdown import blocks
from tests.repository.tracked import ROOT

from .sample_receipt import sample


def test_receipt_in_the_tour_is_the_text_that_a_gateway_writes() -> None:
    """If it differs, `python -m tests.repository.docs.sample_receipt` prints the right one."""
    assert sample() in blocks(ROOT / "docs" / "TOUR.md", "text")
