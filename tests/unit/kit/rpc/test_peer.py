"""The breaker, the fault point and the mapping of statuses of a peer's calls."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from autogrocery.kit.errors import InDoubt, Unauthenticated
from autogrocery.kit.process import faults
from autogrocery.kit.process.faults import Fault, Mode
from autogrocery.kit.rpc import client
from autogrocery.kit.rpc.client import Peer
from autogrocery.kit.rpc.status import Code, RpcError, UndecodableError

POINT = "desk.ask"


class Desk:
    """A method that answers, or raises `error`."""

    def __init__(self, error: RpcError | None = None) -> None:
        self.error = error
        self.calls = 0

    async def __call__(self, request: Any, *, timeout_s: float, token: str | None = None) -> Any:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return request, timeout_s, token


async def ask(peer: Peer, desk: Desk, token: str | None = None) -> Any:
    return await peer.call(desk, "request", timeout_s=0.5, point=POINT, token=token)


async def fail(peer: Peer, desk: Desk, times: int) -> None:
    for _ in range(times):
        with pytest.raises(InDoubt):
            await ask(peer, desk)


async def test_reply_of_the_method_is_returned() -> None:
    assert await ask(Peer("desk"), Desk(), "token") == ("request", 0.5, "token")


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
async def test_every_status_is_in_doubt_and_says_so(code: Code) -> None:
    with pytest.raises(InDoubt) as caught:
        await ask(Peer("desk"), Desk(RpcError(code, "of the peer")))
    assert caught.value.detail == code.name.lower()


async def test_only_a_call_with_a_token_is_unauthenticated() -> None:
    desk = Desk(RpcError(Code.UNAUTHENTICATED))
    with pytest.raises(Unauthenticated):
        await ask(Peer("desk"), desk, "token")
    with pytest.raises(InDoubt):
        await ask(Peer("desk"), desk)


async def test_undecodable_reply_is_rejected_by_the_name_of_its_call() -> None:
    with pytest.raises(InDoubt, match="ask is undecodable"):
        await ask(Peer("desk"), Desk(UndecodableError()))


@pytest.mark.parametrize("error", [RpcError(Code.UNAVAILABLE), RpcError(Code.UNAUTHENTICATED), UndecodableError()])
async def test_breaker_opens_after_failures_and_makes_no_calls(error: RpcError) -> None:
    peer, desk = Peer("desk"), Desk(error)
    await fail(peer, desk, client.BREAKER_MIN_CALLS)
    assert not peer.available
    await fail(peer, desk, 10)
    assert desk.calls == client.BREAKER_MIN_CALLS + 1  # one probe


@pytest.mark.parametrize("code", client.TOKEN_STATUSES)
async def test_answers_about_tokens_do_not_open_the_breaker(code: Code) -> None:
    peer, desk = Peer("desk"), Desk(RpcError(code))
    for _ in range(3 * client.BREAKER_MIN_CALLS):
        with pytest.raises((Unauthenticated, InDoubt)):
            await ask(peer, desk, "token")
    assert peer.available


async def test_probe_that_succeeds_closes_the_breaker() -> None:
    peer, desk, recovered = Peer("desk"), Desk(RpcError(Code.UNAVAILABLE)), asyncio.Event()
    peer.on_recovery = recovered.set
    await fail(peer, desk, client.BREAKER_MIN_CALLS)
    desk.error = None
    await ask(peer, desk)
    assert recovered.is_set()
    assert peer.available


@pytest.mark.parametrize(
    ("mode", "calls"), [(Mode.ERROR_BEFORE, 0), (Mode.EFFECT_THEN_ERROR, 1), (Mode.HANG, 0), (Mode.DUPLICATE, 2)]
)
async def test_call_passes_its_fault_point(mode: Mode, calls: int) -> None:
    peer, desk = Peer("desk"), Desk()
    with faults.arm(Fault(POINT, mode)) as counted:
        if mode is Mode.DUPLICATE:
            await ask(peer, desk)
        else:
            await fail(peer, desk, 1)
    assert (desk.calls, counted[POINT]) == (calls, 1)


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
async def test_only_trouble_of_the_peer_opens_the_breaker(code: Code) -> None:
    peer = Peer("desk")
    await fail(peer, Desk(RpcError(code, "")), client.BREAKER_MIN_CALLS)
    assert peer.available == (code in client.REQUEST_STATUSES)
