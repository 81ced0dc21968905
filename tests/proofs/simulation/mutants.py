"""Rules left out of the product itself, each in a scratch copy of it: `python -m tests.proofs.simulation.mutants` tries them all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from msgspec import Struct

from tests.proofs.planted.bugs import ID_ABOVE_LAST, TERMINAL_FIRST, UNSORTED, WAIT_FOR, Edit
from tests.proofs.simulation.report import say_line

ROOT = Path(__file__).parents[3]
SEEDS = 300
RELEASE_CALL = "released = await inventory.release(order.order_id, order.release_as, order.release_cause)"
ASSIGN_CALL = "robots = await inventory.assign_robots(order.order_id, order.lines)"
IN_DOUBT = Edit(
    "gateway/actions/dispatch.py",
    "from autogrocery.kit.process.log import log",
    "from autogrocery.kit.process.log import log\nfrom autogrocery.kit.errors import InDoubt",
)


class Mutant(Struct, frozen=True):
    """A rule of PROTOCOL §1-3, the edits that break it, and a word of what is found then."""

    rule: str
    edits: tuple[Edit, ...]
    found: str


MUTANTS = (
    Mutant("§3.3 terminal only after the release ack", TERMINAL_FIRST, "a terminal word before the release"),
    Mutant(
        "§3.4 no refusal is inferred from an error",
        (
            IN_DOUBT,
            Edit(
                "gateway/actions/dispatch.py",
                ASSIGN_CALL,
                f"try:\n        {ASSIGN_CALL}\n    except InDoubt:\n        robots = None",
            ),
        ),
        "failed for want of robots",
    ),
    Mutant(
        "§3.4 no acknowledgement is inferred from an error",
        (
            Edit(
                "gateway/actions/release.py",
                RELEASE_CALL,
                f"try:\n        {RELEASE_CALL}\n    except InDoubt:\n        released = True",
            ),
            Edit("gateway/actions/release.py", IN_DOUBT.old, IN_DOUBT.new),
        ),
        "a terminal word before the release",
    ),
    Mutant(
        "§1 PROCESSING always means: robots have been dispatched",
        (
            Edit(
                "gateway/actions/dispatch.py",
                ASSIGN_CALL,
                f"number = metrics.take()\n    change = await moves.mark_dispatched(db, order.order_id, (), number=number)\n    {ASSIGN_CALL}",
            ),
            Edit(
                "gateway/actions/dispatch.py",
                "    number = metrics.take()\n    change = await moves.mark_dispatched(db, order.order_id, robots, number=number)\n",
                "",
            ),
        ),
        "PROCESSING while no robots have it",
    ),
    Mutant(
        "§1 a promise is written down when it is made",
        (Edit("gateway/actions/confirm.py", "            await moves.promise_dispatch(db, order_id)\n", ""),),
        "was promised (202)",
    ),
    Mutant(
        "§1 a terminal word is told only after inventory has acknowledged",
        (
            Edit(
                "gateway/actions/cancel.py",
                "return order, False",
                "return msgspec.structs.replace(order, status=Status.CANCELLED), True",
            ),
            Edit(
                "gateway/actions/cancel.py",
                "from autogrocery.kit.errors import InDoubt",
                "import msgspec\nfrom autogrocery.kit.errors import InDoubt",
            ),
        ),
        "which it never was",
    ),
    Mutant(
        "§1 a webhook about an idle order is believed only if GetOrder says so",
        (
            Edit(
                "gateway/actions/complete.py",
                "            await _require_dispatch(inventory, order_id)\n",
                "            pass\n",
            ),
        ),
        "COMPLETED, which inventory has not said",
    ),
    Mutant("§2 the outbox is never read by id > last", ID_ABOVE_LAST, "receipt of"),
    Mutant(
        "§2 a receipt is settled when it was sent",
        (
            Edit(
                "kit/pg/outbox.py",
                "await self._deliver(row)",
                "await self._db.together(self._settle, self._settled_at, key)\n            await self._deliver(row)",
            ),
        ),
        "receipts were never sent",
    ),
    Mutant("§3.5 no timeout around a COMMIT", (WAIT_FOR,), "failed for want of robots"),
    Mutant("§3.7 SKUs are merged and sorted before anything", UNSORTED[:1], "was called another"),
    Mutant(
        "§3.9 every change has its metric",
        (Edit("gateway/actions/complete.py", "            await metrics.tell(changes)\n", ""),),
        "was sent 0 times",
    ),
    Mutant(
        "§3.9 a metric is sent after the commit, never before",
        (
            Edit(
                "gateway/actions/dispatch.py",
                "    number = metrics.take()\n",
                "    number = metrics.take()\n"
                "    early = moves.Change(order.order_id, order.version + 1, Status.PROCESSING, order.created_at, None, 0, 0, 0, number)\n"
                "    await metrics.tell([early])\n",
            ),
            Edit("gateway/actions/dispatch.py", "    await metrics.tell([change])\n", ""),
        ),
        "before its change was committed",
    ),
    Mutant(
        "§1 a key names one order, now and at every retry",
        (
            Edit("gateway/core/quote.py", 'return uuid5(ORDER_NAMES, f"{user_id}:{key}")', "return uuid4()"),
            Edit("gateway/core/quote.py", "from uuid import UUID, uuid5", "from uuid import UUID, uuid4"),
        ),
        "named another order before",
    ),
)


def plant(mutant: Mutant, folder: Path) -> Path:
    """Copy the repository's product into `folder` and edit the copy; returns the path to import it from."""
    copy = folder / "autogrocery"
    shutil.copytree(ROOT / "src" / "autogrocery", copy)
    for edit in mutant.edits:
        file = copy / edit.file
        text = file.read_text()
        if text.count(edit.old) != 1:
            raise LookupError(f"{edit.file} has changed: write {mutant.rule!r} anew")
        file.write_text(text.replace(edit.old, edit.new))
    return folder


def hunt(mutant: Mutant) -> subprocess.CompletedProcess[str]:
    """Run seeds against a mutant until one finds something: exit code 1, and the story on stdout."""
    with tempfile.TemporaryDirectory() as folder:
        source = plant(mutant, Path(folder))
        command = [sys.executable, "-m", "tests.proofs.simulation", "--seeds", str(SEEDS), "--until-found"]
        environment = {**os.environ, "PYTHONPATH": str(source)}
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110, check=False
        )


def main() -> int:
    """Say which check found which mutant, in how many seconds."""
    missed = 0
    for mutant in MUTANTS:
        started = time.perf_counter()
        ended = hunt(mutant)
        lines = ended.stdout.splitlines()
        missed += ended.returncode != 1
        found = f"{lines[0]} {lines[1]}" if ended.returncode == 1 else f"NOT FOUND {ended.stderr[-200:]}"
        say_line(f"{mutant.rule}\n    {found[:150]} ({time.perf_counter() - started:.1f} s)")
    return missed


if __name__ == "__main__":
    sys.exit(main())
