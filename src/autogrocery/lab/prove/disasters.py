"""Doing what the schedule says, and noting when each cause was over. Only processes of this network are touched, by pid."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from autogrocery.lab.fault_proxy import CALM
from autogrocery.lab.prove.schedule import DATABASE, PROCESSES, WEATHERS, Event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autogrocery.lab.prove.network import Network
    from autogrocery.lab.prove.record import Fault, Record

WATCH_S: Final = 0.01
PROBE_S: Final = 0.05
BACK_WITHIN_S: Final = 90.0  # of a kill, under all the others; what isn't back by then never will be
ALIVE_WITHIN_S: Final = 2.0  # a victim that was down already is struck a little later, or spared
SIGNALS: Final = {"SIGKILL": signal.SIGKILL, "kill": signal.SIGKILL, "immediate": signal.SIGQUIT}


async def wreak(network: Network, record: Record, events: Sequence[Event], show: Callable[[str], None]) -> None:
    """Let every event happen at its time; returns when the last cause is over, or was given up."""
    async with asyncio.TaskGroup() as group:
        for event in events:
            await asyncio.sleep(max(0.0, event.at_s - record.now_s()))
            group.create_task(_strike(network, record, event, show))


async def heal(network: Network, within_s: float) -> list[str]:
    """Calm every link and let every process go on; returns the names of those that are not up within `within_s`."""
    for link in network.links.values():
        link.weather = CALM
    for name in PROCESSES:
        _signal(network.pid(name), signal.SIGCONT)
    down = {*PROCESSES, DATABASE}
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while down:
                down -= {name for name in down if network.pid(name) is not None}
                await asyncio.sleep(WATCH_S)
            while not await network.database_answers():  # noqa: ASYNC110 - nor is that
                await asyncio.sleep(PROBE_S)
    return sorted(down)


async def _strike(network: Network, record: Record, event: Event, show: Callable[[str], None]) -> None:
    if event.kind == "weather":
        await _weather(network, record, event, show)
        return
    pid = await _victim(network, event.target)
    if pid is None:
        show(f"{event.target} is down already and was spared")
        return
    if event.kind == "pause":
        await _pause(network, record, event, pid, show)
    else:
        await _kill(network, record, event, pid, show)


async def _victim(network: Network, name: str) -> int | None:
    with suppress(TimeoutError):
        async with asyncio.timeout(ALIVE_WITHIN_S):
            while (pid := network.pid(name)) is None:  # noqa: ASYNC110 - a process is no event of the loop's
                await asyncio.sleep(WATCH_S)
            return pid
    return None


async def _kill(network: Network, record: Record, event: Event, pid: int, show: Callable[[str], None]) -> None:
    before = network.times_restarted(event.target)
    fault = record.begin(event.kind, event.target, event.how)
    _signal(pid, SIGNALS[event.how])
    show(f"{event.target} {'ended by immediate shutdown' if event.how == 'immediate' else 'killed'} (pid {pid})")
    with suppress(TimeoutError):
        async with asyncio.timeout(BACK_WITHIN_S):
            if event.target == DATABASE:
                await _database_back(network, pid)
            else:
                while network.times_restarted(event.target) == before:  # noqa: ASYNC110 - a process is no event of the loop's
                    await asyncio.sleep(WATCH_S)
            _over(record, fault, show)


async def _database_back(network: Network, killed: int) -> None:
    while network.pid(DATABASE) in (None, killed) or not await network.database_answers():  # noqa: ASYNC110 - as above
        await asyncio.sleep(PROBE_S)


async def _pause(network: Network, record: Record, event: Event, pid: int, show: Callable[[str], None]) -> None:
    fault = record.begin(event.kind, event.target, event.how)
    _signal(pid, signal.SIGSTOP)
    show(f"{event.target} stopped for {event.lasts_s:g} s (pid {pid})")
    try:
        await asyncio.sleep(event.lasts_s)
    finally:
        if network.pid(event.target) == pid:  # else it was killed meanwhile, and the number may be somebody else's
            _signal(pid, signal.SIGCONT)
        record.end(fault)


async def _weather(network: Network, record: Record, event: Event, show: Callable[[str], None]) -> None:
    link, weather = network.links[event.target], WEATHERS[event.how]
    fault = record.begin(event.kind, event.target, event.how)
    link.weather = weather
    show(f"{event.target}: {event.how} for {event.lasts_s:g} s")
    try:
        await asyncio.sleep(event.lasts_s)
    finally:
        if link.weather is weather:  # else the next one has come over this link already
            link.weather = CALM
        record.end(fault)


def _over(record: Record, fault: Fault, show: Callable[[str], None]) -> None:
    record.end(fault)
    assert fault.ended_s is not None
    show(f"{fault.target} is back after {fault.ended_s - fault.began_s:.1f} s")


def _signal(pid: int | None, number: signal.Signals) -> None:
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
