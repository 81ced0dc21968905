"""Access tokens: what we issue is taken, and nothing else is."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from msgspec import Struct

from autogrocery.kit.refusals import Unauthenticated
from autogrocery.kit.tokens import CACHED_TOKENS, Claims, Verifier, issue

KEY = b"first-key-of-at-least-32-bytes--"
OLD = b"older-key-of-at-least-32-bytes--"
NOW = 1_800_000_000
GOOD = {
    "iss": "tests", "aud": "here", "sub": "7", "device_id": "fridge-1", "scope": "orders:read orders:write",
    "iat": NOW, "nbf": NOW, "exp": NOW + 900, "jti": "abc",
}  # fmt: skip
HEADER = {"alg": "HS256", "typ": "at+jwt"}


class Clock(Struct):
    """A clock that a test sets."""

    at: float = NOW

    def __call__(self) -> float:
        return self.at


def verifier(*keys: bytes, clock: Clock | None = None, leeway_s: int = 5) -> Verifier:
    return Verifier(keys or (KEY,), issuer="tests", audience="here", leeway_s=leeway_s, clock=clock or Clock())


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def sealed(header: object, payload: object, key: bytes = KEY, digest: Any = hashlib.sha256) -> str:
    """A token of any header and payload (JSON of an object, or bytes as they are), rightly signed."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    signed = ".".join(b64(part) for part in parts)
    return f"{signed}.{b64(hmac.digest(key, signed.encode(), digest))}"


def claimed(**changes: object) -> str:
    """A rightly signed token whose claims differ from good ones; `...` leaves one out."""
    return sealed(HEADER, {name: value for name, value in (GOOD | changes).items() if value is not ...})


def headed(**changes: object) -> str:
    return sealed({name: value for name, value in (HEADER | changes).items() if value is not ...}, GOOD)


def raw(header: bytes = b'{"alg":"HS256","typ":"at+jwt"}', payload: bytes = json.dumps(GOOD).encode()) -> str:
    return sealed(header, payload)


def tampered() -> str:
    header, _, signature = claimed().split(".")
    return f"{header}.{b64(json.dumps(GOOD | {'sub': '8'}).encode())}.{signature}"


def loose_end() -> str:
    """The same signature with other bits behind its last octet: base64 that decodes alike."""
    token = claimed()
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + letters[letters.index(token[-1]) ^ 1]


