"""Keys for tests: those of a network, and keys with the same names of another CA."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from autogrocery.lab.network import pki
from tests.harness.homes import temporary_home

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def _made() -> Iterator[Path]:
    with temporary_home() as home:
        for name in ("ours", "strangers"):
            pki.init(home / name)
        yield home


@pytest.fixture(scope="session")
def keys(_made: Path) -> Path:
    """The network's keys; read only."""
    return _made / "ours"


@pytest.fixture(scope="session")
def strangers(_made: Path) -> Path:
    """Certificates with the same names, issued by another CA, and that CA."""
    return _made / "strangers"


@pytest.fixture
def own_keys(keys: Path, tmp_path: Path) -> Path:
    """A copy of the network's keys that a test may change."""
    return Path(shutil.copytree(keys, tmp_path / "keys"))
