"""gRPC client: a channel, and calls with a deadline, a bound and a breaker, whose every unclear answer is `InDoubt`."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import grpc

from autogrocery.kit.errors import InDoubt, Unauthenticated
from autogrocery.kit.process import faults
from autogrocery.kit.rpc.status import BULKHEAD, MAX_MESSAGE_BYTES
from autogrocery.kit.rpc.stream_method import StreamMethod
from autogrocery.kit.rpc.tls import RenewedChannel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from autogrocery.kit.security.tls import Identity

Reply = TypeVar("Reply")
BREAKER_WINDOW_S = 10.0
BREAKER_MIN_CALLS = 20
BREAKER_SHARE = 0.5
PROBE_EVERY_S = 1.0

CHANNEL_OPTIONS = (
    ("grpc.enable_retries", 0),  # the sweeper is the one retry layer
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),  # in truth the patience with one attempt, handshake and all
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
)


@asynccontextmanager
async def open_channel(
    target: str, identity: Identity | None = None, name: str = ""
) -> AsyncIterator[grpc.aio.Channel]:
    """Open a channel; it connects when first used, and again after every loss.

    With `identity` over mutual TLS, to a peer whose certificate is for `name` and to nobody else.
    """
    if identity is None:
        async with grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS) as channel:
            yield channel
        return
    renewed = RenewedChannel(target, identity, name, CHANNEL_OPTIONS)
    try:
        yield cast("grpc.aio.Channel", renewed)
    finally:
        await renewed.close()


class Peer:
    """One peer's calls: a deadline on each, a bound on those at once, and a breaker that spares a peer which is down.

    The bound is BULKHEAD for unary methods, and that of its stream for a StreamMethod.

    The breaker opens at BREAKER_SHARE failures of at least BREAKER_MIN_CALLS in BREAKER_WINDOW_S; then one probe a second
    passes. Its first success closes it and calls `on_recovery`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.on_recovery: Callable[[], None] = lambda: None
        self._room = asyncio.Semaphore(BULKHEAD)
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=1_000)
        self._open = False
        self._probe_at = 0.0

    @property
    def available(self) -> bool:
        """False while the breaker is open."""
        return not self._open

    async def call(
        self,
        method: Callable[..., Awaitable[Reply]],
        request: Any,
        *,
        timeout_s: float,
        point: str,
        token: str | None = None,
    ) -> Reply:
        """Make one call within `timeout_s`; raises InDoubt on any non-OK status, on no answer, and while the breaker is open."""
        if self._open and not self._may_probe():
            raise InDoubt(self.name, "its breaker is open")
        reply: Reply
        metadata = (("authorization", f"Bearer {token}"),) if token else None
        try:
            if isinstance(method, StreamMethod) and not faults.counting():
                reply = await method(request, timeout=timeout_s, metadata=metadata)  # it keeps deadline and bound
            else:
                async with asyncio.timeout(timeout_s):
                    reply = await faults.through(
                        point, lambda: self._bounded(method, request, timeout=timeout_s, metadata=metadata)
                    )
        except grpc.aio.AioRpcError as error:
            self._note(ok=error.code() in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                raise Unauthenticated("invalid_token", f"{self.name} did not accept the token") from error
            raise InDoubt(self.name, error.code().name.lower()) from error
        except (TimeoutError, OSError, grpc.aio.UsageError) as error:
            self._note(ok=False)
            raise InDoubt(self.name, type(error).__name__) from error
        self._note(ok=True)
        return reply

    async def _bounded(self, method: Callable[..., Awaitable[Reply]], request: Any, **how: Any) -> Reply:
        if isinstance(method, StreamMethod):
            reply: Reply = await method(request, **how)
            return reply
        async with self._room:
            return await method(request, **how)

    def _may_probe(self) -> bool:
        now = time.monotonic()
        if now < self._probe_at:
            return False
        self._probe_at = now + PROBE_EVERY_S * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        return True

    def _note(self, *, ok: bool) -> None:
        now = time.monotonic()
        if self._open:
            if ok:
                self._open = False
                self._outcomes.clear()
                self.on_recovery()
            return
        self._outcomes.append((now, ok))
        while self._outcomes and self._outcomes[0][0] < now - BREAKER_WINDOW_S:
            self._outcomes.popleft()
        if ok or len(self._outcomes) < BREAKER_MIN_CALLS:
            return
        failed = sum(not good for _, good in self._outcomes)
        self._open = failed >= BREAKER_SHARE * len(self._outcomes)
