"""Access tokens: what we issue is taken, and nothing else is."""

from __future__ import annotations

from contextlib import suppress

import jwt
import pytest
from msgspec import Struct

from autogrocery.kit.errors import Unauthenticated
from autogrocery.kit.security.tokens import CACHED_TOKENS, Claims, Verifier, issue
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
def test_a_hostile_token_gets_the_one_answer(token: str) -> None:
    with pytest.raises(Unauthenticated) as refusal:
        verifier().verify(token)
    assert refusal.value.code == "invalid_token"
    assert refusal.value.detail == "The access token is missing, malformed, expired or not meant for this."


def test_the_good_token_that_hostile_ones_are_made_of_is_taken() -> None:
    assert verifier().verify(claimed()).user_id == 7


def test_what_is_known_of_one_header_is_not_believed_of_another() -> None:
    checked = verifier()
    for token in (claimed(), *HOSTILE.values(), claimed(jti="another")):
        with suppress(Unauthenticated):
            checked.verify(token)
    with pytest.raises(Unauthenticated):
        checked.verify(f"{claimed()[:-1]}{'A' if claimed()[-1] != 'A' else 'E'}")


@pytest.mark.parametrize("key", [PEM, b"ssh-rsa " + b"x" * 40, b'{"kty":"oct","k":"c2VjcmV0c2VjcmV0"}'])
def test_a_key_of_another_kind_is_refused_before_any_token(key: bytes) -> None:
    with pytest.raises(ValueError, match="no public key"):
        verifier(key)


def test_an_issued_token_comes_back_as_its_claims() -> None:
    token = issue(
        KEY,
        issuer="tests",
        audience="here",
        user_id=42,
        device_id="fridge-2",
        scopes=("a", "b"),
        ttl_s=60,
        at=NOW + 0.9,
    )
    claims = verifier().verify(token)
    assert claims == Claims(42, "fridge-2", frozenset({"a", "b"}), NOW + 60, claims.jti)


def test_an_issued_token_reads_the_same_to_another_library() -> None:
    token = issue(KEY, issuer="tests", audience="here", user_id=42, device_id="d", scopes=("a",), ttl_s=60, at=NOW)
    read = jwt.decode_complete(
        token, KEY, ["HS256"], audience="here", options={"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    )
    assert read["header"] == {"alg": "HS256", "typ": "at+jwt"}
    assert read["payload"]["sub"] == "42"
    assert set(read["payload"]) == {"iss", "aud", "sub", "device_id", "scope", "iat", "nbf", "exp", "jti"}


def test_two_tokens_never_have_one_jti() -> None:
    issued = {
        issue(KEY, issuer="i", audience="a", user_id=1, device_id="d", scopes=(), ttl_s=9, at=NOW) for _ in range(100)
    }
    assert len(issued) == 100


def test_every_key_verifies_so_that_keys_can_be_rotated() -> None:
    old = sealed(HEADER, GOOD, OLD)
    assert verifier(KEY, OLD).verify(old).user_id == 7
    with pytest.raises(Unauthenticated):
        verifier(KEY).verify(old)


def test_a_remembered_token_ends_with_its_exp() -> None:
    clock = Clock()
    gate = verifier(clock=clock, leeway_s=0)
    token = claimed()
    gate.verify(token)
    clock.at = NOW + 899
    gate.verify(token)
    clock.at = NOW + 900
    with pytest.raises(Unauthenticated):
        gate.verify(token)


def test_leeway_forgives_a_clock_that_is_ahead_and_no_more() -> None:
    clock = Clock()
    gate = verifier(clock=clock, leeway_s=30)
    clock.at = NOW + 929
    assert gate.verify(claimed()).user_id == 7
    clock.at = NOW + 930
    with pytest.raises(Unauthenticated):
        gate.verify(claimed())


def test_a_disabled_account_is_refused_although_its_token_is_remembered() -> None:
    gate = verifier()
    token = claimed()
    gate.verify(token)
    gate.disabled = {7}
    with pytest.raises(Unauthenticated):
        gate.verify(token)
    gate.disabled = set()
    assert gate.verify(token).user_id == 7


def test_the_memory_of_tokens_is_bounded() -> None:
    gate = verifier()
    for number in range(CACHED_TOKENS + 10):
        gate.verify(claimed(jti=str(number)))
    assert len(gate._known) == CACHED_TOKENS


def test_refused_tokens_are_not_remembered() -> None:
    gate = verifier()
    for token in HOSTILE.values():
        with pytest.raises(Unauthenticated):
            gate.verify(token)
    assert not gate._known


@pytest.mark.parametrize("keys", [(), (b"short",), (KEY, b"k" * 31)])
def test_a_weak_key_is_refused_at_the_start(keys: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Verifier(keys, issuer="i", audience="a")


def test_a_leeway_beyond_thirty_seconds_is_refused() -> None:
    with pytest.raises(ValueError, match="leeway"):
        Verifier((KEY,), issuer="i", audience="a", leeway_s=31)
