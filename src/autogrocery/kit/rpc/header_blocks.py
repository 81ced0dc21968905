"""Header blocks (RFC 7541) of requests and answers, for both ends.

Neither end has a dynamic table: blocks are written as literals without indexing, and the other end is told a table of
0 bytes. Once it has acknowledged that, a block means the same wherever it comes, so it is decoded once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpack import Decoder, HPACKError

from autogrocery.kit.rpc.frames import ErrorCode, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_LIST_BYTES: Final = 16_384  # decoded, as RFC 7541 §4.1 counts
CACHED_BLOCK_BYTES: Final = 1_024  # with a token; a larger one holds something of its own
CACHED_BLOCKS: Final = 256
NO_TABLE: Final = b"\x20"  # before our first block: our dynamic table has 0 bytes (RFC 7541 §6.3)
SECRET: Final = frozenset({b"authorization"})  # never indexed by anyone on the way (RFC 7541 §7.1.3)
CONNECTION_SPECIFIC: Final = frozenset(  # RFC 9113 §8.2.2
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
_WHOLE: Final = {  # fields that the static table has, RFC 7541 Appendix A
    (b":method", b"POST"): b"\x83",
    (b":scheme", b"http"): b"\x86",
    (b":scheme", b"https"): b"\x87",
    (b":status", b"200"): b"\x88",
}
_NAMES: Final = {b":authority": b"\x01", b":path": b"\x04", b":status": b"\x08"}
_PREFIX_7: Final = 127
_MORE: Final = 128


class MalformedFieldsError(ValueError):
    """Fields that no request and no answer may have (RFC 9113 §8.2, §8.3): an error of their stream only."""


def encode(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a header block of fields whose names are lower case, pseudo-header fields first."""
    parts = []
    for name, value in fields:
        whole = _WHOLE.get((name, value))
        if whole is not None:
            parts.append(whole)
        elif name in _NAMES:
            parts += (_NAMES[name], _string(value))
        else:
            parts += (b"\x10" if name in SECRET else b"\x00", _string(name), _string(value))
    return b"".join(parts)


def _string(text: bytes) -> bytes:
    """Return a string literal without Huffman coding (RFC 7541 §5.1, §5.2)."""
    size = len(text)
    if size < _PREFIX_7:
        return bytes((size,)) + text
    head = bytearray((_PREFIX_7,))
    size -= _PREFIX_7
    while size >= _MORE:
        head.append(size % _MORE | _MORE)
        size //= _MORE
    head.append(size)
    return bytes(head) + text


class BlockDecoder:
    """Decodes the blocks of one connection, in the order in which they come."""

    def __init__(self) -> None:
        self._decoder = Decoder(max_header_list_size=MAX_LIST_BYTES)
        self._without_table = False
        self._decoded: dict[bytes, dict[bytes, bytes]] = {}

    def drop_table(self) -> None:
        """Go on without a dynamic table: to be called when the peer acknowledges HEADER_TABLE_SIZE 0."""
        self._decoder.header_table_size = 0
        self._decoder.max_allowed_table_size = 0
        self._without_table = True

    def decode(self, block: bytes) -> dict[bytes, bytes]:
        """Return a block's fields, not to be changed; the values of a repeated name are joined by commas.

        Raises ProtocolError if the block can't be decoded or is too large, which leaves the connection of no use, and
        MalformedFieldsError if only its fields are wrong.
        """
        fields = self._decoded.get(block)
        if fields is None:
            try:
                pairs = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]
            except (HPACKError, IndexError, ValueError) as error:
                raise ProtocolError(ErrorCode.COMPRESSION_ERROR, type(error).__name__) from error
            fields = _checked(pairs)
            if self._without_table and len(block) <= CACHED_BLOCK_BYTES:
                if len(self._decoded) >= CACHED_BLOCKS:
                    self._decoded.clear()
                self._decoded[block] = fields
        return fields


def _checked(pairs: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    fields: dict[bytes, bytes] = {}
    regular = False
    for name, value in pairs:
        if not name or name != name.lower() or name in CONNECTION_SPECIFIC or not _printable(name):
            raise MalformedFieldsError("a name that no field may have")
        if b"\0" in value or b"\r" in value or b"\n" in value:
            raise MalformedFieldsError("a value that no field may have")
        pseudo = name[0] == ord(":")
        if pseudo and (regular or name in fields):
            raise MalformedFieldsError("a pseudo-header field twice, or after others")
        regular = not pseudo
        fields[name] = fields[name] + b"," + value if name in fields else value
    return fields


def _printable(name: bytes) -> bool:
    return all(0x20 < octet < 0x7F for octet in name)  # noqa: PLR2004 - RFC 9113 §8.2.1
