"""Every Struct that JSON is decoded into can be built by msgspec.

A field's type that is imported for the type checker only would fail at the first file or reply that is decoded.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Final

import msgspec
import pytest

import autogrocery

PACKAGE: Final = Path(autogrocery.__file__).parent
DECODED: Final = re.compile(r"(?:decode|convert|Decoder)\([^\n]*?(?:type=|Decoder\()(?:tuple\[|list\[)?([A-Z_]\w*)")
FOUND: Final = sorted(
    (".".join(("autogrocery", *file.relative_to(PACKAGE).with_suffix("").parts)), name)
    for file in PACKAGE.rglob("*.py")
    for name in set(DECODED.findall(file.read_text()))
)


def test_the_search_finds_decoded_structs() -> None:
    assert len(FOUND) > 10
    assert ("autogrocery.cli.suppliers", "TruckLogin") in FOUND


@pytest.mark.parametrize(("module", "name"), FOUND)
def test_decoder_of_a_struct_can_be_built(module: str, name: str) -> None:
    msgspec.json.Decoder(getattr(importlib.import_module(module), name))
