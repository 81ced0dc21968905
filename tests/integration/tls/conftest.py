"""Keys for tests: those of a network, and those of a stranger who calls himself the same."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from autogrocery.lab.network import pki
from tests.harness.places import open_place

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def _made() -> Iterator[Path]:
    with open_place() as home:
        for name in ("ours", "strangers"):
            pki.init(home / name)
        yield home


@pytest.fixture(scope="session")
def keys(_made: Path) -> Path:
    """The network's keys; for reading only."""
    return _made / "ours"


@pytest.fixture(scope="session")
def strangers(_made: Path) -> Path:
    """The same names by another CA, which believes only itself."""
    return _made / "strangers"


@pytest.fixture
def own_keys(keys: Path, tmp_path: Path) -> Path:
    """A copy of the network's keys to change."""
    return Path(shutil.copytree(keys, tmp_path / "keys"))
