"""The demo with trucks and a real mail server, while each process of the network is killed once."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.homes import temporary_home
from tests.harness.mail_server import serve_smtp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEADLINE_S = 100.0
PROCESSES = ("gateway", "inventory", "robots", "postgresql", "pricing", "analytics")


class Postbox:
    """Accepts every mail; a mail sent twice has the same Message-ID and counts once."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:
        mail = message_from_bytes(envelope.content, policy=default)
        self.texts[str(mail["Message-ID"])] = mail.get_body(("plain",)).get_content().replace("\r\n", "\n")
        return "250 OK"

    def cents(self, label: str) -> dict[str, int]:
        """Return the amount after `label` in cents, by Message-ID of the mails that have one."""
        found = {
            name: re.search(rf"^{label}\b.*?(\d+)\.(\d\d) USD$", text, re.MULTILINE)
            for name, text in self.texts.items()
        }
        return {name: int(amount[1]) * 100 + int(amount[2]) for name, amount in found.items() if amount}


@pytest.fixture
def postbox() -> Iterator[tuple[Postbox, str]]:
    box = Postbox()
    with serve_smtp(box) as place:
        yield box, f"smtp://{place}"


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_home(on_disk=True) as directory:
        yield directory


def pids(home: Path) -> dict[str, int]:
    try:
        found: dict[str, int] = json.loads((home / "run.json").read_text())["pids"]
    except (OSError, ValueError, KeyError):
        return {}
    return found


def wait_for(condition: object, what: str) -> None:
    ends_at = time.monotonic() + DEADLINE_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < ends_at, what
        time.sleep(0.05)


@pytest.mark.timeout(150)
def test_demo_with_every_process_killed_once_is_clean_and_mails_one_receipt_per_completed_order(
    home: Path, postbox: tuple[Postbox, str]
) -> None:
    box, smtp_url = postbox
    figures = home / "figures.json"
    log = (home / "out").open("w+")
    demo = subprocess.Popen(
        [sys.executable, "-m", "autogrocery", "demo", "--orders", "120", "--rate", "8", "--json", str(figures)],
        env={**os.environ, "AUTOGROCERY_HOME": str(home / "home"), "SMTP_URL": smtp_url, "ROBOTS_SHORT_PERCENT": "5"},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_for(lambda: "orders" in (home / "out").read_text().partition("network on")[2], "the replay begins")
        for process in PROCESSES:
            before = pids(home / "home")[process]
            os.kill(before, signal.SIGKILL)
            wait_for(lambda: pids(home / "home").get(process) not in (None, before), f"{process} is back")  # noqa: B023
        code = demo.wait(DEADLINE_S)
    finally:
        demo.kill()
        demo.wait()
        log.close()
    assert code == 0, (home / "out").read_text()[-4_000:]
    report = json.loads(figures.read_text())
    assert sum(report["outcomes"].values()) == 120
    assert set(report["outcomes"]) <= {"COMPLETED", "CANCELLED", "EXPIRED", "FAILED"}
    restocks = report["other"]["restocks"]
    assert (restocks["deliveries"] > 0, restocks["not_terminal"]) == (True, 0)
    facts = report["other"]["facts"]
    assert (facts["same_changes"], facts["facts"], facts["counted"]) == (True, facts["history"], facts["history"])
    charged, quoted = box.cents("Total"), box.cents("Quoted")
    assert len(box.texts) == len(charged) == report["outcomes"]["COMPLETED"]
    assert sum(charged.values()) == report["revenue_cents"]
    assert len(quoted) == report["completed_partial"] > 0  # a receipt of a partial order shows both totals
    assert all(charged[name] < quoted[name] for name in quoted)
    assert pids(home / "home") == {}
