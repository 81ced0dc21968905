from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

import pytest

from autogrocery.__main__ import parser

from .conftest import ROOT, Network, blocks

if TYPE_CHECKING:
    from pathlib import Path

README = ROOT / "README.md"
RUNBOOK = ROOT / "docs" / "RUNBOOK.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").rglob("*.md"))]
WALK = [block for block in blocks(README, "sh") if not block.startswith("make ")]
TOLD = "order_id"


def commands(document: Path) -> list[str]:
    lines = [line for language in ("sh", "text") for block in blocks(document, language) for line in block.splitlines()]
    return [line for line in lines if line.startswith("autogrocery ")]


def answers(text: str) -> list[dict[str, object]]:
    """Return the JSON bodies that a walk printed, one a line, whatever else stands between them."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_one_order_by_hand_works_as_printed(network: Network) -> None:
    walked = network.run("\n".join(WALK))
    assert walked.returncode == 0, walked.stderr
    told = answers(walked.stdout)
    statuses = [answer["status"] for answer in told if TOLD in answer]
    assert statuses[:2] == ["PREVIEWED", "PROCESSING"], walked.stdout
    history = told[-1]["data"]
    assert isinstance(history, list)
    assert [event["to"] for event in history][:2] == ["PREVIEWED", "PROCESSING"]
    assert history[-1]["to"] in {"COMPLETED", "FAILED"}
    assert "event: status" in walked.stdout
    assert not [answer for answer in told if "request_id" in answer], walked.stdout


@pytest.fixture(scope="session")
def order_id(network: Network) -> str:
    """An order to look at, made as the README makes one."""
    made = network.run(
        "\n".join(WALK[:4]).replace("kitchen-fridge", "pantry-fridge") + '\necho; echo "ORDER $ORDER_ID"'
    )
    assert made.returncode == 0, made.stderr
    return made.stdout.rsplit("ORDER ", 1)[1].strip()


RUN = [line for block in blocks(RUNBOOK, "sh") for line in block.splitlines()]


@pytest.mark.parametrize("command", RUN)
def test_every_command_of_the_runbook_works(network: Network, order_id: str, command: str) -> None:
    ran = network.run(f"ORDER_ID={order_id}\n{command}")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout or ran.stderr or command == "autogrocery migrate"  # which has nothing to do here
    assert "request_id" not in ran.stdout  # a problem


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_in_a_block_is_one(document: Path) -> None:
    for line in commands(document):
        parser().parse_args(shlex.split(line)[1:])


def test_every_make_target_of_the_readme_is_one() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = re.findall(r"^make ([a-z]+)", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert {"demo", "test", "up"} <= set(named) <= set(targets)


def test_addresses_in_the_documents_are_the_defaults() -> None:
    settings = (ROOT / "docs" / "SETTINGS.md").read_text(encoding="utf-8")
    for document in (README, RUNBOOK):
        for address in set(re.findall(r"127\.0\.0\.1:\d+", document.read_text(encoding="utf-8"))):
            assert address in settings
