"""One call at the client's end, what its answer says, and the forms that both transports give to callers."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final, Protocol

from google.protobuf.message_factory import GetMessageClass
from msgspec import Struct

from autogrocery.kit.rpc.status import (
    HTTP_CODES,
    MAX_MESSAGE_BYTES,
    MESSAGE_HEAD_BYTES,
    Code,
    RpcError,
    code_of,
    decode_detail,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, MutableMapping

    from google.protobuf.descriptor import MethodDescriptor

ANY_ZLIB_HEADER: Final = 32  # gzip's or zlib's own, see zlib.decompress


class Method(Protocol):
    """One unary method of a peer."""

    async def __call__(self, request: Any, *, timeout_s: float, token: str | None = None) -> Any:
        """Return the reply within `timeout_s` seconds; raises RpcError, and nothing else."""


class Caller:
    """Makes methods: a Channel, or its fallback on grpcio."""

    def unary(self, descriptor: MethodDescriptor) -> Method:
        """Return a method of a .proto file."""
        request, reply = GetMessageClass(descriptor.input_type), GetMessageClass(descriptor.output_type)
        path = f"/{descriptor.containing_service.full_name}/{descriptor.name}"
        return self.method(path, request.SerializeToString, reply.FromString)

    def raw(self, path: str) -> Method:
        """Return the method at `path`, as /package.Service/Method, whose request and reply are bytes."""
        return self.method(path, bytes, bytes)

    def method(self, path: str, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]) -> Method:
        """Return the method at `path`; `encode` makes a request's bytes, `decode` a reply of its bytes."""
        raise NotImplementedError


class Call(Struct, eq=False):
    """One call: its request, what has come of its answer, and the future of its outcome, which never has an exception.

    `head` is the frame of its header block without the stream id, `message` has its prefix of 5 bytes, `left` is what
    did not leave at once of it. `live` maps the numbers of all calls that have not ended.
    """

    number: int
    outcome: asyncio.Future[bytes | RpcError]
    head: bytes
    message: bytes
    live: MutableMapping[int, Call]
    attempts: int = 0
    connection: Any = None  # that it was sent on, while it is in flight there
    stream: int = 0
    window: int = 0
    left: bytes = b""
    fields: dict[bytes, bytes] | None = None
    body: bytes | bytearray = b""

    def end(self, outcome: bytes | RpcError) -> None:
        """Hand the outcome to the caller, unless that has gone."""
        self.live.pop(self.number, None)
        self.connection = None
        if not self.outcome.done():
            self.outcome.set_result(outcome)


def outcome_of(fields: dict[bytes, bytes], trailers: dict[bytes, bytes], body: bytes | bytearray) -> bytes | RpcError:
    """Return the message of an answer, or the error that it is."""
    http_status, status = fields.get(b":status", b""), trailers.get(b"grpc-status")
    if status is None or not fields.get(b"content-type", b"").startswith(b"application/grpc"):
        return RpcError(HTTP_CODES.get(http_status, Code.UNKNOWN), f"HTTP {http_status.decode('latin-1')} without gRPC")
    if status != b"0":
        return RpcError(code_of(status), decode_detail(trailers.get(b"grpc-message", b"")))
    size = len(body) - MESSAGE_HEAD_BYTES
    if http_status != b"200" or size < 0 or int.from_bytes(body[1:MESSAGE_HEAD_BYTES], "big") != size:
        return RpcError(Code.INTERNAL, "an OK without exactly one message")
    message = bytes(body[MESSAGE_HEAD_BYTES:])
    return _decompressed(message) if body[0] else message


def _decompressed(message: bytes) -> bytes | RpcError:
    """Return a message that was compressed with gzip or zlib, as grpcio's server may do though we don't accept it."""
    inflating = zlib.decompressobj(zlib.MAX_WBITS | ANY_ZLIB_HEADER)
    try:
        found = inflating.decompress(message, MAX_MESSAGE_BYTES + 1)
    except zlib.error:
        return RpcError(Code.INTERNAL, "the answer's compression is unknown")
    if len(found) > MAX_MESSAGE_BYTES:
        return RpcError(Code.RESOURCE_EXHAUSTED, "the answer is too large")
    return found if inflating.eof else RpcError(Code.INTERNAL, "the compressed answer is cut off")
