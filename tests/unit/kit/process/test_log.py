"""Log lines: one JSON object each, without secrets; a line that can't be written never fails its caller."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
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


TURNS = """
import asyncio, os, sys
from autogrocery.kit.process.log import log
writes = []
class Stderr:
    class buffer:
        write, flush = staticmethod(writes.append), staticmethod(lambda: None)
real, sys.stderr = sys.stderr, Stderr
async def main():
    for number in range(3):
        log.info("order_finished", number=number)
    assert not writes
    await asyncio.sleep(0)
    log.info("order_finished", number=3)
    log.warning("peer_rejected")
    assert len(writes) == 2 and writes[1].count(b"\\n") == 2, writes
    for number in range(300):
        log.info("order_finished", number=number)
    assert len(writes) == 3, len(writes)
asyncio.run(main())
log.info("loop_ended")
sys.stderr = real
sys.stderr.buffer.write(b"".join(writes))
"""


def test_usual_lines_of_one_turn_of_the_loop_leave_in_one_write_and_none_is_lost_when_the_loop_ends() -> None:
    ran = subprocess.run([sys.executable, "-c", TURNS], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["order_finished"] * 4 + ["peer_rejected"] + [
        "order_finished"
    ] * 300 + ["loop_ended"]


def test_a_line_is_stamped_with_the_time_in_utc_to_the_microsecond() -> None:
    before = datetime.now(UTC)
    ran = run("")
    stamp = json.loads(ran.stderr.splitlines()[0])["timestamp"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", stamp)
    assert before - timedelta(milliseconds=1) <= datetime.fromisoformat(stamp) <= datetime.now(UTC)
