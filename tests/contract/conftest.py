from __future__ import annotations

from typing import Any

import pytest

from tests.contract.peers_under_test import KINDS


@pytest.fixture(params=KINDS)
def kind(request: Any) -> str:
    """The peer: reference or fake."""
    return str(request.param)
