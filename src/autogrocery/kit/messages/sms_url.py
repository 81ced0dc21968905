"""SMS_URL: the provider that a process posts its SMS to, and who they are from."""

from __future__ import annotations

import base64
import re
from urllib.parse import quote, unquote, urlsplit

from msgspec import Struct

from autogrocery.kit.process.settings import SettingsError
from autogrocery.kit.security.transport import LOOPBACK_HOSTS

SENDER = re.compile(r"\+[1-9][0-9]{6,14}|[0-9]{3,8}|[A-Za-z0-9 ]{1,11}")  # E.164, a short code, a name (3GPP TS 23.040)
EXPECTED = (
    "SMS_URL is malformed: expected twilio://ACCOUNT_SID:TOKEN@HOST?from=+… or https://USER:PASSWORD@HOST/PATH?from=+…"
)


class SmsProvider(Struct, frozen=True):
    """The URL to post to, the Authorization header, and the sender that recipients see."""

    url: str
    authorization: str | None
    sender: str


def parse_sms_url(url: str) -> SmsProvider:
    """Parse SMS_URL.

    Raises SettingsError if it is malformed, or would send its password to another machine without TLS.
    """
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        raise SettingsError(EXPECTED) from None
    host, user = parts.hostname or "", unquote(parts.username or "")
    parameter, _, encoded = parts.query.partition("=")
    sender = unquote(encoded)
    allowed = {"twilio": bool(user and parts.password), "https": True, "http": host in LOOPBACK_HOSTS}
    if not (host and allowed.get(parts.scheme) and parameter == "from" and SENDER.fullmatch(sender)):
        raise SettingsError(EXPECTED)
    netloc = (f"[{host}]" if ":" in host else host) + port
    target = f"{parts.scheme}://{netloc}{parts.path}"
    if parts.scheme == "twilio":
        target = f"https://{netloc}/2010-04-01/Accounts/{quote(user, safe='')}/Messages.json"
    credentials = f"{user}:{unquote(parts.password or '')}"
    return SmsProvider(target, f"Basic {base64.b64encode(credentials.encode()).decode()}" if user else None, sender)
