"""Hostile tokens, each made from a valid token: of one key, one set of claims, one time."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any, Final

from msgspec import Struct

HEADER: Final = {"alg": "HS256", "typ": "at+jwt"}
LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


class Forge(Struct, frozen=True):
    """Makes hostile tokens with the right key, so that a token is not refused for its signature alone."""

    key: bytes
    good: dict[str, Any]  # valid claims, from `now` for 900 s
    now: int

    def sealed(self, header: object, payload: object, key: bytes | None = None, digest: Any = hashlib.sha256) -> str:
        """Return a validly signed token; header and payload are objects to encode as JSON, or raw bytes."""
        parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
        signed = ".".join(b64(part) for part in parts)
        return f"{signed}.{b64(hmac.digest(self.key if key is None else key, signed.encode(), digest))}"

    def claimed(self, **changes: object) -> str:
        """Return a validly signed token whose claims differ from `good`; `...` removes a claim."""
        return self.sealed(HEADER, {name: value for name, value in (self.good | changes).items() if value is not ...})

    def headed(self, **changes: object) -> str:
        """Return a validly signed token whose header differs; `...` removes a member."""
        return self.sealed({name: value for name, value in (HEADER | changes).items() if value is not ...}, self.good)

    def raw(self, header: bytes = b'{"alg":"HS256","typ":"at+jwt"}', payload: bytes | None = None) -> str:
        """Return a validly signed token with these bytes as header and payload."""
        return self.sealed(header, json.dumps(self.good).encode() if payload is None else payload)

    def tampered(self) -> str:
        """Return a valid token with another account's payload."""
        header, _, signature = self.claimed().split(".")
        return f"{header}.{b64(json.dumps(self.good | {'sub': '8'}).encode())}.{signature}"

    def loose_end(self) -> str:
        """Return a token whose signature differs in the unused last bits of base64, and decodes to the same bytes."""
        token = self.claimed()
        return token[:-1] + LETTERS[LETTERS.index(token[-1]) ^ 1]

    def hostile(self) -> dict[str, str]:
        """Return every hostile token by what is wrong with it."""
        return {**self.of_form(), **self.of_header(), **self.of_payload(), **self.of_times(), **self.of_names()}

    def of_form(self) -> dict[str, str]:
        """Return tokens with wrong parts, encoding, signature or size."""
        return {
            "empty": "",
            "one dot": "a.b",
            "four parts": self.claimed() + ".x",
            "five parts as in JWE": "a.b.c.d.e",
            "no signature": self.claimed().rpartition(".")[0] + ".",
            "signature cut": self.claimed()[:-1],
            "signature longer": self.claimed() + "A",
            "signature's loose bits": self.loose_end(),
            "padding": self.claimed() + "=",
            "space before": " " + self.claimed(),
            "newline after": self.claimed() + "\n",
            "space inside": self.claimed().replace(".", ". ", 1),
            "plus and slash": self.claimed().rpartition(".")[0] + "." + "+/" * 21 + "A",
            "letters beyond ASCII": self.claimed()[:-1] + "\u0661",
            "other key": self.sealed(HEADER, self.good, b"x" * 32),
            "payload exchanged": self.tampered(),
            "one megabyte": self.claimed(device_id="x" * (1 << 20)),
            "beyond 4 KiB": self.claimed(more="x" * 4_000),
            "signed with an empty key": self.sealed(HEADER, self.good, b""),
            "signed with the first half of the key": self.sealed(HEADER, self.good, self.key[:16]),
            "signature of the payload alone": ".".join(
                [
                    *self.claimed().split(".")[:2],
                    b64(hmac.digest(self.key, self.claimed().split(".")[1].encode(), "sha256")),
                ]
            ),
            "signature in hexadecimal": ".".join(
                [*self.claimed().split(".")[:2], hmac.digest(self.key, b"x", "sha256").hex()]
            ),
            "header and payload exchanged": ".".join([self.claimed().split(".")[i] for i in (1, 0, 2)]),
            "the word Bearer again": "Bearer " + self.claimed(),
            "two tokens": self.claimed() + "," + self.claimed(),
            "NUL after": self.claimed() + "\0",
            "percent-encoded": self.claimed().replace(".", "%2E"),
            "JSON serialisation": json.dumps(
                {"payload": self.claimed().split(".")[1], "signature": self.claimed().split(".")[2]}
            ),
        }

    def of_header(self) -> dict[str, str]:
        """Return tokens whose header has extra, missing or different members."""
        return {
            "alg none": self.headed(alg="none"),
            "alg none, no signature": self.sealed({"alg": "none", "typ": "at+jwt"}, self.good).rpartition(".")[0] + ".",
            "alg NoNe": self.headed(alg="NoNe"),
            "alg hs256": self.headed(alg="hs256"),
            "alg HS384": self.sealed(HEADER | {"alg": "HS384"}, self.good, self.key, hashlib.sha384),
            "alg HS512": self.sealed(HEADER | {"alg": "HS512"}, self.good, self.key, hashlib.sha512),
            "alg RS256": self.headed(alg="RS256"),
            "alg missing": self.headed(alg=...),
            "alg a list": self.headed(alg=["HS256"]),
            "typ JWT": self.headed(typ="JWT"),
            "typ missing": self.headed(typ=...),
            "typ null": self.headed(typ=None),
            "kid": self.headed(kid="../../dev/null"),
            "kid of SQL": self.headed(kid="' UNION SELECT 'k"),
            "jwk": self.headed(jwk={"kty": "oct", "k": b64(self.key)}),
            "jku": self.headed(jku="http://127.0.0.1/keys"),
            "x5u": self.headed(x5u="http://127.0.0.1/cert"),
            "crit": self.headed(crit=["exp"]),
            "crit and b64": self.headed(crit=["b64"], b64=False),
            "b64 true": self.headed(b64=True),
            "cty": self.headed(cty="JWT"),
            "zip": self.headed(zip="DEF"),
            "header twice alg": self.raw(header=b'{"alg":"none","typ":"at+jwt","alg":"HS256"}'),
            "header a list": self.raw(header=b'["HS256"]'),
            "header no JSON": self.raw(header=b"HS256"),
            "header UTF-16": self.raw(header='{"alg":"HS256","typ":"at+jwt"}'.encode("utf-16")),
            "header with BOM": self.raw(header=b'\xef\xbb\xbf{"alg":"HS256","typ":"at+jwt"}'),
            "alg HS256 with a space": self.headed(alg="HS256 "),
            "alg nOnE, no signature": self.sealed({"alg": "nOnE", "typ": "at+jwt"}, self.good).rpartition(".")[0] + ".",
            "alg ES256": self.headed(alg="ES256"),
            "alg PS256": self.headed(alg="PS256"),
            "alg EdDSA": self.headed(alg="EdDSA"),
            "alg null": self.headed(alg=None),
            "RS256 key as HMAC key": self.sealed(
                {"alg": "HS256", "typ": "at+jwt"},
                self.good,
                b"-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n",
            ),
            "kid of a file that is empty, signed with nothing": self.sealed(
                HEADER | {"kid": "/dev/null"}, self.good, b""
            ),
            "kid null": self.headed(kid=None),
            "x5c": self.headed(x5c=["MIIB"]),
            "typ at+JWT": self.headed(typ="at+JWT"),
            "typ application/at+jwt": self.headed(typ="application/at+jwt"),
            "typ in capitals": self.headed(TYP="at+jwt", typ=...),
            "typ refresh": self.headed(typ="rt+jwt"),
            "enc as in JWE": self.headed(enc="A128GCM"),
            "empty header": self.raw(header=b"{}"),
            "space in the header": self.raw(header=b'{ "alg":"HS256","typ":"at+jwt"}x'),
        }

    def of_payload(self) -> dict[str, str]:
        """Return tokens whose payload is not a JSON object with unique members."""
        return {
            "payload twice sub": self.raw(payload=json.dumps(self.good).encode()[:-1] + b',"sub":"8"}'),
            "payload nested twice": self.raw(payload=json.dumps(self.good).encode()[:-1] + b',"x":{"a":1,"a":2}}'),
            "payload a list": self.raw(payload=b"[]"),
            "payload null": self.raw(payload=b"null"),
            "payload UTF-16": self.raw(payload=json.dumps(self.good).encode("utf-16")),
            "payload bad UTF-8": self.raw(payload=b'{"iss":"\xff"}'),
            "payload NaN": self.raw(payload=json.dumps(self.good | {"exp": float("nan")}).encode()),
            "payload deep": self.raw(payload=b"[" * 2900),
            "payload trailing": self.raw(payload=json.dumps(self.good).encode() + b"{}"),
            "payload a text": self.raw(payload=b'"x"'),
            "payload empty": self.sealed(HEADER, b""),
            "payload with BOM": self.raw(payload=b"\xef\xbb\xbf" + json.dumps(self.good).encode()),
            "payload with a lone surrogate": self.raw(payload=b'{"device_id":"\\ud800"}'),
        }

    def of_times(self) -> dict[str, str]:
        """Times that are missing, of another type, beyond reason, or not now."""
        return {
            "exp missing": self.claimed(exp=...),
            "exp null": self.claimed(exp=None),
            "exp true": self.claimed(iat=1, nbf=1, exp=True),
            "exp text": self.claimed(exp=str(self.now + 900)),
            "exp float": self.claimed(exp=self.now + 900.0),
            "exp 1e30": self.raw(payload=json.dumps(self.good).encode().replace(str(self.now + 900).encode(), b"1e30")),
            "exp huge": self.claimed(exp=10**30),
            "exp of 4,000 digits": self.raw(payload=b'{"exp":' + b"9" * 2900 + b"}"),
            "exp past": self.claimed(iat=self.now - 900, nbf=self.now - 900, exp=self.now - 6),
            "exp before iat": self.claimed(exp=self.now - 1),
            "exp zero": self.claimed(exp=0),
            "exp negative": self.claimed(exp=-1),
            "iat missing": self.claimed(iat=...),
            "iat ahead": self.claimed(iat=self.now + 60),
            "iat text": self.claimed(iat="now"),
            "nbf missing": self.claimed(nbf=...),
            "nbf ahead": self.claimed(nbf=self.now + 60),
            "nbf true": self.claimed(nbf=True),
            "exp infinite": self.raw(
                payload=json.dumps(self.good).encode().replace(str(self.now + 900).encode(), b"Infinity")
            ),
            "exp beyond 2242": self.claimed(exp=1 << 33),
            "nbf a list": self.claimed(nbf=[self.now]),
            "iat 1e3": self.raw(
                payload=json.dumps(self.good).encode().replace(b'"iat": ' + str(self.now).encode(), b'"iat": 1e3')
            ),
        }

    def of_names(self) -> dict[str, str]:
        """Return tokens whose iss, aud, sub, device_id, scope or jti is missing, of another type or unexpected."""
        return {
            "iss other": self.claimed(iss="someone"),
            "iss list": self.claimed(iss=["tests"]),
            "iss missing": self.claimed(iss=...),
            "aud other": self.claimed(aud="ops"),
            "aud list": self.claimed(aud=["here", "ops"]),
            "aud missing": self.claimed(aud=...),
            "sub number": self.claimed(sub=7),
            "sub zero": self.claimed(sub="0"),
            "sub leading zero": self.claimed(sub="07"),
            "sub negative": self.claimed(sub="-7"),
            "sub beyond serial": self.claimed(sub="2147483648"),
            "sub other digits": self.claimed(sub="\u0667"),
            "sub newline": self.claimed(sub="7\n"),
            "sub SQL": self.claimed(sub="7 OR 1=1"),
            "sub missing": self.claimed(sub=...),
            "device_id missing": self.claimed(device_id=...),
            "device_id empty": self.claimed(device_id=""),
            "device_id too long": self.claimed(device_id="x" * 101),
            "device_id space": self.claimed(device_id="a b"),
            "device_id NUL": self.claimed(device_id="a\0"),
            "scope missing": self.claimed(scope=...),
            "scope list": self.claimed(scope=["orders:read"]),
            "scope two spaces": self.claimed(scope="orders:read  orders:write"),
            "scope quote": self.claimed(scope='a"b'),
            "jti missing": self.claimed(jti=...),
            "jti empty": self.claimed(jti=""),
            "jti number": self.claimed(jti=5),
            "jti too long": self.claimed(jti="j" * 65),
            "sub of many digits": self.claimed(sub="1" * 11),
            "device_id beyond ASCII": self.claimed(device_id="fr\u00eedge"),
            "device_id a list": self.claimed(device_id=["fridge-1"]),
            "scope null": self.claimed(scope=None),
            "scope with a line": self.claimed(scope="orders:read\norders:write"),
        }
