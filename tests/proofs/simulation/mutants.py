"""Rules omitted in a scratch copy of the product, one at a time: `python -m tests.proofs.simulation.mutants` tries them
all."""

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
from tests.proofs.simulation.report import print_line

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
    """A rule of docs/PROTOCOL.md, the edits that omit it, and a part of the violation that is found."""

    rule: str
    edits: tuple[Edit, ...]
    found: str


MUTANTS = (
    Mutant("terminal only after the release ack", TERMINAL_FIRST, "a terminal status before the release"),
    Mutant(
        "no refusal is inferred from an error",
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
        "no acknowledgement is inferred from an error",
        (
            Edit(
                "gateway/actions/release.py",
                RELEASE_CALL,
                f"try:\n        {RELEASE_CALL}\n    except InDoubt:\n        released = True",
            ),
            Edit("gateway/actions/release.py", IN_DOUBT.old, IN_DOUBT.new),
        ),
        "a terminal status before the release",
    ),
    Mutant(
        "PROCESSING always means: robots have been dispatched",
        (
            Edit(
                "gateway/actions/dispatch.py",
                ASSIGN_CALL,
                "number = metrics.reserve_numbers()\n"
                "    dispatched = await transitions.mark_dispatched(store, order, (), number=number)\n"
                f"    {ASSIGN_CALL}",
            ),
            Edit(
                "gateway/actions/dispatch.py",
                "    number = metrics.reserve_numbers()\n"
                "    dispatched = await transitions.mark_dispatched(store, order, robots, number=number)\n",
                "",
            ),
        ),
        "PROCESSING while no robots have it",
    ),
    Mutant(
        "a promise is written down when it is made",
        (Edit("gateway/actions/confirm.py", "            await transitions.promise_dispatch(store, order_id)\n", ""),),
        "was promised (202)",
    ),
    Mutant(
        "a terminal status is returned only after inventory has acknowledged",
        (
            Edit(
                "gateway/actions/cancel.py",
                "return CancelResult(order, in_doubt=True)",
                "return CancelResult(msgspec.structs.replace(order, status=Status.CANCELLED), in_doubt=False)",
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
        "a webhook about an idle order is believed only if GetOrder says so",
        (
            Edit(
                "gateway/actions/complete.py",
                "        await _require_dispatch(inventory, order_id)\n",
                "        pass\n",
            ),
        ),
        "COMPLETED, which inventory has not said",
    ),
    Mutant("the outbox is never read by id > last", ID_ABOVE_LAST, "receipt of"),
    Mutant(
        "a receipt is settled when it was sent",
        (
            Edit(
                "kit/pg/outbox.py",
                "return await self._try(row)\n",
                "self._ended.append(self._attempt(row, 'delivered', None))\n"
                "                await self._settle_ended()\n"
                "                return await self._try(row)\n",
            ),
        ),
        "receipts were never sent",
    ),
    Mutant("no timeout around a COMMIT", (WAIT_FOR,), "failed for want of robots"),
    Mutant("SKUs are merged and sorted before anything", UNSORTED[:1], "was called another"),
    Mutant(
        "every change has its metric",
        (Edit("gateway/actions/complete.py", "    await metrics.publish(changes)\n", ""),),
        "was sent 0 times",
    ),
    Mutant(
        "a metric is sent after the commit, never before",
        (
            Edit(
                "gateway/actions/dispatch.py",
                "    number = metrics.reserve_numbers()\n",
                "    number = metrics.reserve_numbers()\n"
                "    early = transitions.StatusChange("
                "order.order_id, order.version + 1, Status.PROCESSING, order.created_at, None, 0, 0, 0, number)\n"
                "    await metrics.publish([early])\n",
            ),
            Edit("gateway/actions/dispatch.py", "    await metrics.publish([dispatched.change])\n", ""),
        ),
        "before its change was committed",
    ),
    Mutant(
        "a key names one order, now and at every retry",
        (
            Edit("gateway/core/quote.py", 'return uuid5(ORDER_NAMES, f"{user_id}:{key}")', "return uuid4()"),
            Edit("gateway/core/quote.py", "from uuid import UUID\n", "from uuid import UUID, uuid4\n"),
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


def run_mutant(mutant: Mutant) -> subprocess.CompletedProcess[str]:
    """Run seeds against a mutant until one fails: exit code 1, with the report on stdout."""
    with tempfile.TemporaryDirectory() as folder:
        source = plant(mutant, Path(folder))
        command = [sys.executable, "-m", "tests.proofs.simulation", "--seeds", str(SEEDS), "--until-found"]
        environment = {**os.environ, "PYTHONPATH": str(source)}
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110, check=False
        )


def main() -> int:
    """Print which check found which mutant, and in how many seconds."""
    missed = 0
    for mutant in MUTANTS:
        started = time.perf_counter()
        ended = run_mutant(mutant)
        lines = ended.stdout.splitlines()
        missed += ended.returncode != 1
        found = f"{lines[0]} {lines[1]}" if ended.returncode == 1 else f"NOT FOUND {ended.stderr[-200:]}"
        print_line(f"{mutant.rule}\n    {found[:150]} ({time.perf_counter() - started:.1f} s)")
    return missed


if __name__ == "__main__":
    sys.exit(main())
