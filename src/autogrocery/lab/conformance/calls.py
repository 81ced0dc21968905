"""Calls to the peer under test: each within a limit, timed, and kept as text for the report."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf import text_format

from autogrocery.lab.conformance.line import Exchange, Failed, Unimplemented

if TYPE_CHECKING:
    from google.protobuf.message import Message

KEPT: Final = 6
SHOWN_CHARS: Final = 400
LIMIT_S: Final = 5.0  # longer than any deadline of the gateway, so that a late answer is seen as late
DEADLINE_S: Final = 2.0  # docs/PROTOCOL.md#deadlines
SHORT_DEADLINE_S: Final = 1.0
SHORT: Final = frozenset({"ReserveItems", "CheckAvailability", "Quote"})
# How a peer may refuse nonsense with a status. Any other status says that the peer is broken, not the request.
REFUSALS: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)


class Calls:
    """The calls on one stub. `late` lists those that took longer than the gateway waits."""

    def __init__(self, channel: grpc.aio.Channel, stub: Any, patience: float) -> None:
        self._channel = channel
        self._stub = stub
        self._patience = patience
        self.exchanges: deque[Exchange] = deque(maxlen=KEPT)
        self.late: list[str] = []
        self.made = 0
        self.measuring = True

    async def ask(self, method: str, request: Message, token: str = "") -> Any:
        """Return the reply; raises Failed on any non-OK status, since that means "in doubt" and never "no"."""
        try:
            return await self._call(method, request, token)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                raise Unimplemented(f"{method} is UNIMPLEMENTED") from None
            raise Failed(f"{method} ended with {_status(error)}; a refusal is an answer in the reply") from None

    async def attempt(self, method: str, request: Message, token: str = "") -> Any:
        """Return the reply, or None if a status refused the request; raises Failed on a status that refuses nothing."""
        try:
            return await self._call(method, request, token)
        except grpc.aio.AioRpcError as error:
            if error.code() in REFUSALS:
                return None
            raise Failed(
                f"{method} of nonsense ended with {_status(error)}: refuse it in the reply or with INVALID_ARGUMENT"
            ) from None

    async def status(self, method: str, request: Message, token: str = "") -> grpc.StatusCode:
        """Return only the status of a call."""
        try:
            await self._call(method, request, token)
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    async def send_bytes(self, path: str, payload: bytes) -> grpc.StatusCode:
        """Call the method at `path`, as /package.Service/Method, with bytes that are no message; return the status."""
        call: Any = self._channel.unary_unary(path)
        try:
            await call(payload, timeout=LIMIT_S * self._patience)
            code = grpc.StatusCode.OK
        except grpc.aio.AioRpcError as error:
            code = error.code()
        self.exchanges.append(Exchange(f"{path} {payload[:KEPT]!r}…, {len(payload)} bytes", code.name))
        return code

    async def _call(self, method: str, request: Message, token: str) -> Any:
        metadata = (("authorization", f"Bearer {token}"),) if token else None
        began, answered = time.monotonic(), "no answer"
        try:
            reply = await getattr(self._stub, method)(
                request, timeout=LIMIT_S * self._patience, metadata=metadata, wait_for_ready=False
            )
            answered = "bytes that are no reply" if reply is None else shown(reply)
        except grpc.aio.AioRpcError as error:
            answered = _status(error)
            raise
        finally:
            took_s = time.monotonic() - began
            self.exchanges.append(Exchange(f"{method} {shown(request)}", f"{answered} after {took_s:.2f} s"))
            self._measure(method, took_s)
        if reply is None:  # gRPC logs that it can't be decoded, and returns None
            raise Failed(f"the reply of {method} can't be decoded")
        return reply

    def _measure(self, method: str, took_s: float) -> None:
        if not self.measuring:
            return
        self.made += 1
        bound_s = (SHORT_DEADLINE_S if method in SHORT else DEADLINE_S) * self._patience
        if took_s > bound_s:
            self.late.append(f"{method} took {took_s:.2f} s, the gateway waits {bound_s:g} s")


def shown(message: Message) -> str:
    """Return a message on one line, cut to SHOWN_CHARS."""
    text = text_format.MessageToString(message, as_one_line=True)
    return "{ " + (text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…") + " }"


def _status(error: grpc.aio.AioRpcError) -> str:
    return f"{error.code().name} ({(error.details() or '')[:SHOWN_CHARS]})"
