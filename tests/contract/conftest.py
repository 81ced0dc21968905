from __future__ import annotations

from typing import Any

import pytest

from tests.contract.stage import FORMS, KINDS


@pytest.fixture(params=[(kind, form) for kind in KINDS for form in FORMS], ids="-".join)
def which(request: Any) -> tuple[str, str]:
    """The peer, reference or fake, and the form in which it is called."""
    kind, form = request.param
    return kind, form
