"""Calls to the peer under test: each within a limit, timed, and kept as text for the report."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import text_format

from autogrocery.kit.rpc.status import Code, RpcError, UndecodableError
from autogrocery.lab.conformance.line import Exchange, Failed, Unimplemented

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from autogrocery.kit.rpc.client_call import Caller

KEPT: Final = 6
SHOWN_CHARS: Final = 400
LIMIT_S: Final = 5.0  # longer than any deadline of the gateway, so that a late answer is seen as late
DEADLINE_S: Final = 2.0  # docs/PROTOCOL.md#deadlines
SHORT_DEADLINE_S: Final = 1.0
SHORT: Final = frozenset({"ReserveItems", "CheckAvailability", "Quote"})
# How a peer may refuse nonsense with a status. Any other status says that the peer is broken, not the request.
REFUSALS: Final = frozenset(
    {
        Code.INVALID_ARGUMENT,
        Code.OUT_OF_RANGE,
        Code.FAILED_PRECONDITION,
        Code.NOT_FOUND,
        Code.RESOURCE_EXHAUSTED,
    }
)


class Calls:
    """The calls of one service. `late` lists those that took longer than the gateway waits."""

    def __init__(self, channel: Caller, methods: Any, patience: float) -> None:
        self._channel = channel
        self._methods = methods
        self._patience = patience
        self.exchanges: deque[Exchange] = deque(maxlen=KEPT)
        self.late: list[str] = []
        self.made = 0
        self.measuring = True

    async def ask(self, method: str, request: Message, token: str = "") -> Any:
        """Return the reply; raises Failed on any non-OK status, since that means "in doubt" and never "no"."""
        try:
            return await self._call(method, request, token)
        except RpcError as error:
            if error.code is Code.UNIMPLEMENTED:
                raise Unimplemented(f"{method} is UNIMPLEMENTED") from None
            raise Failed(f"{method} ended with {_status(error)}; a refusal is an answer in the reply") from None

    async def attempt(self, method: str, request: Message, token: str = "") -> Any:
        """Return the reply, or None if a status refused the request; raises Failed on a status that refuses nothing."""
        try:
            return await self._call(method, request, token)
        except RpcError as error:
            if error.code in REFUSALS:
                return None
            raise Failed(
                f"{method} of nonsense ended with {_status(error)}: refuse it in the reply or with INVALID_ARGUMENT"
            ) from None

    async def status(self, method: str, request: Message, token: str = "") -> Code:
        """Return only the status of a call."""
        try:
            await self._call(method, request, token)
        except RpcError as error:
            return error.code
        return Code.OK

    async def send_bytes(self, path: str, payload: bytes) -> Code:
        """Call the method at `path`, as /package.Service/Method, with bytes that are no message; return the status."""
        try:
            await self._channel.raw(path)(payload, timeout_s=LIMIT_S * self._patience)
            code = Code.OK
        except RpcError as error:
            code = error.code
        self.exchanges.append(Exchange(f"{path} {payload[:KEPT]!r}…, {len(payload)} bytes", code.name))
        return code

    async def _call(self, method: str, request: Message, token: str) -> Any:
        began, answered = time.monotonic(), "no answer"
        try:
            reply = await getattr(self._methods, method)(
                request, timeout_s=LIMIT_S * self._patience, token=token or None
            )
            answered = shown(reply)
        except UndecodableError:
            answered = "bytes that are no reply"
            raise Failed(f"the reply of {method} can't be decoded") from None
        except RpcError as error:
            answered = _status(error)
            raise
        finally:
            took_s = time.monotonic() - began
            self.exchanges.append(Exchange(f"{method} {shown(request)}", f"{answered} after {took_s:.2f} s"))
            self._measure(method, took_s)
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


def _status(error: RpcError) -> str:
    return f"{error.code.name} ({error.detail[:SHOWN_CHARS]})"
