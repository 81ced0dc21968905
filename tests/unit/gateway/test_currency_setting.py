"""CURRENCY is one ISO 4217 code for gateway and pricing; anything else stops the start with a line that names it."""

from __future__ import annotations

import pytest

from autogrocery.gateway.settings import PREFIX, GatewaySettings
from autogrocery.kit.process.settings import SettingsError, load
from autogrocery.pricing import settings as pricing

REQUIRED = dict.fromkeys(("DATABASE_URL", "JWT_SECRET", "ROBOT_JWT_SECRET", "WEBHOOK_SECRET"), "x")


@pytest.mark.parametrize("wrong", ["usd", "US", "USDT", "US$", "USD\n", " USD", "\u0395UR"])
def test_a_currency_that_is_no_code_stops_the_start(wrong: str) -> None:
    with pytest.raises(SettingsError, match=r"^CURRENCY is malformed"):
        load(GatewaySettings, REQUIRED | {"CURRENCY": wrong}, prefix=PREFIX)
    with pytest.raises(SettingsError, match=r"^CURRENCY is malformed"):
        pricing.load(REQUIRED | {"CURRENCY": wrong})


@pytest.mark.parametrize(("given", "currency"), [({}, "USD"), ({"CURRENCY": "JPY"}, "JPY")])
def test_gateway_and_pricing_read_the_same_currency(given: dict[str, str], currency: str) -> None:
    assert load(GatewaySettings, REQUIRED | given, prefix=PREFIX).currency == currency
    assert pricing.load(REQUIRED | given).currency == currency
