from __future__ import annotations

from .conftest import ROOT, blocks
from .sample_receipt import sample


def test_the_receipt_in_the_readme_is_what_a_gateway_writes() -> None:
    """If it is not, `python -m tests.repository.docs.sample_receipt` prints what it should be."""
    assert sample() in blocks(ROOT / "README.md", "text")
