from __future__ import annotations

from contextlib import suppress

import pytest
from hpack import Decoder, Encoder
from hpack.struct import NeverIndexedHeaderTuple
from hypothesis import given
from hypothesis import strategies as st

from autogrocery.kit.rpc import header_blocks
from autogrocery.kit.rpc.frames import ErrorCode, ProtocolError
from autogrocery.kit.rpc.header_blocks import BlockDecoder, MalformedFieldsError, encode

# RFC 7541 Appendix C.3, C.4 (requests), C.5, C.6 (responses): three blocks each on one connection.
REQUESTS = [
    {b":method": b"GET", b":scheme": b"http", b":path": b"/", b":authority": b"www.example.com"},
    {
        b":method": b"GET",
        b":scheme": b"http",
        b":path": b"/",
        b":authority": b"www.example.com",
        b"cache-control": b"no-cache",
    },
    {
        b":method": b"GET",
        b":scheme": b"https",
        b":path": b"/index.html",
        b":authority": b"www.example.com",
        b"custom-key": b"custom-value",
    },
]
PLAIN = [
    "828684410f7777772e6578616d706c652e636f6d",
    "828684be58086e6f2d6361636865",
    "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
]
HUFFMAN = [
    "828684418cf1e3c2e5f23a6ba0ab90f4ff",
    "828684be5886a8eb10649cbf",
    "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
]
DATES = b"Mon, 21 Oct 2013 20:13:21 GMT", b"Mon, 21 Oct 2013 20:13:22 GMT"
LOCATION = b"https://www.example.com"
COOKIE = b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
RESPONSES = [
    {b":status": b"302", b"cache-control": b"private", b"date": DATES[0], b"location": LOCATION},
    {b":status": b"307", b"cache-control": b"private", b"date": DATES[0], b"location": LOCATION},
    {
        b":status": b"200",
        b"cache-control": b"private",
        b"date": DATES[1],
        b"location": LOCATION,
        b"content-encoding": b"gzip",
        b"set-cookie": COOKIE,
    },
]
# With the table of 256 bytes that Appendix C.5 supposes, announced at the start of the first block.
PLAIN_RESPONSES = [
    (
        "3fe101"
        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54"
        "6e1768747470733a2f2f7777772e6578616d706c652e636f6d"
    ),
    "4803333037c1c0bf",
    (
        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a6970"
        "7738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b"
        "2076657273696f6e3d31"
    ),
]
HUFFMAN_RESPONSES = [
    "3fe101488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
    "4883640effc1c0bf",
    (
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab"
        "77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007"
    ),
]


@pytest.mark.parametrize(
    ("blocks", "fields"),
    [(PLAIN, REQUESTS), (HUFFMAN, REQUESTS), (PLAIN_RESPONSES, RESPONSES), (HUFFMAN_RESPONSES, RESPONSES)],
    ids=["C.3", "C.4", "C.5", "C.6"],
)
def test_examples_of_rfc_7541(blocks: list[str], fields: list[dict[bytes, bytes]]) -> None:
    decoder = BlockDecoder()
    assert [decoder.decode(bytes.fromhex(block)) for block in blocks] == fields


VALUES = st.binary(max_size=400).filter(lambda value: not set(value) & set(b"\0\r\n"))
NAMES = st.from_regex(rb"[a-z][a-z0-9-]{0,30}", fullmatch=True).filter(
    lambda name: name not in header_blocks.CONNECTION_SPECIFIC
)


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_what_is_encoded_is_decoded(regular: dict[bytes, bytes]) -> None:
    fields = {b":method": b"POST", b":scheme": b"http", b":path": b"/a/b", b":authority": b"h:1", **regular}
    assert BlockDecoder().decode(header_blocks.NO_TABLE + encode(fields.items())) == fields


def test_authorization_is_never_indexed() -> None:
    fields = Decoder().decode(encode([(b"te", b"trailers"), (b"authorization", b"Bearer x")]), raw=True)
    assert [isinstance(field, NeverIndexedHeaderTuple) for field in fields] == [False, True]


def test_repeated_values_are_joined() -> None:
    assert BlockDecoder().decode(encode([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")])) == {b"a": b"1,3", b"b": b"2"}


@pytest.mark.parametrize(
    "fields",
    [
        [(b":status", b"200"), (b":status", b"200")],
        [(b"a", b"1"), (b":status", b"200")],
        [(b"Grpc-Status", b"0")],
        [(b"", b"x")],
        [(b"a b", b"x")],
        [(b"a", b"x\r\ny")],
        [(b"connection", b"close")],
    ],
)
def test_malformed_fields_are_an_error_of_their_stream(fields: list[tuple[bytes, bytes]]) -> None:
    decoder = BlockDecoder()
    with pytest.raises(MalformedFieldsError):
        decoder.decode(encode(fields))
    assert decoder.decode(encode([(b"a", b"1")])) == {b"a": b"1"}


@pytest.mark.parametrize("block", ["ff" * 20, "80", "be", "00", "0085ff", "3fe1ff", "0f", "828220"])
def test_block_that_cannot_be_decoded_is_an_error_of_the_connection(block: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        BlockDecoder().decode(bytes.fromhex(block))
    assert caught.value.code is ErrorCode.COMPRESSION_ERROR


def test_small_block_that_means_too_much_is_an_error() -> None:
    value = b"x" * 4_000
    bomb = Encoder().encode([(b"a", value)], huffman=False) + b"\xbe" * 10
    with pytest.raises(ProtocolError):
        BlockDecoder().decode(bomb)


def test_block_is_decoded_once_without_a_table() -> None:
    decoder, block = BlockDecoder(), encode([(b"grpc-status", b"0")])
    assert decoder.decode(block) is not decoder.decode(block)
    decoder.drop_table()
    assert decoder.decode(block) is decoder.decode(block)
    large = encode([(b"grpc-message", b"x" * header_blocks.CACHED_BLOCK_BYTES)])
    assert decoder.decode(large) is not decoder.decode(large)


def test_decoded_blocks_are_bounded() -> None:
    decoder = BlockDecoder()
    decoder.drop_table()
    for number in range(3 * header_blocks.CACHED_BLOCKS):
        decoder.decode(encode([(b"a", b"%d" % number)]))
    assert len(decoder._decoded) <= header_blocks.CACHED_BLOCKS


def test_a_peer_that_indexes_without_a_table_refers_to_nothing() -> None:
    decoder, encoder = BlockDecoder(), Encoder()
    encoder.encode([(b"custom", b"value")])
    decoder.drop_table()
    with pytest.raises(ProtocolError):
        decoder.decode(encoder.encode([(b"custom", b"value")]))


def test_a_peer_that_announces_its_smaller_table_is_understood() -> None:
    decoder, encoder = BlockDecoder(), Encoder()
    decoder.decode(encoder.encode([(b"custom", b"value")]))
    decoder.drop_table()
    encoder.header_table_size = 0
    assert decoder.decode(encoder.encode([(b"custom", b"value")])) == {b"custom": b"value"}


@given(st.binary(max_size=300))
def test_any_block_is_fields_or_an_error(block: bytes) -> None:
    with suppress(ProtocolError, MalformedFieldsError):
        assert isinstance(BlockDecoder().decode(block), dict)
