"""The .proto files stay what peers were built from: linted, and compared with the copy that last landed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUF = Path(sys.executable).parent / "buf"
BASELINE = ROOT / "docs" / "proto-baseline.json"
CONTRACTS = Path("src/autogrocery/contracts")
INVENTORY = CONTRACTS / "inventory/v1/inventory.proto"


def buf(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BUF, *words], cwd=directory, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A directory with the .proto files and buf's settings."""
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    for proto in (ROOT / CONTRACTS).rglob("*.proto"):
        into = tmp_path / proto.relative_to(ROOT)
        into.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(proto, into)
    return tmp_path


def test_the_files_are_clean_and_break_nothing(copy: Path) -> None:
    for words in (("lint",), ("breaking", "--against", str(BASELINE))):
        ended = buf(copy, *words)
        assert (ended.returncode, ended.stdout) == (0, ""), ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("  int32 hold_seconds = 3;\n", ""),
        ("  int32 hold_seconds = 3;\n", "  int32 hold_seconds = 9;\n"),
        ("  int32 hold_seconds = 3;\n", "  string hold_seconds = 3;\n"),
        ("  ITEMS_DIFFER = 3;\n", "  ITEMS_ARE_OTHERS = 3;\n"),
        ("  rpc GetOrder(GetOrderRequest) returns (GetOrderResponse);\n", ""),
    ],
)
def test_a_change_that_breaks_peers_is_found(copy: Path, line: str, instead: str) -> None:
    text = (copy / INVENTORY).read_text()
    assert line in text
    (copy / INVENTORY).write_text(text.replace(line, instead))
    ended = buf(copy, "breaking", "--against", str(BASELINE))
    assert ended.returncode == 100, ended.stderr
    assert re.search(r"inventory\.proto:\d+", ended.stdout)


def test_an_addition_breaks_nothing_and_asks_for_a_new_baseline(copy: Path) -> None:
    text = (copy / INVENTORY).read_text()
    (copy / INVENTORY).write_text(
        text.replace("  int32 hold_seconds = 3;\n", "  int32 hold_seconds = 3;\n  string note = 9;\n")
    )
    assert buf(copy, "breaking", "--against", str(BASELINE)).returncode == 0
    assert image(copy) != json.loads(BASELINE.read_text())


def test_the_baseline_has_every_addition() -> None:
    """If it differs, run `make proto-baseline`: what has landed may not be taken back."""
    assert image(ROOT) == json.loads(BASELINE.read_text())


def image(directory: Path) -> object:
    ended = buf(directory, "build", "--as-file-descriptor-set", "--exclude-source-info", "-o", "-#format=json")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)
