"""Fault points: what each mode does to a call, and who may arm them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from autogrocery.kit.process import faults
from autogrocery.kit.process.faults import Fault, FaultError, Mode, SimulatedDeath, arm, through

POINT = "orders.add"


class Port:
    def __init__(self) -> None:
        self.calls = 0

    async def call(self) -> int:
        self.calls += 1
        return self.calls


def test_parse_reads_point_mode_and_call_number() -> None:
    assert faults.parse("orders.add:kill-after:2, a.b:hang") == [
        Fault("orders.add", Mode.KILL_AFTER, 2),
        Fault("a.b", Mode.HANG),
    ]
    with pytest.raises(ValueError, match="explode"):
        faults.parse("orders.add:explode")


async def test_unarmed_point_returns_the_call_itself() -> None:
    answer = asyncio.get_running_loop().create_future()
    assert through(POINT, lambda: answer) is answer


@pytest.mark.parametrize(
    ("mode", "raised", "calls"),
    [
        (Mode.ERROR_BEFORE, FaultError, 0),
        (Mode.EFFECT_THEN_ERROR, FaultError, 1),
        (Mode.CANCELLED, asyncio.CancelledError, 1),
        (Mode.KILL_BEFORE, SimulatedDeath, 0),
        (Mode.KILL_AFTER, SimulatedDeath, 1),
        (Mode.HANG, TimeoutError, 0),
    ],
)
async def test_armed_mode_raises_before_or_after_the_effect(
    mode: Mode, raised: type[BaseException], calls: int
) -> None:
    port = Port()
    with arm(Fault(POINT, mode), simulated=True), pytest.raises(raised):
        await through(POINT, port.call, within_s=0.01)
    assert port.calls == calls


async def test_fault_of_the_second_call_spares_the_first_and_the_third() -> None:
    port = Port()
    with arm(Fault(POINT, Mode.DUPLICATE, 2)) as counted:
        assert [await through(POINT, port.call) for _ in range(3)] == [1, 3, 4]
    assert counted == {POINT: 3}


async def test_call_after_simulated_death_raises_at_every_point() -> None:
    port = Port()
    with arm(Fault(POINT, Mode.KILL_BEFORE), simulated=True):
        with pytest.raises(SimulatedDeath):
            await through(POINT, port.call)
        with pytest.raises(SimulatedDeath):
            await through("another.point", port.call)
    assert port.calls == 0


ROLE = """
import asyncio, os
from autogrocery.kit.process import faults
from autogrocery.kit.process.run import run

async def main(environ, stop):
    assert environ["AUTOGROCERY_FAULTS"]
    print(faults.active())

raise SystemExit(run("gateway", main, os.environ))
"""


def test_production_role_started_with_the_variable_arms_nothing() -> None:
    environ = {**os.environ, "AUTOGROCERY_FAULTS": f"{POINT}:kill-before"}
    role = subprocess.run([sys.executable, "-c", ROLE], env=environ, capture_output=True, check=True, text=True)
    assert role.stdout == "False\n"
