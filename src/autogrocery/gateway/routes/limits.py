"""How often one caller may ask, by what it asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.kit.security.rates import Limit

if TYPE_CHECKING:
    from autogrocery.gateway.settings import Rates


class Limits(Struct, frozen=True):
    """The limits of one listener (PROTOCOL §6): each counts for itself."""

    orders: Limit
    restocks: Limit
    logins: Limit
    registrations: Limit


def limits_of(rates: Rates) -> Limits:
    """Return fresh limits: nobody has asked yet."""
    return Limits(
        Limit("orders", rate_per_s=rates.rate_orders_per_s, burst=rates.rate_orders_burst, per_device=True),
        Limit("restocks", rate_per_s=rates.rate_restocks_per_s, burst=rates.rate_restocks_burst, per_device=True),
        Limit("logins", rate_per_s=rates.rate_logins_per_s, burst=rates.rate_logins_burst),
        Limit("registrations", rate_per_s=rates.rate_registrations_per_s, burst=rates.rate_registrations_burst),
    )
