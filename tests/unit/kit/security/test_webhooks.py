"""Webhook signatures: signatures of the standardwebhooks package verify, and nothing else does."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from autogrocery.kit.errors import Unauthenticated
from autogrocery.kit.security.webhooks import WebhookVerifier

KEY, NEXT, FOREIGN = b"webhook-key-of-32-bytes-or-more-", b"following-key-of-32-bytes-or-mor", b"x" * 32
NOW = 1_800_000_000
BODY = '{"order_id":"018f","status":"COMPLETED","note":"é"}'.encode()
ID = "msg_1"


def signature(key: bytes = KEY, webhook_id: str = ID, at: object = NOW, body: bytes = BODY) -> str:
    signed = f"{webhook_id}.{at}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def verify(body: bytes = BODY, *, keys: tuple[bytes, ...] = (KEY,), now: float = NOW, **headers: str | None) -> None:
    sent = {"webhook-id": ID, "webhook-timestamp": str(NOW), "webhook-signature": signature()}
    sent |= {f"webhook-{name}": value for name, value in headers.items()}  # type: ignore[misc]
    WebhookVerifier(keys, clock=lambda: now).verify(body, sent.get)


def test_signature_of_the_standardwebhooks_package_verifies() -> None:
    signed = Webhook(KEY).sign(ID, datetime.fromtimestamp(NOW, UTC), BODY.decode())
    verify(signature=signed)


@pytest.mark.parametrize("drift_s", [-300, -1, 0, 1, 300])
def test_timestamp_within_five_minutes_verifies(drift_s: int) -> None:
    verify(now=NOW + drift_s)


def test_signature_of_any_configured_key_verifies() -> None:
    for key in (KEY, NEXT):
        verify(keys=(KEY, NEXT), signature=signature(key))


def test_one_valid_signature_among_several_verifies() -> None:
    verify(signature=f"v1a,abc {signature(FOREIGN)} v2,xyz {signature()}")


def test_signed_body_that_is_not_utf8_verifies() -> None:
    verify(b"\xff\x00\xfe", signature=signature(body=b"\xff\x00\xfe"))


GOOD = signature()
FORGED: dict[str, dict[str, str | None]] = {
    "no id": {"id": None},
    "empty id": {"id": ""},
    "other id": {"id": "msg_2"},
    "id of two lines": {"id": ID + "\n"},
    "id too long": {"id": "x" * 256},
    "id with a space": {"id": "msg 1", "signature": signature(webhook_id="msg 1")},
    "no timestamp": {"timestamp": None},
    "empty timestamp": {"timestamp": ""},
    "other timestamp": {"timestamp": str(NOW + 1)},
    "timestamp in words": {"timestamp": "now", "signature": signature(at="now")},
    "timestamp with a fraction": {"timestamp": f"{NOW}.5", "signature": signature(at=f"{NOW}.5")},
    "timestamp with a sign": {"timestamp": f"+{NOW}", "signature": signature(at=f"+{NOW}")},
    "timestamp padded": {"timestamp": f" {NOW}", "signature": signature(at=f" {NOW}")},
    "timestamp in other digits": {"timestamp": "\u0661" * 10},
    "timestamp too old": {"timestamp": str(NOW - 301), "signature": signature(at=NOW - 301)},
    "timestamp too young": {"timestamp": str(NOW + 301), "signature": signature(at=NOW + 301)},
    "timestamp in milliseconds": {"timestamp": str(NOW * 1000), "signature": signature(at=NOW * 1000)},
    "timestamp infinite": {"timestamp": "inf", "signature": signature(at="inf")},
    "timestamp 1e9": {"timestamp": "1e9"},
    "no signature": {"signature": None},
    "empty signature": {"signature": ""},
    "other key": {"signature": signature(FOREIGN)},
    "no version": {"signature": GOOD[3:]},
    "version alone": {"signature": "v1,"},
    "version 2": {"signature": GOOD.replace("v1", "v2")},
    "version 1a": {"signature": GOOD.replace("v1", "v1a")},
    "version in capitals": {"signature": GOOD.replace("v1", "V1")},
    "cut": {"signature": GOOD[:-1]},
    "without padding": {"signature": GOOD.rstrip("=")},
    "longer": {"signature": GOOD + "="},
    "hexadecimal": {"signature": "v1," + base64.b64decode(GOOD[3:]).hex()},
    "separated by commas": {"signature": f"{GOOD},{GOOD}"},
    "separated by a tab": {"signature": f"v1,x\t{GOOD}"},
    "beyond ASCII": {"signature": "v1,\xff\xfe"},
    "a bearer token instead": {"signature": "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x"},
    "over the body alone": {"signature": "v1," + base64.b64encode(hmac.digest(KEY, BODY, "sha256")).decode()},
    "with SHA-512": {
        "signature": "v1," + base64.b64encode(hmac.digest(KEY, f"{ID}.{NOW}.".encode() + BODY, "sha512")).decode()
    },
    "after the sixteenth": {"signature": "v1,x " * 16 + GOOD},
}


@pytest.mark.parametrize("headers", FORGED.values(), ids=FORGED.keys())
def test_forged_headers_raise_invalid_signature(headers: dict[str, str | None]) -> None:
    with pytest.raises(Unauthenticated) as refusal:
        verify(**headers)
    assert refusal.value.code == "invalid_signature"
    assert refusal.value.detail == "The signature is missing, wrong or out of date."


@pytest.mark.parametrize("body", [b"", BODY + b" ", BODY[:-1], BODY.replace(b"COMPLETED", b"FAILED"), BODY + b"\0"])
def test_changed_body_raises(body: bytes) -> None:
    with pytest.raises(Unauthenticated):
        verify(body)


def test_signature_of_a_removed_key_raises() -> None:
    with pytest.raises(Unauthenticated):
        verify(keys=(NEXT,))
