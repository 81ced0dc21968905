"""SMS_URL: its valid forms, and that its password stays out of every message."""

from __future__ import annotations

import subprocess
import sys

import pytest

from autogrocery.kit.messages.sms_url import parse_sms_url
from autogrocery.kit.process.settings import SettingsError


@pytest.mark.parametrize(
    ("url", "target", "sender"),
    [
        (
            "twilio://AC1:t@api.twilio.com?from=+15550100",
            "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json",
            "+15550100",
        ),
        (
            "twilio://AC1:t@api.twilio.com/?from=%2B15550100",
            "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json",
            "+15550100",
        ),
        ("https://u:p@sms.example:8443/send?from=Mart%20One", "https://sms.example:8443/send", "Mart One"),
        ("https://sms.example/send?from=12345", "https://sms.example/send", "12345"),
        ("http://127.0.0.1:9/send?from=+15550100", "http://127.0.0.1:9/send", "+15550100"),
        ("http://[::1]:9/send?from=+15550100", "http://[::1]:9/send", "+15550100"),
    ],
)
def test_sms_url_is_parsed(url: str, target: str, sender: str) -> None:
    provider = parse_sms_url(url)
    assert (provider.url, provider.sender) == (target, sender)


@pytest.mark.parametrize(
    "url",
    [
        "twilio://api.twilio.com?from=+15550100",
        "twilio://AC1@api.twilio.com?from=+15550100",
        "https://u:secret-7@sms.example/send",
        "https://u:secret-7@sms.example/send?from=",
        "https://u:secret-7@sms.example/send?to=+15550100",
        "http://u:secret-7@sms.example/send?from=+15550100",
        "ftp://u:secret-7@sms.example/?from=+15550100",
        "https://u:secret-7@sms.example:port/?from=+15550100",
        "+15550100",
        "https://u:secret-7@x/?from=a%0d%0ab",
        "https://u:secret-7@[::1/?from=+15550100",
    ],
)
def test_malformed_sms_url_stops_the_start_without_showing_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="SMS_URL") as refused:
        parse_sms_url(url)
    assert "secret-7" not in str(refused.value)


def test_gateway_does_not_import_aiohttp_without_a_provider() -> None:
    """It would be a quarter of what a start takes, and so of what every restart costs."""
    look = "import sys, autogrocery.gateway.app; print('aiohttp' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
