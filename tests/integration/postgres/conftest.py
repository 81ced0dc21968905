"""A PostgreSQL cluster for each test: initdb runs once, every test uses a copy."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from autogrocery.lab.postgres.embedded import EmbeddedPostgres
from tests.harness.homes import temporary_home
from tests.harness.small_cluster import BINARIES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that other accounts may enter, unlike pytest's."""
    with temporary_home(on_disk=True) as directory:
        yield directory


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    with temporary_home(on_disk=True) as directory:
        server = EmbeddedPostgres(directory / "home", BINARIES)
        server.start()
        server.stop()
        yield directory / "home"


@pytest.fixture
def home(place: Path, template: Path) -> Path:
    """The home of a cluster that has been started and stopped before."""
    subprocess.run(["cp", "-a", template, place / "home"], check=True)
    return place / "home"


@pytest.fixture
def server(home: Path) -> Iterator[EmbeddedPostgres]:
    running = EmbeddedPostgres(home, BINARIES)
    running.start()
    yield running
    running.stop()
