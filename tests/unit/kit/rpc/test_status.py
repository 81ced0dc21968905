from __future__ import annotations

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autogrocery.kit.errors import Gone, InDoubt, Unauthenticated
from autogrocery.kit.rpc.status import Code, code_of, decode_detail, encode_detail, status_of


def test_codes_are_those_of_grpc() -> None:
    assert {code.name: int(code) for code in Code} == {code.name: code.value[0] for code in grpc.StatusCode}


@given(st.text(max_size=200).filter(lambda text: text.isprintable() or text.isascii()))
def test_detail_survives_its_encoding(detail: str) -> None:
    encoded = encode_detail(detail)
    assert decode_detail(encoded) == detail
    assert all(0x20 <= octet < 0x7F for octet in encoded)


@pytest.mark.parametrize(
    ("sent", "read"), [(b"100%", "100%"), (b"%zz%41", "%zzA"), (b"%ff", "\N{REPLACEMENT CHARACTER}"), (b"", "")]
)
def test_detail_that_is_no_valid_encoding_is_shown_as_it_is(sent: bytes, read: str) -> None:
    assert decode_detail(sent) == read


@pytest.mark.parametrize(("field", "code"), [(b"0", Code.OK), (b"14", Code.UNAVAILABLE), (b"17", Code.UNKNOWN)])
def test_code_of_a_field(field: bytes, code: Code) -> None:
    assert code_of(field) is code


@pytest.mark.parametrize("field", [b"", b"00", b"-1", b" 0", b"x", b"\xd9\xa1"])
def test_field_that_is_no_code_is_unknown(field: bytes) -> None:
    assert code_of(field) is Code.UNKNOWN


def test_status_of_our_errors_is_that_of_the_nearest_kind() -> None:
    assert status_of(Gone("gone", "it was")) == (Code.INVALID_ARGUMENT, "it was")
    assert status_of(Unauthenticated("invalid_token", "no")) == (Code.UNAUTHENTICATED, "no")
    assert status_of(InDoubt("peer", "silent")) == (Code.UNAVAILABLE, "silent")
