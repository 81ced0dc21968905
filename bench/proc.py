"""CPU and memory of processes, and a description of the machine, from /proc."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PARENT, USER, SYSTEM, CHILDREN_USER, CHILDREN_SYSTEM = (
    1,
    11,
    12,
    13,
    14,
)  # indices of /proc/PID/stat's fields after the name


class Machine(Struct, frozen=True):
    """The machine and software of a measurement."""

    cores: int
    cpu: str
    memory_gib: float
    kernel: str
    python: str
    postgresql: str


def describe(postgresql: str) -> Machine:
    """Describe this machine without its host name."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    found = [
        line for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if line.startswith("model name")
    ]
    cpu = found[0].partition(":")[2].strip() if found else platform.machine()
    kernel = platform.release().split("-")[0]
    return Machine(
        os.cpu_count() or 1,
        cpu,
        round(memory, 1),
        f"{platform.system()} {kernel}",
        platform.python_version(),
        postgresql,
    )


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process, all threads, without its children."""
    fields = _stat(pid)
    return (int(fields[USER]) + int(fields[SYSTEM])) / TICKS_PER_S if fields else 0.0


def cpu_of_children_s(pid: int) -> float:
    """Return the CPU seconds of a process's children, running and ended."""
    fields = _stat(pid)
    ended = (int(fields[CHILDREN_USER]) + int(fields[CHILDREN_SYSTEM])) / TICKS_PER_S if fields else 0.0
    return ended + sum(cpu_s(child) for child in _children(pid))


def rss_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB; 0 if it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return round(pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20), 1)


def cpu_by_name_s(pids: Mapping[str, int]) -> dict[str, float]:
    """Return the CPU seconds so far by name: all gateways together, and their password workers together."""
    costs: dict[str, float] = {}
    for name, pid in pids.items():
        kind = name.split("-")[0]
        costs[kind] = costs.get(kind, 0.0) + cpu_s(pid)
        if kind == "gateway":
            costs["password workers"] = costs.get("password workers", 0.0) + cpu_of_children_s(pid)
        elif kind == "postgresql":
            costs[kind] += cpu_of_children_s(pid)
    return costs


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


def _children(pid: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) and int(fields[PARENT]) == pid:
            yield int(entry.name)


def threads_s(pid: int) -> dict[str, float]:
    """Return the CPU seconds of a process's threads by name."""
    found: dict[str, float] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            name, _, fields = (task / "stat").read_text(encoding="utf-8").partition("(")[2].rpartition(")")
        except OSError:
            continue
        spent = fields.split()
        key = "main" if task.name == str(pid) else name
        found[key] = found.get(key, 0.0) + (int(spent[USER]) + int(spent[SYSTEM])) / TICKS_PER_S
    return found
