"""Access tokens: HS256 JWTs in the strict profile of RFC 9068 and RFC 8725, made and read by this file alone.

PyJWT signs and compares signatures. What it would let through is refused before: a size without bound, another `typ`, further
header fields (kid, jwk, crit, b64 …), members that stand twice, loose base64url, claims that are missing or of another type.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from jwt import api_jws
from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import InvalidKeyError
from msgspec import Struct

from autogrocery.kit.errors import Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ALGORITHM = "HS256"
HEADER = {"alg": ALGORITHM, "typ": "at+jwt"}
MAX_TOKEN_BYTES = 4_096
MAX_LEEWAY_S = 30
MIN_KEY_BYTES = 32  # RFC 7518 §3.2
CACHED_TOKENS = 4_096
CACHED_TOKEN_BYTES = 1_024
LATEST_S = 1 << 33  # the year 2242: a later instant is a mistake or an attack
LARGEST_USER_ID = (1 << 31) - 1  # PostgreSQL's serial
HEADERS_KNOWN = 8  # spellings of the one header there is

COMPACT = re.compile(r"([A-Za-z0-9_-]{1,256})\.([A-Za-z0-9_-]{1,4000})\.([A-Za-z0-9_-]{43})")  # 43: HMAC-SHA256
SUBJECT = re.compile(r"[1-9][0-9]{0,9}")
DEVICE_ID = re.compile(r"[\x21-\x7e]{1,100}")
SCOPE = re.compile(r"(?:[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*)?")  # RFC 6749 §3.3, or none at all
TOKEN_ID = re.compile(r"[\x21-\x7e]{1,64}")

_jws = api_jws.PyJWS(algorithms=[ALGORITHM])
_hs256 = HMACAlgorithm(HMACAlgorithm.SHA256)


class Claims(Struct, frozen=True):
    """Who asks, as a verified token says. `expires_at` is in Unix seconds."""

    user_id: int
    device_id: str
    scopes: frozenset[str]
    expires_at: int
    jti: str


def issue(
    key: bytes,
    *,
    issuer: str,
    audience: str,
    user_id: int,
    device_id: str,
    scopes: Sequence[str],
    ttl_s: int,
    at: float | None = None,
) -> str:
    """Return a token signed with `key`, good from `at` (Unix seconds, default now) for `ttl_s` seconds."""
    issued_at = int(time.time() if at is None else at)
    claims = {
        "iss": issuer,
        "aud": audience,
        "sub": str(user_id),
        "device_id": device_id,
        "scope": " ".join(scopes),
        "iat": issued_at,
        "nbf": issued_at,
        "exp": issued_at + ttl_s,
        "jti": secrets.token_urlsafe(12),
    }
    return _jws.encode(json.dumps(claims, separators=(",", ":")).encode(), key, ALGORITHM, headers={"typ": "at+jwt"})


class Verifier:
    """Verifies tokens of one issuer for one audience, under any of `keys`, without asking anybody.

    Verified tokens are remembered (a bounded number, until their `exp` at most). `disabled` holds the user ids that are
    refused whatever their token says; it is asked every time, so its owner may change or replace it at any moment.
    """

    def __init__(
        self,
        keys: Sequence[bytes],
        *,
        issuer: str,
        audience: str,
        leeway_s: int = 5,
        max_bytes: int = MAX_TOKEN_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Verify under `keys`; raises ValueError on a key or a leeway that RFC 7518 or ours does not allow."""
        if not keys or any(len(key) < MIN_KEY_BYTES for key in keys):
            raise ValueError(f"a token key has at least {MIN_KEY_BYTES} bytes")
        if not 0 <= leeway_s <= MAX_LEEWAY_S:
            raise ValueError(f"leeway is 0..{MAX_LEEWAY_S} s")
        self.disabled: set[int] = set()
        try:
            self._keys = tuple(map(_hs256.prepare_key, keys))
        except InvalidKeyError:
            raise ValueError("a token key is no public key, certificate or JWK") from None
        self._issuer = issuer
        self._audience = audience
        self._leeway_s = leeway_s
        self._max_bytes = max_bytes
        self._clock = clock
        self._known: dict[str, Claims] = {}

    def verify(self, token: str) -> Claims:
        """Return the claims of a token that is good now; raises Unauthenticated("invalid_token") for any other."""
        claims = self._known.get(token)
        if claims is None or claims.expires_at <= self._clock():
            claims = self._read(token)
            self._remember(token, claims)
        if claims.user_id in self.disabled:
            raise _refused()
        return claims

    def _read(self, token: str) -> Claims:
        if len(token) > self._max_bytes:
            raise _refused()
        parts = COMPACT.fullmatch(token)
        if parts is None or not _is_our_header(parts[1]):
            raise _refused()
        signed, signature = token[: parts.end(2)].encode("ascii"), _octets(parts[3])
        if not any(_hs256.verify(signed, key, signature) for key in self._keys):
            raise _refused()
        return self._claims(_object(_octets(parts[2])))

    def _claims(self, claims: dict[str, Any]) -> Claims:
        now = self._clock()
        issued_at, not_before, expires_at = (_instant(claims.get(name)) for name in ("iat", "nbf", "exp"))
        user_id = int(_text(claims.get("sub"), SUBJECT))
        if (
            claims.get("iss") != self._issuer
            or claims.get("aud") != self._audience
            or user_id > LARGEST_USER_ID
            or max(issued_at, not_before) > now + self._leeway_s
            or expires_at <= max(issued_at, not_before, now - self._leeway_s)
        ):
            raise _refused()
        return Claims(
            user_id=user_id,
            device_id=_text(claims.get("device_id"), DEVICE_ID),
            scopes=frozenset(_text(claims.get("scope"), SCOPE).split()),
            expires_at=expires_at,
            jti=_text(claims.get("jti"), TOKEN_ID),
        )

    def _remember(self, token: str, claims: Claims) -> None:
        if len(token) > CACHED_TOKEN_BYTES or claims.expires_at <= self._clock():
            self._known.pop(token, None)
            return
        if len(self._known) >= CACHED_TOKENS:
            del self._known[next(iter(self._known))]
        self._known[token] = claims


def _refused() -> Unauthenticated:
    # One answer for every reason: a forger learns nothing from it.
    return Unauthenticated("invalid_token", "The access token is missing, malformed, expired or not meant for this.")


@lru_cache(HEADERS_KNOWN)
def _is_our_header(segment: str) -> bool:
    return _object(_octets(segment)) == HEADER


def _octets(segment: str) -> bytes:
    """Decode base64url without padding; refuses what does not encode back to the same characters."""
    try:
        octets = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise _refused() from None
    if base64.urlsafe_b64encode(octets).rstrip(b"=") != segment.encode():
        raise _refused()
    return octets


def _object(octets: bytes) -> dict[str, Any]:
    """Read a JSON object in UTF-8 whose members stand once each; refuses anything else, and floats."""
    try:
        value = json.loads(
            octets.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number, parse_float=_no_number
        )
    except (ValueError, RecursionError):
        raise _refused() from None
    if not isinstance(value, dict):
        raise _refused()
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)


def _instant(value: object) -> int:
    if type(value) is not int or not 0 < value < LATEST_S:  # bool is an int to isinstance
        raise _refused()
    return value


def _text(value: object, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise _refused()
    return value
