"""CPU is told by process: a gateway's children by their role, and not as the gateway's own."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from bench.proc import cpu_by_name_s, describe, role_of_child

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY = "import time\nwhile time.process_time() < 0.3: pass\nprint('busy', flush=True)\nimport sys; sys.stdin.read()"
# A parent that starts a child `-m autogrocery notifier`, a password worker and another, and waits for its input's end.
PARENT = """
import subprocess, sys
words = (["-m", "autogrocery", "notifier"], ["-P", "-m", "kit.security.password_worker"], ["other"])
pipe = subprocess.PIPE
children = [subprocess.Popen([sys.executable, sys.argv[1], *each], stdin=pipe, stdout=pipe) for each in words]
for child in children:
    child.stdout.readline()
subprocess.run([sys.executable, sys.argv[1]], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.communicate()


def test_children_of_a_gateway_count_by_their_role(tmp_path: Path) -> None:
    busy = tmp_path / "busy.py"
    busy.write_text(BUSY)
    with started("-c", PARENT, str(busy)) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        found = cpu_by_name_s({"gateway-0": parent.pid})
    assert found["notifier"] >= 0.25
    assert found["password workers"] >= 0.25
    assert found["other children"] >= 0.5  # one that runs, and one that has ended
    assert found["gateway"] < 0.25
    assert found.keys() == {"gateway", "notifier", "password workers", "other children"}


@pytest.mark.parametrize(
    ("arguments", "role"),
    [
        (("-m", "autogrocery", "notifier"), "notifier"),
        (("-P", "-m", "autogrocery.notifier"), "notifier"),
        (("-m", "autogrocery.kit.security.password_worker"), "password workers"),
        (("/tmp/notifier/program", "notifiers"), "other children"),
    ],
)
def test_role_is_told_by_a_whole_word_of_the_command_line(arguments: tuple[str, ...], role: str) -> None:
    with started("-c", "import sys; print('ready', flush=True); sys.stdin.read()", *arguments) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"  # the kernel sets the command line while it starts the program
        assert role_of_child(process.pid) == role


def test_process_that_has_ended_is_an_other_child_and_costs_nothing() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert role_of_child(process.pid) == "other children"
    assert cpu_by_name_s({"pricing": process.pid}) == {"pricing": 0.0}


def test_description_names_build_and_libraries_of_this_python() -> None:
    machine = describe("16.1")
    assert machine.python == ".".join(map(str, sys.version_info[:3]))
    assert "--enable-optimizations" in machine.build
    assert {"uvloop", "asyncpg", "msgspec"} <= machine.packages.keys()
