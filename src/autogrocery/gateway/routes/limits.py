"""Rate limits of the routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from autogrocery.kit.security.rate_limit import RateLimit

if TYPE_CHECKING:
    from autogrocery.gateway.settings import RateSettings


class RateLimits(Struct, frozen=True):
    """The rate limits of one listener, by what a route is about; each counts separately."""

    orders: RateLimit
    restocks: RateLimit
    logins: RateLimit
    registrations: RateLimit


def make_rate_limits(settings: RateSettings) -> RateLimits:
    """Return new rate limits with full buckets."""
    return RateLimits(
        RateLimit(
            "orders", rate_per_s=settings.rate_orders_per_s, burst=settings.rate_orders_burst, per_principal=True
        ),
        RateLimit(
            "restocks", rate_per_s=settings.rate_restocks_per_s, burst=settings.rate_restocks_burst, per_principal=True
        ),
        RateLimit("logins", rate_per_s=settings.rate_logins_per_s, burst=settings.rate_logins_burst),
        RateLimit(
            "registrations", rate_per_s=settings.rate_registrations_per_s, burst=settings.rate_registrations_burst
        ),
    )
