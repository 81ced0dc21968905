"""Clusters of a test's own, where initdb runs once and each test works on a copy; and an HTTP stage, served."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from http_probe import Stage, served
from small_cluster import BINARIES

from autogrocery.kit.embedded_pg import EmbeddedPostgres
from tests.places import open_place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
async def port(stage: Stage) -> AsyncIterator[int]:
    async with served(stage) as port:
        yield port


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that other users may pass through, unlike pytest's own."""
    with open_place(on_disk=True) as directory:
        yield directory


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    with open_place(on_disk=True) as directory:
        server = EmbeddedPostgres(directory / "home", BINARIES)
        server.start()
        server.stop()
        yield directory / "home"


@pytest.fixture
def home(place: Path, template: Path) -> Path:
    """A cluster that has been started and stopped before."""
    subprocess.run(["cp", "-a", template, place / "home"], check=True)
    return place / "home"


@pytest.fixture
def server(home: Path) -> Iterator[EmbeddedPostgres]:
    running = EmbeddedPostgres(home, BINARIES)
    running.start()
    yield running
    running.stop()
