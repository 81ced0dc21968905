"""SQL templates: a marker without a part, or a part without a marker, is an error when the module is imported."""

from __future__ import annotations

import pytest

from autogrocery.gateway.store.template import fill


def test_fill_replaces_every_marker() -> None:
    assert fill("-- {point}\nSELECT {what}{also}", point="p", what="1", also="") == "-- p\nSELECT 1"


@pytest.mark.parametrize(
    "parts", [{"point": "p"}, {"point": "p", "what": "1", "more": "2"}, {"point": "p", "wat": "1"}]
)
def test_fill_refuses_parts_that_are_not_the_markers(parts: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="markers"):
        fill("-- {point}\nSELECT {what}", **parts)