HOSTILE = {
    "empty": "",
    "one dot": "a.b",
    "four parts": claimed() + ".x",
    "five parts as in JWE": "a.b.c.d.e",
    "no signature": claimed().rpartition(".")[0] + ".",
    "signature cut": claimed()[:-1],
    "signature longer": claimed() + "A",
    "signature's loose bits": loose_end(),
    "padding": claimed() + "=",
    "space before": " " + claimed(),
    "newline after": claimed() + "\n",
    "space inside": claimed().replace(".", ". ", 1),
    "plus and slash": claimed().rpartition(".")[0] + "." + "+/" * 21 + "A",
    "letters beyond ASCII": claimed()[:-1] + "\u0661",
    "other key": sealed(HEADER, GOOD, b"x" * 32),
    "payload exchanged": tampered(),
    "alg none": headed(alg="none"),
    "alg none, no signature": sealed({"alg": "none", "typ": "at+jwt"}, GOOD).rpartition(".")[0] + ".",
    "alg NoNe": headed(alg="NoNe"),
    "alg hs256": headed(alg="hs256"),
    "alg HS384": sealed(HEADER | {"alg": "HS384"}, GOOD, KEY, hashlib.sha384),
    "alg HS512": sealed(HEADER | {"alg": "HS512"}, GOOD, KEY, hashlib.sha512),
    "alg RS256": headed(alg="RS256"),
    "alg missing": headed(alg=...),
    "alg a list": headed(alg=["HS256"]),
    "typ JWT": headed(typ="JWT"),
    "typ missing": headed(typ=...),
    "typ null": headed(typ=None),
    "kid": headed(kid="../../dev/null"),
    "kid of SQL": headed(kid="' UNION SELECT 'k"),
    "jwk": headed(jwk={"kty": "oct", "k": b64(KEY)}),
    "jku": headed(jku="http://127.0.0.1/keys"),
    "x5u": headed(x5u="http://127.0.0.1/cert"),
    "crit": headed(crit=["exp"]),
    "crit and b64": headed(crit=["b64"], b64=False),
    "b64 true": headed(b64=True),
    "cty": headed(cty="JWT"),
    "zip": headed(zip="DEF"),
    "header twice alg": raw(header=b'{"alg":"none","typ":"at+jwt","alg":"HS256"}'),
    "header a list": raw(header=b'["HS256"]'),
    "header no JSON": raw(header=b"HS256"),
    "header UTF-16": raw(header='{"alg":"HS256","typ":"at+jwt"}'.encode("utf-16")),
    "header with BOM": raw(header=b'\xef\xbb\xbf{"alg":"HS256","typ":"at+jwt"}'),
    "payload twice sub": raw(payload=json.dumps(GOOD).encode()[:-1] + b',"sub":"8"}'),
    "payload nested twice": raw(payload=json.dumps(GOOD).encode()[:-1] + b',"x":{"a":1,"a":2}}'),
    "payload a list": raw(payload=b"[]"),
    "payload null": raw(payload=b"null"),
    "payload UTF-16": raw(payload=json.dumps(GOOD).encode("utf-16")),
    "payload bad UTF-8": raw(payload=b'{"iss":"\xff"}'),
    "payload NaN": raw(payload=json.dumps(GOOD | {"exp": float("nan")}).encode()),
    "payload deep": raw(payload=b"[" * 2900),
    "payload trailing": raw(payload=json.dumps(GOOD).encode() + b"{}"),
    "exp missing": claimed(exp=...),
    "exp null": claimed(exp=None),
    "exp true": claimed(iat=1, nbf=1, exp=True),
    "exp text": claimed(exp=str(NOW + 900)),
    "exp float": claimed(exp=NOW + 900.0),
    "exp 1e30": raw(payload=json.dumps(GOOD).encode().replace(str(NOW + 900).encode(), b"1e30")),
    "exp huge": claimed(exp=10**30),
    "exp of 4,000 digits": raw(payload=b'{"exp":' + b"9" * 2900 + b"}"),
    "exp past": claimed(iat=NOW - 900, nbf=NOW - 900, exp=NOW - 6),
    "exp before iat": claimed(exp=NOW - 1),
    "exp zero": claimed(exp=0),
    "exp negative": claimed(exp=-1),
    "iat missing": claimed(iat=...),
    "iat ahead": claimed(iat=NOW + 60),
    "iat text": claimed(iat="now"),
    "nbf missing": claimed(nbf=...),
    "nbf ahead": claimed(nbf=NOW + 60),
    "nbf true": claimed(nbf=True),
    "iss other": claimed(iss="someone"),
    "iss list": claimed(iss=["tests"]),
    "iss missing": claimed(iss=...),
    "aud other": claimed(aud="ops"),
    "aud list": claimed(aud=["here", "ops"]),
    "aud missing": claimed(aud=...),
    "sub number": claimed(sub=7),
    "sub zero": claimed(sub="0"),
    "sub leading zero": claimed(sub="07"),
    "sub negative": claimed(sub="-7"),
    "sub beyond serial": claimed(sub="2147483648"),
    "sub other digits": claimed(sub="\u0667"),
    "sub newline": claimed(sub="7\n"),
    "sub SQL": claimed(sub="7 OR 1=1"),
    "sub missing": claimed(sub=...),
    "device_id missing": claimed(device_id=...),
    "device_id empty": claimed(device_id=""),
    "device_id too long": claimed(device_id="x" * 101),
    "device_id space": claimed(device_id="a b"),
    "device_id NUL": claimed(device_id="a\0"),
    "scope missing": claimed(scope=...),
    "scope list": claimed(scope=["orders:read"]),
    "scope two spaces": claimed(scope="orders:read  orders:write"),
    "scope quote": claimed(scope='a"b'),
    "jti missing": claimed(jti=...),
    "jti empty": claimed(jti=""),
    "jti number": claimed(jti=5),
    "jti too long": claimed(jti="j" * 65),
    "one megabyte": claimed(device_id="x" * (1 << 20)),
    "beyond 4 KiB": claimed(more="x" * 4_000),
}


@pytest.mark.parametrize("token", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_token_gets_the_one_answer(token: str) -> None:
    with pytest.raises(Unauthenticated) as refusal:
        verifier().verify(token)
    assert refusal.value.code == "invalid_token"
    assert refusal.value.detail == "The access token is missing, malformed, expired or not meant for this."


def test_the_good_token_that_hostile_ones_are_made_of_is_taken() -> None:
    assert verifier().verify(claimed()).user_id == 7


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
