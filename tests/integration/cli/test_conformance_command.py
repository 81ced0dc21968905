"""The command `conformance`, run as a process: exit code, report, files."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from autogrocery.lab.ports import free_ports
from tests.contract.small_peers import ROBOT_ID, ROBOT_TOKEN, Register, SmallInventory, SmallPricing
from tests.contract.small_peers import serve_inventory as serve_small_inventory
from tests.contract.small_peers import serve_pricing as serve_small_pricing
from tests.integration.cli.test_command_line import run

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

PATIENCE = ("--patience", "5")


async def run_beside(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(run, "conformance", *words, *PATIENCE, **environ)


@pytest.mark.parametrize("transport", ["h2", "grpcio"])
async def test_conforming_pricing_is_exit_0_with_a_table_and_files(tmp_path: Path, transport: str) -> None:
    async with serve_small_pricing(SmallPricing({})) as target:
        files = ("--json", str(tmp_path / "out" / "report.json"), "--html", str(tmp_path / "report.html"))
        ended = await run_beside("pricing", "--target", target, "--transport", transport, *files)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"CONFORMS: 17 passed, 0 failed, 1 not checked", ended.stdout)
    assert re.search(r"R1 .*not checked", ended.stdout)
    told = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (told["ok"], told["passed"], told["failed"], told["not_checked"]) == (True, 17, 0, 1)
    assert {"line_id", "promise", "link", "outcome", "took_s", "detail", "exchanges"} == set(told["lines"][0])
    assert "CONFORMS" in (tmp_path / "report.html").read_text()


class TotalIsNotTheSum(SmallPricing):
    def total(self, lines: Any) -> int:
        return super().total(lines) + 1


async def test_broken_pricing_is_exit_1_with_what_was_asked_and_answered(tmp_path: Path) -> None:
    async with serve_small_pricing(TotalIsNotTheSum({})) as target:
        files = ("--json", str(tmp_path / "report.json"), "--html", str(tmp_path / "report.html"))
        ended = await run_beside("pricing", "--target", target, "--only", "Q1,Q2", *files)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "Q1 failed: the lines' sum is" in ended.stdout
    assert "promised in docs/CONTRACT.md#grpc" in ended.stdout
    assert re.search(r"asked +Quote \{ order_id", ended.stdout)
    assert re.search(r"answered \{ order_id.*total_cents", ended.stdout)
    assert "DOES NOT CONFORM: 1 passed, 1 failed, 0 not checked" in ended.stdout
    first = json.loads((tmp_path / "report.json").read_text())["lines"][0]
    assert (first["outcome"], bool(first["exchanges"])) == ("failed", True)
    assert "total_cents" in (tmp_path / "report.html").read_text()


async def test_robot_token_is_read_from_the_environment_and_never_printed() -> None:
    async with serve_small_inventory(SmallInventory(Register())) as target:
        robot = ("--robot-id", ROBOT_ID)
        ended = await run_beside("inventory", "--target", target, "--only", "K3.3,W1", *robot, ROBOT_TOKEN=ROBOT_TOKEN)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 passed, 0 failed, 1 not checked" in ended.stdout
    assert "no --webhook-listen" in ended.stdout
    assert ROBOT_TOKEN not in ended.stdout + ended.stderr


async def test_a_run_that_checks_nothing_is_no_success() -> None:
    async with serve_small_pricing(SmallPricing({})) as target:
        ended = await run_beside("pricing", "--target", target, "--only", "R1")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "NOTHING WAS CHECKED: 0 passed, 0 failed, 1 not checked" in ended.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--target", "127.0.0.1:{port}"), "no pricing answers at 127.0.0.1:"),
        (("--target", "nowhere"), "--target"),
        (("--target", "127.0.0.1:{port}", "--only", "X9"), "names no line; there are P1, P2"),
    ],
)
def test_what_cannot_be_checked_is_exit_2_and_one_line(words: tuple[str, ...], says: str) -> None:
    port = free_ports(1)[0]
    ended = run("conformance", "pricing", *(word.format(port=port) for word in words))
    assert ended.returncode == 2
    assert says in ended.stderr
    assert ended.stderr.count("\n") == 1, ended.stderr
