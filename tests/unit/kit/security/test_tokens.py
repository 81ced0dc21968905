"""Access tokens: issued tokens verify, and nothing else does."""

from __future__ import annotations

from contextlib import suppress

import jwt
import pytest
from msgspec import Struct

from autogrocery.kit.errors import Unauthenticated
from autogrocery.kit.security.tokens import MAX_CACHED_TOKENS, Claims, Verifier, issue
from tests.security.hostile_tokens import HEADER, Forge

KEY = b"first-key-of-at-least-32-bytes--"
OLD = b"older-key-of-at-least-32-bytes--"
PEM = b"%bBEGIN PUBLIC KEY%b\nx\n%bEND PUBLIC KEY%b\n" % ((b"-" * 5,) * 4)
NOW = 1_800_000_000
GOOD = {
    "iss": "tests",
    "aud": "here",
    "sub": "7",
    "device_id": "fridge-1",
    "scope": "orders:read orders:write",
    "iat": NOW,
    "nbf": NOW,
    "exp": NOW + 900,
    "jti": "abc",
}


class Clock(Struct):
    """A clock that a test sets."""

    at: float = NOW

    def __call__(self) -> float:
        return self.at


def verifier(*keys: bytes, clock: Clock | None = None, leeway_s: int = 5) -> Verifier:
    return Verifier(keys or (KEY,), issuer="tests", audience="here", leeway_s=leeway_s, clock=clock or Clock())


FORGE = Forge(KEY, GOOD, NOW)
claimed, sealed = FORGE.claimed, FORGE.sealed
HOSTILE = FORGE.hostile()


@pytest.mark.parametrize("token", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_token_raises_invalid_token(token: str) -> None:
    with pytest.raises(Unauthenticated) as refusal:
        verifier().verify(token)
    assert refusal.value.code == "invalid_token"
    assert refusal.value.detail == "The access token is missing, malformed, expired or not meant for this."


def test_unmodified_base_of_the_hostile_tokens_verifies() -> None:
    assert verifier().verify(claimed()).user_id == 7


def test_header_cache_does_not_skip_signature_checks() -> None:
    checked = verifier()
    for token in (claimed(), *HOSTILE.values(), claimed(jti="another")):
        with suppress(Unauthenticated):
            checked.verify(token)
    with pytest.raises(Unauthenticated):
        checked.verify(f"{claimed()[:-1]}{'A' if claimed()[-1] != 'A' else 'E'}")


@pytest.mark.parametrize("key", [PEM, b"ssh-rsa " + b"x" * 40, b'{"kty":"oct","k":"c2VjcmV0c2VjcmV0"}'])
def test_verifier_with_public_key_or_jwk_as_secret_raises(key: bytes) -> None:
    with pytest.raises(ValueError, match="no public key"):
        verifier(key)


def test_issued_token_verifies_to_its_claims() -> None:
    token = issue(
        KEY,
        issuer="tests",
        audience="here",
        user_id=42,
        principal="fridge-2",
        scopes=("a", "b"),
        ttl_s=60,
        at=NOW + 0.9,
    )
    claims = verifier().verify(token)
    assert claims == Claims(42, "fridge-2", frozenset({"a", "b"}), NOW + 60, claims.jti)


def test_issued_token_decodes_with_pyjwt() -> None:
    token = issue(KEY, issuer="tests", audience="here", user_id=42, principal="d", scopes=("a",), ttl_s=60, at=NOW)
    read = jwt.decode_complete(
        token, KEY, ["HS256"], audience="here", options={"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    )
    assert read["header"] == {"alg": "HS256", "typ": "at+jwt"}
    assert read["payload"]["sub"] == "42"
    assert set(read["payload"]) == {"iss", "aud", "sub", "device_id", "scope", "iat", "nbf", "exp", "jti"}


def test_every_issued_token_has_its_own_jti() -> None:
    issued = {
        issue(KEY, issuer="i", audience="a", user_id=1, principal="d", scopes=(), ttl_s=9, at=NOW) for _ in range(100)
    }
    assert len(issued) == 100


def test_token_of_any_configured_key_verifies() -> None:
    old = sealed(HEADER, GOOD, OLD)
    assert verifier(KEY, OLD).verify(old).user_id == 7
    with pytest.raises(Unauthenticated):
        verifier(KEY).verify(old)


def test_cached_token_expires_at_its_exp() -> None:
    clock = Clock()
    checked = verifier(clock=clock, leeway_s=0)
    token = claimed()
    checked.verify(token)
    clock.at = NOW + 899
    checked.verify(token)
    clock.at = NOW + 900
    with pytest.raises(Unauthenticated):
        checked.verify(token)


def test_expired_token_verifies_within_the_leeway_only() -> None:
    clock = Clock()
    checked = verifier(clock=clock, leeway_s=30)
    clock.at = NOW + 929
    assert checked.verify(claimed()).user_id == 7
    clock.at = NOW + 930
    with pytest.raises(Unauthenticated):
        checked.verify(claimed())


def test_cached_token_of_disabled_account_is_refused() -> None:
    checked = verifier()
    token = claimed()
    checked.verify(token)
    checked.disabled = {7}
    with pytest.raises(Unauthenticated):
        checked.verify(token)
    checked.disabled = set()
    assert checked.verify(token).user_id == 7


def test_token_cache_is_bounded() -> None:
    checked = verifier()
    for number in range(MAX_CACHED_TOKENS + 10):
        checked.verify(claimed(jti=str(number)))
    assert len(checked._verified) == MAX_CACHED_TOKENS


def test_refused_tokens_are_not_cached() -> None:
    checked = verifier()
    for token in HOSTILE.values():
        with pytest.raises(Unauthenticated):
            checked.verify(token)
    assert not checked._verified


@pytest.mark.parametrize("keys", [(), (b"short",), (KEY, b"k" * 31)])
def test_verifier_with_weak_key_raises(keys: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Verifier(keys, issuer="i", audience="a")


def test_leeway_above_thirty_seconds_raises() -> None:
    with pytest.raises(ValueError, match="leeway"):
        Verifier((KEY,), issuer="i", audience="a", leeway_s=31)
