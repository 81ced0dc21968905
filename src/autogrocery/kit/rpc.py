"""gRPC on both ends: a server with health checks, and a client whose every unclear answer is `InDoubt`."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

from autogrocery.kit import faults
from autogrocery.kit.refusals import InDoubt, Unauthenticated
from autogrocery.kit.rpc_converse import Conversations
from autogrocery.kit.rpc_method import StreamMethod
from autogrocery.kit.rpc_terms import BULKHEAD, DRAIN_S, MAX_MESSAGE_BYTES, TOLD, status_of
from autogrocery.kit.rpc_tls import Callers, RenewedChannel, server_credentials
from autogrocery.kit.run import StartError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence

    from autogrocery.kit.tls import Identity

Reply = TypeVar("Reply")
BREAKER_WINDOW_S = 10.0
BREAKER_MIN_CALLS = 20
BREAKER_SHARE = 0.5
PROBE_EVERY_S = 1.0

SERVER_OPTIONS = (("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES))
CHANNEL_OPTIONS = (
    ("grpc.enable_retries", 0),  # the sweeper is the one retry layer
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),  # in truth the patience with one attempt, handshake and all
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
)


class Refusals(grpc.aio.ServerInterceptor):
    """Turns the three families into gRPC statuses; anything else is a bug, logged by gRPC and told as UNKNOWN."""

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        """Wrap unary methods only; a stream's calls are told one by one."""
        method = await continuation(details)
        if method is None or method.unary_unary is None:
            return method
        inner = method.unary_unary

        async def told(request: Any, context: Any) -> Any:
            try:
                return await inner(request, context)
            except TOLD as error:
                await context.abort(*status_of(error))

        return grpc.unary_unary_rpc_method_handler(told, method.request_deserializer, method.response_serializer)


@asynccontextmanager
async def serve(
    setting: str,
    host: str,
    port: int,
    add: Callable[[grpc.aio.Server], None],
    names: Sequence[str],
    *,
    identity: Identity | None = None,
    callers: Mapping[str, Collection[str]] | None = None,
) -> AsyncIterator[int]:
    """Serve the services that `add` registers, and health for `names`; yields the bound port.

    With `identity` over mutual TLS; `callers` then says by a method's name whose certificates may call it, nobody without a row.
    Raises StartError naming `setting` if the address is taken. Leaving drains calls for DRAIN_S seconds.
    """
    conversations = Conversations()
    checks = () if identity is None else (Callers(callers or {}),)
    server = grpc.aio.server(options=SERVER_OPTIONS, interceptors=(*checks, Refusals(), conversations))
    add(server)
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    try:
        if identity is None:
            bound = server.add_insecure_port(f"{host}:{port}")
        else:
            bound = server.add_secure_port(f"{host}:{port}", server_credentials(identity))
    except RuntimeError:
        bound = 0
    if not bound:
        raise StartError(f"{host}:{port} is in use: stop what holds it or set {setting} to another address")
    await server.start()
    for name in ("", *names):
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    try:
        yield bound
    finally:
        await servicer.enter_graceful_shutdown()
        await asyncio.gather(conversations.leave(DRAIN_S), server.stop(DRAIN_S))


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


def bearer(context: Any) -> str:
    """Return the bearer token in a call's metadata; raises Unauthenticated if there is none."""
    for key, value in context.invocation_metadata() or ():
        if key == "authorization" and value.startswith("Bearer "):
            return str(value[7:])
    raise Unauthenticated("invalid_token", "no bearer token in authorization metadata")
