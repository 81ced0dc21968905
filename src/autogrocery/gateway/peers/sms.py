"""SMS: by a provider's HTTP API, or a line in the log while none is set. It never touches an order."""

from __future__ import annotations

import asyncio
import base64
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from msgspec import Struct

from autogrocery.kit.errors import Invalid, Unavailable
from autogrocery.kit.pg.outbox import NotBefore
from autogrocery.kit.process import faults
from autogrocery.kit.process.log import log
from autogrocery.kit.process.settings import SettingsError
from autogrocery.kit.security.links import SAME_MACHINE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from autogrocery.gateway.peers.sms_http import Http

TIMEOUT_S = 10.0  # well below the lease of an outbox row, so that nobody sends it beside us
MAX_RETRY_AFTER_S = 3_600.0
ACCEPTED = range(200, 300)
REFUSED = range(400, 500)
ASK_AGAIN = frozenset(
    {401, 403, 407, 408, 409, 423, 425, 429}
)  # about this gateway or this moment, not about this alert
SENDER = re.compile(r"\+[1-9][0-9]{6,14}|[0-9]{3,8}|[A-Za-z0-9 ]{1,11}")  # E.164, a short code, a name (3GPP TS 23.040)
EXPECTED = (
    "SMS_URL is malformed: expected twilio://ACCOUNT_SID:TOKEN@HOST?from=+… or https://USER:PASSWORD@HOST/PATH?from=+…"
)
KEY_HEADER = "Idempotency-Key"


class Provider(Struct, frozen=True):
    """Where to post to, as whom, and the number that people see."""

    url: str
    authorization: str | None
    sender: str


def read_url(url: str) -> Provider:
    """Read SMS_URL; raises SettingsError if it is malformed, or would send its password in the clear to another machine."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        raise SettingsError(EXPECTED) from None
    host, user = parts.hostname or "", unquote(parts.username or "")
    name, _, sender = parts.query.partition("=")
    sender = unquote(sender)
    wants = {"twilio": bool(user and parts.password), "https": True, "http": host in SAME_MACHINE}
    if not (host and wants.get(parts.scheme) and name == "from" and SENDER.fullmatch(sender)):
        raise SettingsError(EXPECTED)
    netloc = (f"[{host}]" if ":" in host else host) + port
    target = f"{parts.scheme}://{netloc}{parts.path}"
    if parts.scheme == "twilio":
        target = f"https://{netloc}/2010-04-01/Accounts/{quote(user, safe='')}/Messages.json"
    pair = f"{user}:{unquote(parts.password or '')}"
    return Provider(target, f"Basic {base64.b64encode(pair.encode()).decode()}" if user else None, sender)


class Sms:
    """Posts the form of Twilio's Messages resource: `To`, `From`, `Body`; without a provider it logs that an alert was due."""

    def __init__(
        self, provider: Provider | None = None, http: Http | None = None, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        """Post through `http` to a `provider`, both or neither."""
        self._provider = provider
        self._http = http
        self._timeout_s = timeout_s

    async def send(self, to: str, text: str, *, key: str) -> str | None:
        """Hand over one alert; the provider may tell a repeat by its `key`. Returns "logged" if there is no provider.

        Raises Invalid for never and Unavailable for later, NotBefore if the provider says when. None of them names a number.
        """
        if self._provider is None or self._http is None:
            return await faults.through("sms.log", lambda: _log(key))
        provider, http = self._provider, self._http
        form = {"To": to, "From": provider.sender, "Body": text}
        headers = {KEY_HEADER: key}
        if provider.authorization is not None:
            headers["Authorization"] = provider.authorization
        try:
            async with asyncio.timeout(self._timeout_s):
                status, told = await faults.through("sms.send", lambda: http.post(provider.url, form, headers))
        except (OSError, TimeoutError) as error:
            raise Unavailable(
                "sms_unavailable", type(error).__name__
            ) from None  # the cause's text may hold the address
        if status in ACCEPTED:
            return None
        if status in REFUSED and status not in ASK_AGAIN:
            raise Invalid("sms_refused", f"the provider answered {status}")
        if (retry_after := _seconds(told)) is not None:
            raise NotBefore(f"sms_deferred_{status}", "the provider says when", retry_after_s=retry_after)
        raise Unavailable(f"sms_deferred_{status}", f"the provider answered {status}")


def _seconds(retry_after: str) -> float | None:
    """Return Retry-After, at most an hour; None if it is absent or a date, which our backoff replaces."""
    return min(float(retry_after), MAX_RETRY_AFTER_S) if re.fullmatch(r"[0-9]{1,9}", retry_after, re.ASCII) else None


async def _log(key: str) -> str:
    log.info("alert_was_due", alert=key)
    return "logged"


@asynccontextmanager
async def open_sms(url: str, *, timeout_s: float = TIMEOUT_S) -> AsyncIterator[Sms]:
    """Open the way that SMS_URL says; raises SettingsError if it is malformed."""
    if not url:
        log.info("alerts_go_to_the_log")
        yield Sms()
        return
    from autogrocery.gateway.peers.sms_http import open_http  # noqa: PLC0415 - see there

    provider = read_url(url)
    async with open_http() as http:
        yield Sms(provider, http, timeout_s=timeout_s)
