from __future__ import annotations

from typing import Any

import pytest

from tests.contract.peers_under_test import FORMS, KINDS


@pytest.fixture(params=[(kind, form) for kind in KINDS for form in FORMS], ids="-".join)
def which(request: Any) -> tuple[str, str]:
    """The peer, reference or fake, and the form of its calls, unary or stream."""
    kind, form = request.param
    return kind, form
