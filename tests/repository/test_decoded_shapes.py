"""What is decoded into a shape can be: a name that only the type checker imports is missed when the first file or answer comes."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Final

import msgspec
import pytest

import autogrocery

PACKAGE: Final = Path(autogrocery.__file__).parent
SHAPE: Final = re.compile(r"(?:decode|convert|Decoder)\([^\n]*?(?:type=|Decoder\()(?:tuple\[|list\[)?([A-Z_]\w*)")
FOUND: Final = sorted(
    (".".join(("autogrocery", *file.relative_to(PACKAGE).with_suffix("").parts)), name)
    for file in PACKAGE.rglob("*.py")
    for name in set(SHAPE.findall(file.read_text()))
)


def test_the_shapes_are_found() -> None:
    assert len(FOUND) > 10
    assert ("autogrocery.cli.suppliers", "TruckLogin") in FOUND


@pytest.mark.parametrize(("module", "name"), FOUND)
def test_a_shape_that_is_decoded_is_known_when_it_is_needed(module: str, name: str) -> None:
    msgspec.json.Decoder(getattr(importlib.import_module(module), name))
