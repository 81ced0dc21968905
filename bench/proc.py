"""CPU and memory of processes, from /proc, and a description of the machine and of the Python that ran."""

from __future__ import annotations

import os
import platform
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

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


# By a word of its command line, what a child of a gateway is. A child without such a word is one of OTHER_CHILDREN.
ROLES_OF_CHILDREN: Final = {"password_worker": "password workers", "notifier": "notifier"}
OTHER_CHILDREN: Final = "other children"
PACKAGES: Final = ("uvloop", "httptools", "msgspec", "orjson", "asyncpg", "protobuf", "grpcio", "hpack", "pyzmq")
BUILD_FLAGS: Final = ("--enable-optimizations", "--with-lto")


class Machine(Struct, frozen=True):
    """The machine and software of a measurement.

    `build`: how that Python was built, as it tells itself. `packages`: versions of the libraries on the path of an
    order.
    """

    cores: int
    cpu: str
    memory_gib: float
    kernel: str
    python: str
    postgresql: str
    build: str = ""
    packages: dict[str, str] = {}  # msgspec copies the default


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
        _build(),
        {name: number for name in PACKAGES if (number := _version(name))},
    )


def _build() -> str:
    """Return compiler, optimization level and whether configure asked for profile-guided and link-time optimization.

    A distribution may apply both without these arguments, as Debian does, so the time of the calibration loop counts.
    """
    arguments = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    flags = [f"{flag} {'on' if flag in arguments else 'not given'}" for flag in BUILD_FLAGS]
    level = [flag for flag in str(sysconfig.get_config_var("OPT") or "").split() if flag.startswith("-O")]
    return ", ".join([platform.python_compiler(), *level, *flags])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process, all threads, without its children."""
    fields = _stat(pid)
    return (int(fields[USER]) + int(fields[SYSTEM])) / TICKS_PER_S if fields else 0.0


def cpu_of_ended_children_s(pid: int) -> float:
    """Return the CPU seconds of the children of a process that have ended."""
    fields = _stat(pid)
    return (int(fields[CHILDREN_USER]) + int(fields[CHILDREN_SYSTEM])) / TICKS_PER_S if fields else 0.0


def cpu_of_children_s(pid: int) -> float:
    """Return the CPU seconds of a process's children, running and ended."""
    return cpu_of_ended_children_s(pid) + sum(cpu_s(child) for child in _children(pid))


def role_of_child(pid: int) -> str:
    """Return what a child of a gateway is, by its command line."""
    try:
        _, *arguments = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
    except (OSError, ValueError):
        return OTHER_CHILDREN
    words = [argument.rpartition(".")[2] for argument in arguments]  # the last part of a module's name
    return next((role for word, role in ROLES_OF_CHILDREN.items() if word in words), OTHER_CHILDREN)


def rss_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB; 0 if it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return round(pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20), 1)


def cpu_by_name_s(pids: Mapping[str, int]) -> dict[str, float]:
    """Return the CPU seconds so far by name: all gateways together, and their children by role.

    A gateway's children do not count as the gateway. Those that have ended count as OTHER_CHILDREN, since nothing tells
    any more what they were.
    """
    costs: dict[str, float] = {}

    def add(name: str, spent_s: float) -> None:
        costs[name] = costs.get(name, 0.0) + spent_s

    for name, pid in pids.items():
        kind = name.split("-")[0]
        add(kind, cpu_s(pid))
        if kind == "postgresql":
            add(kind, cpu_of_children_s(pid))
        elif kind == "gateway":
            for role in (*ROLES_OF_CHILDREN.values(), OTHER_CHILDREN):
                add(role, 0.0)
            add(OTHER_CHILDREN, cpu_of_ended_children_s(pid))
            for child in _children(pid):
                add(role_of_child(child), cpu_s(child))
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
