"""Token and webhook verifiers against a reference HMAC: they accept exactly the valid tags."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from typing import TYPE_CHECKING, Final

import pytest

from autogrocery.kit.errors import Unauthenticated
from autogrocery.kit.security.tokens import Verifier, issue
from autogrocery.kit.security.webhooks import WebhookVerifier
from tests.security.reference_hmac import Vector, hmac_sha256, sha256, vectors

if TYPE_CHECKING:
    from collections.abc import Callable

SEED: Final = 20_261_127
VECTORS: Final = list(vectors(SEED))
NOW: Final = 1_800_000_000
ID: Final = "msg_1"

# FIPS 180-4's own examples, and RFC 4231's test cases 1, 2, 3 and 6.
DIGESTS: Final = {
    b"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    b"": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": (
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
}
TAGS: Final = [
    (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    (b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
]


@pytest.mark.parametrize(("message", "digest"), DIGESTS.items())
def test_reference_sha256_matches_fips_180_4_examples(message: bytes, digest: str) -> None:
    assert sha256(message).hex() == digest


@pytest.mark.parametrize(("key", "message", "tag"), TAGS)
def test_reference_hmac_matches_rfc_4231_vectors(key: bytes, message: bytes, tag: str) -> None:
    assert hmac_sha256(key, message).hex() == tag


def test_reference_sha256_matches_hashlib_at_every_length() -> None:
    octets = os.urandom(200)
    assert all(sha256(octets[:n]) == hashlib.sha256(octets[:n]).digest() for n in range(200))


def test_vectors_include_valid_and_invalid_tags() -> None:
    assert len(VECTORS) >= 450
    assert sum(one.valid for one in VECTORS) >= 60


def accepted(verify: Callable[[], object]) -> bool:
    try:
        verify()
    except Unauthenticated:
        return False
    return True


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def over(one: Vector, signed: bytes) -> bytes:
    """Return a tag over `signed` that is valid or wrong in the same way as the vector's tag over its message."""
    right, given = hmac_sha256(one.key, one.message), one.tag
    fresh = hmac_sha256(one.key, signed)
    if given == right and one.valid:
        return fresh
    if len(given) != len(right):
        return (fresh + given[len(right) :])[: len(given)]
    changed = bytes(a ^ b for a, b in zip(right, given, strict=True))
    return bytes(a ^ b for a, b in zip(fresh, changed if any(changed) else b"\1" * 32, strict=True))


@pytest.mark.parametrize("start", range(0, len(VECTORS), 50))
def test_webhook_verifies_exactly_if_the_vector_is_valid(start: int) -> None:
    for one in VECTORS[start : start + 50]:
        tag = over(one, f"{ID}.{NOW}.".encode() + one.message)
        sent = {
            "webhook-id": ID,
            "webhook-timestamp": str(NOW),
            "webhook-signature": "v1," + base64.b64encode(tag).decode(),
        }
        verifier = WebhookVerifier([one.key], clock=lambda: NOW)
        assert accepted(lambda: verifier.verify(one.message, sent.get)) is one.valid, one.comment  # noqa: B023 - called immediately


HEADER: Final = b64(b'{"alg":"HS256","typ":"at+jwt"}')


@pytest.mark.parametrize("start", range(0, len(VECTORS), 50))
def test_token_verifies_exactly_if_the_vector_is_valid(start: int) -> None:
    for one in VECTORS[start : start + 50]:
        claims = {
            "iss": "tests",
            "aud": "here",
            "sub": "7",
            "device_id": "d",
            "scope": one.message.hex()[:60] or "x",
            "iat": NOW,
            "nbf": NOW,
            "exp": NOW + 900,
            "jti": "j",
        }
        signed = f"{HEADER}.{b64(json.dumps(claims).encode())}"
        token = f"{signed}.{b64(over(one, signed.encode()))}"
        verifier = Verifier([one.key], issuer="tests", audience="here", clock=lambda: NOW)
        assert accepted(lambda: verifier.verify(token)) is one.valid, one.comment  # noqa: B023 - called immediately


def test_issued_token_has_the_reference_signature() -> None:
    key = os.urandom(40)
    token = issue(key, issuer="i", audience="a", user_id=1, principal="d", scopes=("s",), ttl_s=60)
    signed, _, tag = token.rpartition(".")
    assert b64(hmac_sha256(key, signed.encode())) == tag
