"""gRPC client: a channel, and calls with a deadline, a limit and a breaker; any unclear outcome is `InDoubt`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import grpc
from prometheus_client import Counter

from autogrocery.kit.backoff import spread_s
from autogrocery.kit.errors import InDoubt, Unauthenticated
from autogrocery.kit.process import faults
from autogrocery.kit.process.listening import reachable
from autogrocery.kit.process.log import log
from autogrocery.kit.rpc.status import BULKHEAD, MAX_MESSAGE_BYTES
from autogrocery.kit.rpc.stream_method import StreamMethod
from autogrocery.kit.rpc.tls import RotatingChannel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from autogrocery.kit.security.tls import Identity

Reply = TypeVar("Reply")
BREAKER_WINDOW_S = 10.0
BREAKER_MIN_CALLS = 20
BREAKER_SHARE = 0.5
PROBE_EVERY_S = 1.0

CHANNEL_OPTIONS = (
    ("grpc.enable_retries", 0),  # the sweep loop is the only layer that retries
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),  # in fact the time limit of one attempt to connect, handshake included
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.enable_http_proxy", 0),  # http_proxy and grpc_proxy of the environment are meant for browsers
)
# Of a call with a token these statuses are answers about that token; of any other call they are no answer.
TOKEN_STATUSES = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
# What is wrong with one request is no sign of a peer that is down: a device's odd value must not open the breaker.
REQUEST_STATUSES = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
    }
)
REJECTED_REPLIES = Counter(
    "peer_replies_rejected",
    "Replies that are no clear answer, by peer, by what of the reply is wrong, and by what is wrong with it",
    ["peer", "field", "reason"],
)


@asynccontextmanager
async def open_channel(
    target: str, identity: Identity | None = None, name: str = ""
) -> AsyncIterator[grpc.aio.Channel]:
    """Open a channel; it connects at its first call and reconnects after every loss. 0.0.0.0 and [::] mean loopback.

    With `identity` it uses mutual TLS, and only with a peer whose certificate is for `name`.
    """
    logging.getLogger("grpc._common").addFilter(_is_worth_logging)
    target = reachable(target)
    if identity is None:
        async with grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS) as channel:
            yield channel
        return
    rotating = RotatingChannel(target, identity, name, CHANNEL_OPTIONS)
    try:
        yield cast("grpc.aio.Channel", rotating)
    finally:
        await rotating.close()


def _is_worth_logging(record: logging.LogRecord) -> bool:
    """Return False for gRPC's traceback of a reply that can't be decoded: `Peer.rejected` says it in one line."""
    return not record.getMessage().startswith("Exception deserializing")


class Peer:
    """The calls to one peer: each has a deadline, their concurrency is limited, a breaker spares a peer that is down.

    The limit is BULKHEAD for unary methods, and that of its stream for a StreamMethod.

    The breaker opens when at least BREAKER_SHARE of the calls of the last BREAKER_WINDOW_S seconds failed, of which
    there are at least BREAKER_MIN_CALLS. A call that ends with one of REQUEST_STATUSES has not failed. While it is
    open, one call every PROBE_EVERY_S seconds ± 20 % passes as a probe; the first that succeeds closes it and calls
    `on_recovery`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.on_recovery: Callable[[], None] = lambda: None
        self._slots = asyncio.Semaphore(BULKHEAD)
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=1_000)
        self._open = False
        self._probe_at = 0.0

    @property
    def available(self) -> bool:
        """Whether the breaker is closed."""
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
        """Make one call within `timeout_s` seconds through the fault point `point`.

        Raises InDoubt on any non-OK status, on a reply that can't be decoded, on no answer, and while the breaker is
        open. Only a call with a `token` of its own raises Unauthenticated if the peer does not accept that.
        """
        if self._open and not self._may_probe():
            raise InDoubt(self.name, "its breaker is open")
        metadata = (("authorization", f"Bearer {token}"),) if token else None
        # A StreamMethod keeps deadline and limit itself.
        bounded = method if isinstance(method, StreamMethod) else partial(self._bounded, method)
        try:
            reply: Reply = await faults.through(
                point, lambda: bounded(request, timeout=timeout_s, metadata=metadata), timeout_s
            )
        except grpc.aio.AioRpcError as error:
            is_up = error.code() in REQUEST_STATUSES or (token is not None and error.code() in TOKEN_STATUSES)
            self._note(ok=is_up)
            if token is not None and error.code() is grpc.StatusCode.UNAUTHENTICATED:
                raise Unauthenticated("invalid_token", f"{self.name} did not accept the token") from error
            raise InDoubt(self.name, error.code().name.lower()) from error
        except (TimeoutError, OSError, grpc.RpcError, grpc.aio.BaseError) as error:
            self._note(ok=False)
            raise InDoubt(self.name, type(error).__name__) from error
        if reply is None:  # gRPC's value for a message that its parser refuses
            self._note(ok=False)
            raise self.rejected(point.rpartition(".")[2], "undecodable")
        self._note(ok=True)
        return reply

    def rejected(self, field: str, reason: str) -> InDoubt:
        """Return the error for a reply that is no clear answer; logs and counts it.

        `field` names the call and what of its reply is wrong, `reason` what is wrong with it: both are constants of
        the program, so that the counter has few labels and no log line shows what the peer sent.
        """
        REJECTED_REPLIES.labels(self.name, field, reason).inc()
        log.warning("peer_reply_rejected", peer=self.name, field=field, reason=reason)
        return InDoubt(self.name, f"{field} is {reason}")

    async def _bounded(
        self,
        method: Callable[..., Awaitable[Reply]],
        request: Any,
        *,
        timeout: float,  # noqa: ASYNC109 - the form of gRPC's own methods
        metadata: Any,
    ) -> Reply:
        async with asyncio.timeout(timeout), self._slots:
            return await method(request, timeout=timeout, metadata=metadata)

    def _may_probe(self) -> bool:
        now = time.monotonic()
        if now < self._probe_at:
            return False
        self._probe_at = now + spread_s(PROBE_EVERY_S)
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
        failed = sum(not succeeded for _, succeeded in self._outcomes)
        self._open = failed >= BREAKER_SHARE * len(self._outcomes)
