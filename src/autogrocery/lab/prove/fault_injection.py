"""Inject the scheduled faults and record when each ended. Signals go only to processes of this network, by pid."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from autogrocery.lab.fault_proxy import NO_FAULTS
from autogrocery.lab.prove.schedule import DATABASE, NETWORK_FAULTS, PROCESSES, ScheduledFault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autogrocery.lab.prove.network import Network
    from autogrocery.lab.prove.record import Fault, Record

POLL_S: Final = 0.01
PROBE_S: Final = 0.05
RESTART_TIMEOUT_S: Final = 90.0  # after a kill, with other faults meanwhile; later it counts as not recovered
PID_TIMEOUT_S: Final = 2.0  # how long to wait for a process that is down; then the fault is left out
SIGNALS: Final = {"SIGKILL": signal.SIGKILL, "kill": signal.SIGKILL, "immediate": signal.SIGQUIT}


async def inject_faults(
    network: Network, record: Record, scheduled_faults: Sequence[ScheduledFault], show: Callable[[str], None]
) -> None:
    """Inject every fault at its time; return when the last has ended or was given up."""
    async with asyncio.TaskGroup() as group:
        for scheduled in scheduled_faults:
            await asyncio.sleep(max(0.0, scheduled.at_s - record.now_s()))
            group.create_task(_inject(network, record, scheduled, show))


async def end_faults(network: Network, within_s: float) -> list[str]:
    """End all network faults and pauses; return the names of the processes not running within `within_s`."""
    for link in network.links.values():
        link.faults = NO_FAULTS
    for name in PROCESSES:
        _signal(network.pid(name), signal.SIGCONT)
    down = {*PROCESSES, DATABASE}
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while down:
                down -= {name for name in down if network.pid(name) is not None}
                await asyncio.sleep(POLL_S)
            while not await network.database_answers():  # noqa: ASYNC110 - the loop has no event for it
                await asyncio.sleep(PROBE_S)
    return sorted(down)


async def _inject(network: Network, record: Record, scheduled: ScheduledFault, show: Callable[[str], None]) -> None:
    if scheduled.kind == "network":
        await _break_link(network, record, scheduled, show)
        return
    pid = await _wait_for_pid(network, scheduled.target)
    if pid is None:
        show(f"{scheduled.target} is down already: fault left out")
        return
    if scheduled.kind == "pause":
        await _pause(network, record, scheduled, pid, show)
    else:
        await _kill(network, record, scheduled, pid, show)


async def _wait_for_pid(network: Network, name: str) -> int | None:
    with suppress(TimeoutError):
        async with asyncio.timeout(PID_TIMEOUT_S):
            while (pid := network.pid(name)) is None:  # noqa: ASYNC110 - the loop has no event for it
                await asyncio.sleep(POLL_S)
            return pid
    return None


async def _kill(
    network: Network, record: Record, scheduled: ScheduledFault, pid: int, show: Callable[[str], None]
) -> None:
    before = network.times_restarted(scheduled.target)
    fault = record.begin(scheduled.kind, scheduled.target, scheduled.how)
    _signal(pid, SIGNALS[scheduled.how])
    show(
        f"{scheduled.target} {'ended by immediate shutdown' if scheduled.how == 'immediate' else 'killed'} (pid {pid})"
    )
    with suppress(TimeoutError):
        async with asyncio.timeout(RESTART_TIMEOUT_S):
            if scheduled.target == DATABASE:
                await _wait_for_database(network, pid)
            else:
                while network.times_restarted(scheduled.target) == before:  # noqa: ASYNC110 - no event for it
                    await asyncio.sleep(POLL_S)
            _record_end(record, fault, show)


async def _wait_for_database(network: Network, killed: int) -> None:
    while network.pid(DATABASE) in (None, killed) or not await network.database_answers():  # noqa: ASYNC110
        await asyncio.sleep(PROBE_S)


async def _pause(
    network: Network, record: Record, scheduled: ScheduledFault, pid: int, show: Callable[[str], None]
) -> None:
    fault = record.begin(scheduled.kind, scheduled.target, scheduled.how)
    _signal(pid, signal.SIGSTOP)
    show(f"{scheduled.target} stopped for {scheduled.duration_s:g} s (pid {pid})")
    try:
        await asyncio.sleep(scheduled.duration_s)
    finally:
        if network.pid(scheduled.target) == pid:  # else it was killed meanwhile, and its pid may be reused
            _signal(pid, signal.SIGCONT)
        record.end(fault)


async def _break_link(network: Network, record: Record, scheduled: ScheduledFault, show: Callable[[str], None]) -> None:
    link, faults = network.links[scheduled.target], NETWORK_FAULTS[scheduled.how]
    fault = record.begin(scheduled.kind, scheduled.target, scheduled.how)
    link.faults = faults
    show(f"{scheduled.target}: {scheduled.how} for {scheduled.duration_s:g} s")
    try:
        await asyncio.sleep(scheduled.duration_s)
    finally:
        if link.faults is faults:  # else the next fault of this link has begun
            link.faults = NO_FAULTS
        record.end(fault)


def _record_end(record: Record, fault: Fault, show: Callable[[str], None]) -> None:
    record.end(fault)
    assert fault.ended_s is not None
    show(f"{fault.target} is back after {fault.ended_s - fault.began_s:.1f} s")


def _signal(pid: int | None, number: signal.Signals) -> None:
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
