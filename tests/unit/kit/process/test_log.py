"""Log lines: one JSON object each, without secrets; a line that can't be written never fails its caller."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

SCRIPT = """
import logging, os, sys
from autogrocery.kit.process import log
log.configure("gateway")
if os.environ.get("CLOSE") == "reader":
    os.dup2(os.open("/dev/full", os.O_WRONLY), 2)
elif os.environ.get("CLOSE") == "stderr":
    sys.stderr.close()
elif os.environ.get("CLOSE") == "none":
    sys.stderr = None
values = {"surrogate": "\\ud800", "huge": 1 << 80, "object": object, "password": "hidden-value"}
log.log.info("order_dispatched", **values)
logging.getLogger("library").warning("something %s", "odd")
print("went on", log.log.lost)
"""


def run(close: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**os.environ, "CLOSE": close}, capture_output=True, text=True, check=False
    )


def test_every_value_is_written_and_secrets_are_redacted() -> None:
    ran = run("")
    lines: list[dict[str, Any]] = [json.loads(line) for line in ran.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["order_dispatched", "library_warned"]
    assert lines[0]["surrogate"] == "\ud800"
    assert lines[0]["huge"] == 1 << 80
    assert lines[0]["password"] == "[redacted]"
    assert "hidden-value" not in ran.stderr
    assert ran.stdout == "went on 0\n"


@pytest.mark.parametrize("close", ["reader", "stderr", "none"])
def test_a_line_that_cannot_be_written_is_counted_and_the_caller_goes_on(close: str) -> None:
    assert run(close).stdout == "went on 2\n"
