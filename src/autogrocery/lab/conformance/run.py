"""Run the lines one after the other, and keep what came of each."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import replace

from autogrocery.contracts import identities
from autogrocery.contracts.inventory.v1 import inventory_pb2 as inv
from autogrocery.contracts.pricing.v1 import pricing_pb2 as pri
from autogrocery.kit.process.settings import address
from autogrocery.kit.rpc.channel import open_channel, stub_of
from autogrocery.lab.conformance import (
    dispatch_lines,
    hostile_lines,
    pricing_lines,
    reserve_lines,
    restart_lines,
    webhook_lines,
)
from autogrocery.lab.conformance.calls import Calls
from autogrocery.lab.conformance.inventory_peer import InventoryPeer
from autogrocery.lab.conformance.line import Failed, Line, NotChecked, Outcome, Result, Unimplemented
from autogrocery.lab.conformance.listener import open_listener
from autogrocery.lab.conformance.pricing_lines import PricingPeer
from autogrocery.lab.conformance.restart import Restart, wait_for_answers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from autogrocery.lab.conformance.options import Options

REACHED_S: Final = 5.0
LINE_S: Final = 200.0  # for one line, restart included
INVENTORY: Final = inv.DESCRIPTOR.services_by_name["InventoryService"]
PRICING: Final = pri.DESCRIPTOR.services_by_name["PricingService"]
FIRST: Final = {"inventory": "S1", "pricing": "P1"}  # without it no line has goods to work with


class UnreachableError(Exception):
    """Nothing that speaks the contract answers at the target; the message is one line for the operator."""


class Report(Struct, frozen=True):
    """What a run found."""

    kind: str
    target: str
    results: tuple[Result, ...]

    @property
    def ok(self) -> bool:
        """Whether no line failed, and at least one passed."""
        return not self.count(Outcome.FAILED) and self.count(Outcome.PASSED) > 0

    def count(self, outcome: Outcome) -> int:
        """Return how many lines had this outcome."""
        return sum(result.outcome is outcome for result in self.results)


async def check_inventory(options: Options, tell: Callable[[Result], None]) -> Report:
    """Check an inventory; `tell` is called with each result.

    Raises UnreachableError, and StartError if the listener's address can't be bound.
    """
    async with AsyncExitStack() as opened:
        channel = await opened.enter_async_context(
            open_channel(options.target, options.identity, identities.INVENTORY, transport=options.transport)
        )
        listener = None
        if options.webhook_listen:
            host, port = address("--webhook-listen", options.webhook_listen)
            listener = await opened.enter_async_context(open_listener(host, port, options.webhook_key))
        calls = Calls(channel, stub_of(channel, INVENTORY), options.patience)
        peer = InventoryPeer(calls, options, None, listener)
        peer.restart = Restart(options.restart_command, peer.answers) if options.restart_command else None
        lines = (
            *reserve_lines.LINES,
            *dispatch_lines.LINES,
            *hostile_lines.LINES,
            *restart_lines.lines(),
            *webhook_lines.LINES,
            hostile_lines.IN_TIME,
        )
        return await _run("inventory", peer, lines, options, tell)


async def check_pricing(options: Options, tell: Callable[[Result], None]) -> Report:
    """Check a pricing; `tell` is called with each result. Raises UnreachableError."""
    async with open_channel(
        options.target, options.identity, identities.PRICING, transport=options.transport
    ) as channel:
        calls = Calls(channel, stub_of(channel, PRICING), options.patience)
        peer = PricingPeer(calls, options, None)
        peer.restart = Restart(options.restart_command, peer.answers) if options.restart_command else None
        return await _run("pricing", peer, pricing_lines.lines(), options, tell)


def select(lines: Sequence[Line], only: Sequence[str]) -> list[Line]:
    """Return the lines that `only` names, as K1.4, or as their group: K1 or K; all without `only`."""
    if not only:
        return list(lines)
    return [line for line in lines if any(_is_named(line.line_id, word) for word in only)]


def _is_named(line_id: str, word: str) -> bool:
    rest = line_id.removeprefix(word)
    return line_id.startswith(word) and (not rest or word.isalpha() or rest.startswith("."))


async def _run(kind: str, peer: Any, lines: Sequence[Line], options: Options, tell: Callable[[Result], None]) -> Report:
    chosen = select(lines, options.only)
    if not chosen:
        known = ", ".join(line.line_id for line in lines)
        raise ValueError(f"--only {','.join(options.only)} names no line; there are {known}")
    await _reach(kind, peer, options)
    outcomes: dict[str, Outcome] = {}
    results = []
    gone = ""
    for line in chosen:
        why_not = gone or _missing_need(kind, line, outcomes)
        result = _of(line, Outcome.NOT_CHECKED, 0.0, why_not) if why_not else await _check(line, peer)
        if result.outcome is Outcome.FAILED and not await _still_answers(peer):
            gone = f"the peer has not answered since {line.line_id}"
        outcomes[line.line_id] = result.outcome
        results.append(result)
        tell(result)
    if not gone:
        await peer.tidy()
    return Report(kind, options.target, tuple(results))


async def _reach(kind: str, peer: Any, options: Options) -> None:
    peer.calls.measuring = False  # the first call connects
    try:
        await wait_for_answers(peer.answers, REACHED_S)
    except Unimplemented as why:
        raise UnreachableError(f"{options.target} answers, but {why}: is it your {kind}?") from None
    except Failed as why:
        raise UnreachableError(f"no {kind} answers at {options.target}: {why}") from None
    finally:
        peer.calls.measuring = True


async def _still_answers(peer: Any) -> bool:
    try:
        await wait_for_answers(peer.answers, REACHED_S)
    except Failed:
        return False
    return True


def _missing_need(kind: str, line: Line, outcomes: dict[str, Outcome]) -> str:
    """Return why a line can't be checked after what came of the lines that it needs; empty if it can."""
    needs = line.needs if line.line_id in {FIRST[kind], "D1"} else (FIRST[kind], *line.needs)
    missing = [need for need in needs if outcomes.get(need, Outcome.PASSED) is not Outcome.PASSED]
    return f"needs {', '.join(missing)}, which did not pass" if missing else ""


async def _check(line: Line, peer: Any) -> Result:
    peer.calls.exchanges.clear()
    began = time.monotonic()
    try:
        async with asyncio.timeout(LINE_S):
            await line.check(peer)
    except NotChecked as why:
        return _of(line, Outcome.NOT_CHECKED, time.monotonic() - began, str(why))
    except (Failed, TimeoutError, LookupError, TypeError, ValueError) as why:
        detail = _detail_of(why)
        failed = _of(line, Outcome.FAILED, time.monotonic() - began, detail)
        return replace(failed, exchanges=tuple(peer.calls.exchanges))
    return _of(line, Outcome.PASSED, time.monotonic() - began, "")


def _detail_of(why: Exception) -> str:
    if isinstance(why, Failed):
        return str(why)
    if isinstance(why, TimeoutError):
        return f"not settled within {LINE_S:g} s"
    return f"the answer makes no sense to the kit ({type(why).__name__}: {why})"


def _of(line: Line, outcome: Outcome, took_s: float, detail: str) -> Result:
    return Result(line.line_id, line.promise, line.link, outcome, round(took_s, 3), detail)
