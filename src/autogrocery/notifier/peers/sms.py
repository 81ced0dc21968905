"""SMS: through a provider's HTTP API, or a log line if SMS_URL is unset. A failure to send never changes an order."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from autogrocery.kit.errors import Invalid, Unavailable
from autogrocery.kit.messages.sms_url import parse_sms_url
from autogrocery.kit.pg.outbox import NotBefore
from autogrocery.kit.process import faults
from autogrocery.kit.process.log import log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from autogrocery.kit.messages.sms_url import SmsProvider
    from autogrocery.notifier.peers.sms_http import FormClient

TIMEOUT_S = 10.0  # well below an outbox row's lease, so that no other notifier sends it too
MAX_RETRY_AFTER_S = 3_600.0
ACCEPTED = range(200, 300)
REFUSED = range(400, 500)
# These are about this mart or this moment, not about this alert.
RETRYABLE = frozenset({401, 403, 407, 408, 409, 423, 425, 429})
KEY_HEADER = "Idempotency-Key"


class Sms:
    """Posts the form of Twilio's Messages resource: `To`, `From`, `Body`.

    Without a provider it logs the alert's key.
    """

    def __init__(
        self, provider: SmsProvider | None = None, http: FormClient | None = None, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        """Post through `http` to a `provider`, both or neither."""
        self._provider = provider
        self._http = http
        self._timeout_s = timeout_s

    async def send(self, to: str, text: str, *, key: str) -> str | None:
        """Send one SMS; `key` is its idempotency key. Returns None, or "logged" if there is no provider.

        Raises Invalid if the provider will never accept it, Unavailable if it may accept it later, NotBefore if it says
        when. Their texts contain no telephone number.
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
                response = await faults.through("sms.send", lambda: http.post(provider.url, form, headers))
        except (OSError, TimeoutError) as error:
            raise Unavailable(
                "sms_unavailable", type(error).__name__
            ) from None  # the cause's text may hold the address
        if response.status in ACCEPTED:
            return None
        if response.status in REFUSED and response.status not in RETRYABLE:
            raise Invalid("sms_refused", f"the provider answered {response.status}")
        if (retry_after := _delay_s(response.retry_after)) is not None:
            raise NotBefore(
                f"sms_deferred_{response.status}", "the provider said when to retry", retry_after_s=retry_after
            )
        raise Unavailable(f"sms_deferred_{response.status}", f"the provider answered {response.status}")


def _delay_s(retry_after: str) -> float | None:
    """Return Retry-After in seconds, at most an hour; None if it is absent or a date: the outbox's back-off applies."""
    return min(float(retry_after), MAX_RETRY_AFTER_S) if re.fullmatch(r"[0-9]{1,9}", retry_after, re.ASCII) else None


async def _log(key: str) -> str:
    log.info("alert_not_sent_no_provider", alert=key)
    return "logged"


@asynccontextmanager
async def open_sms(url: str, *, timeout_s: float = TIMEOUT_S) -> AsyncIterator[Sms]:
    """Return an Sms for SMS_URL; raises SettingsError if it is malformed."""
    if not url:
        log.info("sms_provider_not_set")
        yield Sms()
        return
    from autogrocery.notifier.peers.sms_http import open_http  # noqa: PLC0415 - imports aiohttp, which is slow to load

    provider = parse_sms_url(url)
    async with open_http() as http:
        yield Sms(provider, http, timeout_s=timeout_s)
