from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.robot_network import RobotNetwork

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def network(tmp_path: Path) -> RobotNetwork:
    return RobotNetwork(tmp_path)
