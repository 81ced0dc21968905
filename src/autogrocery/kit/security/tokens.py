"""Access tokens: HS256 JWTs in the strict profile of RFC 9068 and RFC 8725. Only this module issues and verifies them.

PyJWT signs and compares signatures. This module refuses what PyJWT would accept: tokens of any size, another `typ`,
further header fields (kid, jwk, crit, b64 …), duplicate members, non-canonical base64url, claims that are missing or of
another type.
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
MAX_CACHED_TOKENS = 4_096
CACHED_TOKEN_BYTES = 1_024
MAX_INSTANT = 1 << 33  # Unix seconds, the year 2242: a later instant is a mistake or an attack
MAX_USER_ID = (1 << 31) - 1  # of PostgreSQL's serial
CACHED_HEADERS = 8  # the one valid header has several encodings: member order, white space

COMPACT = re.compile(r"([A-Za-z0-9_-]{1,256})\.([A-Za-z0-9_-]{1,4000})\.([A-Za-z0-9_-]{43})")  # 43: HMAC-SHA256
SUBJECT = re.compile(r"[1-9][0-9]{0,9}")
PRINCIPAL = re.compile(r"[\x21-\x7e]{1,100}")
PRINCIPAL_CLAIM = "device_id"  # the claim's name on the wire: docs/CONTRACT.md#tokens-and-scopes
SCOPE = re.compile(r"(?:[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*)?")  # RFC 6749 §3.3, or empty
TOKEN_ID = re.compile(r"[\x21-\x7e]{1,64}")

_jws = api_jws.PyJWS(algorithms=[ALGORITHM])
_hs256 = HMACAlgorithm(HMACAlgorithm.SHA256)


class Claims(Struct, frozen=True):
    """The claims of a verified token.

    `user_id` is the `sub` claim, `principal` the account's name, `expires_at` is in Unix seconds.
    """

    user_id: int
    principal: str
    scopes: frozenset[str]
    expires_at: int
    jti: str


def issue(
    key: bytes,
    *,
    issuer: str,
    audience: str,
    user_id: int,
    principal: str,
    scopes: Sequence[str],
    ttl_s: int,
    at: float | None = None,
) -> str:
    """Return a token signed with `key`, valid from `at` (Unix seconds, default now) for `ttl_s` seconds."""
    issued_at = int(time.time() if at is None else at)
    claims = {
        "iss": issuer,
        "aud": audience,
        "sub": str(user_id),
        PRINCIPAL_CLAIM: principal,
        "scope": " ".join(scopes),
        "iat": issued_at,
        "nbf": issued_at,
        "exp": issued_at + ttl_s,
        "jti": secrets.token_urlsafe(12),
    }
    return _jws.encode(json.dumps(claims, separators=(",", ":")).encode(), key, ALGORITHM, headers={"typ": "at+jwt"})


class Verifier:
    """Verifies tokens of one issuer for one audience, under any of `keys`, without a network call.

    Verified tokens are cached: a bounded number, each until its `exp` at most. `disabled` holds the user ids whose
    tokens are refused although they are valid; it is read at every call, so that its owner may change or replace it at
    any time.
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
        max_cached: int = MAX_CACHED_TOKENS,
    ) -> None:
        """Verify under `keys`; up to `max_cached` verified tokens are cached, none at 0.

        Raises ValueError on a key below RFC 7518's minimum, or a leeway outside 0..MAX_LEEWAY_S.
        """
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
        self._verified: dict[str, Claims] = {}
        self._max_cached = max_cached

    @property
    def cached(self) -> int:
        """The number of verified tokens in memory."""
        return len(self._verified)

    def verify(self, token: str) -> Claims:
        """Return the claims of a token that is valid now; raises Unauthenticated("invalid_token") for any other."""
        claims = self._verified.get(token)
        if claims is None or claims.expires_at <= self._clock():
            claims = self._read(token)
            self._cache(token, claims)
        if claims.user_id in self.disabled:
            raise _refused()
        return claims

    def _read(self, token: str) -> Claims:
        if len(token) > self._max_bytes:
            raise _refused()
        parts = COMPACT.fullmatch(token)
        if parts is None or not _is_expected_header(parts[1]):
            raise _refused()
        signed, signature = token[: parts.end(2)].encode("ascii"), _decode_base64url(parts[3])
        if not any(_hs256.verify(signed, key, signature) for key in self._keys):
            raise _refused()
        return self._claims(_decode_object(_decode_base64url(parts[2])))

    def _claims(self, claims: dict[str, Any]) -> Claims:
        now = self._clock()
        issued_at, not_before, expires_at = (_instant(claims.get(name)) for name in ("iat", "nbf", "exp"))
        user_id = int(_text(claims.get("sub"), SUBJECT))
        if (
            claims.get("iss") != self._issuer
            or claims.get("aud") != self._audience
            or user_id > MAX_USER_ID
            or max(issued_at, not_before) > now + self._leeway_s
            or expires_at <= max(issued_at, not_before, now - self._leeway_s)
        ):
            raise _refused()
        return Claims(
            user_id=user_id,
            principal=_text(claims.get(PRINCIPAL_CLAIM), PRINCIPAL),
            scopes=frozenset(_text(claims.get("scope"), SCOPE).split()),
            expires_at=expires_at,
            jti=_text(claims.get("jti"), TOKEN_ID),
        )

    def _cache(self, token: str, claims: Claims) -> None:
        if not self._max_cached or len(token) > CACHED_TOKEN_BYTES or claims.expires_at <= self._clock():
            self._verified.pop(token, None)
            return
        if len(self._verified) >= self._max_cached:
            del self._verified[next(iter(self._verified))]
        self._verified[token] = claims


def _refused() -> Unauthenticated:
    # The same answer for every reason: an attacker learns nothing from it.
    return Unauthenticated("invalid_token", "The access token is missing, malformed, expired or not meant for this.")


@lru_cache(CACHED_HEADERS)
def _is_expected_header(segment: str) -> bool:
    return _decode_object(_decode_base64url(segment)) == HEADER


def _decode_base64url(segment: str) -> bytes:
    """Decode base64url without padding; refuses what does not encode back to the same characters (RFC 7515 §2)."""
    try:
        decoded = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise _refused() from None
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != segment.encode():
        raise _refused()
    return decoded


def _decode_object(text: bytes) -> dict[str, Any]:
    """Decode a JSON object in UTF-8 without duplicate members and floats; refuses anything else."""
    try:
        value = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_unique_members,
            parse_constant=_refuse_number,
            parse_float=_refuse_number,
        )
    except (ValueError, RecursionError):
        raise _refused() from None
    if not isinstance(value, dict):
        raise _refused()
    return value


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member")
    return members


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(text)


def _instant(value: object) -> int:
    if type(value) is not int or not 0 < value < MAX_INSTANT:  # `type`, because isinstance accepts a bool
        raise _refused()
    return value


def _text(value: object, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise _refused()
    return value
