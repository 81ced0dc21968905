from __future__ import annotations

import sys
from pathlib import Path

# The replay is tried against the same small gateway as the client.
sys.path.insert(0, str(Path(__file__).parents[1] / "client"))
