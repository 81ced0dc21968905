"""What an operator may set; docs/SETTINGS.md is generated from here."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from autogrocery.kit.security.links import PublisherSettings


class Rates(PublisherSettings, frozen=True, kw_only=True):  # a Struct has one base
    """How often one caller may ask: so many at once, so many a second after that, of each gateway process."""

    rate_orders_per_s: Annotated[
        float, Meta(description="requests about orders and products, each device", gt=0, le=10_000)
    ] = 20.0
    rate_orders_burst: Annotated[int, Meta(description="of them at once", ge=1, le=10_000)] = 40
    rate_restocks_per_s: Annotated[
        float, Meta(description="requests about deliveries, each truck", gt=0, le=10_000)
    ] = 20.0
    rate_restocks_burst: Annotated[int, Meta(description="of them at once", ge=1, le=10_000)] = 40
    rate_logins_per_s: Annotated[
        float, Meta(description="logins, refreshes and password changes, each address", gt=0, le=10_000)
    ] = 20.0
    rate_logins_burst: Annotated[
        int, Meta(description="of them at once: a whole mart may sit behind one address", ge=1, le=10_000)
    ] = 400
    rate_registrations_per_s: Annotated[float, Meta(description="registrations, each address", gt=0, le=10_000)] = 20.0
    rate_registrations_burst: Annotated[int, Meta(description="of them at once", ge=1, le=10_000)] = 400


class GatewaySettings(Rates, frozen=True, kw_only=True):
    """Environment variables of the gateway, by their names in capitals."""

    database_url: Annotated[str, Meta(description="PostgreSQL, 15 or later")]
    jwt_secret: Annotated[
        str, Meta(description="signs devices', trucks' and operators' tokens; comma list, the first signs, all verify")
    ]
    robot_jwt_secret: Annotated[str, Meta(description="signs robots' tokens for inventory; comma list")]
    webhook_secret: Annotated[str, Meta(description="verifies inventory's webhooks; comma list, whsec_… is base64")]
    ordering_http_addr: Annotated[str, Meta(description="public REST")] = "127.0.0.1:5050"
    ordering_internal_addr: Annotated[
        str, Meta(description="internal REST: webhooks, logins of robots and operators, metrics")
    ] = "127.0.0.1:5051"
    inventory_grpc_addr: Annotated[str, Meta(description="where inventory listens")] = "127.0.0.1:50051"
    inventory_grpc_target: Annotated[str, Meta(description="where to call inventory, if not at its address")] = ""
    pricing_grpc_addr: Annotated[str, Meta(description="where pricing listens")] = "127.0.0.1:50052"
    pricing_grpc_target: Annotated[str, Meta(description="where to call pricing, if not at its address")] = ""
    peer_streams: Annotated[
        Literal["on", "off"], Meta(description="share one stream among the calls to a peer that knows that form")
    ] = "on"
    analytics_zmq_addr: Annotated[
        str, Meta(description="where metrics are published; comma list, >tcp://… connects")
    ] = "tcp://127.0.0.1:5557"
    autogrocery_home: Annotated[str, Meta(description="where receipts are written while SMTP_URL is unset")] = ""
    smtp_url: Annotated[
        str,
        Meta(
            description="smtp://user:password@host:port (STARTTLS if offered, and always before a password) or smtps://…; unset: receipts become .eml files"
        ),
    ] = ""
    receipt_from: Annotated[
        str, Meta(description="the address that receipts come from; its domain names the mails")
    ] = "receipts@autogrocery.invalid"
    sms_url: Annotated[
        str,
        Meta(
            description="twilio://ACCOUNT_SID:TOKEN@api.twilio.com?from=+… or https://user:password@host/path?from=+…; unset: alerts are lines in the log"
        ),
    ] = ""
    alert_completed: Annotated[
        Literal["on", "off"],
        Meta(description="alert of whole orders too, where the device chose `all`; else of short and failed ones only"),
    ] = "off"
    alert_quiet_hours: Annotated[
        str,
        Meta(
            description="22-7: from 22 until 7 o'clock alerts wait; unset: they go at any hour",
            pattern=r"^(|([01]?[0-9]|2[0-3])-([01]?[0-9]|2[0-3]))$",
        ),
    ] = ""
    alert_cap_per_day: Annotated[
        int, Meta(description="alerts a device gets within 24 hours at most", ge=0, le=1_000)
    ] = 5
    store_timezone: Annotated[str, Meta(description="IANA name of the zone of the quiet hours, as Europe/Berlin")] = (
        "UTC"
    )
    store_id: Annotated[str, Meta(description="this mart, in metrics and receipts", min_length=1, max_length=64)] = (
        "mart-1"
    )
    preview_ttl_s: Annotated[int, Meta(description="how long a quote and its stock are kept", ge=1, le=86_000)] = 120
    access_token_ttl_s: Annotated[int, Meta(description="how long an access token lasts", ge=10, le=86_400)] = 900
    refresh_token_ttl_s: Annotated[int, Meta(description="how long a refresh token lasts", ge=60, le=31_536_000)] = (
        604_800
    )
    bcrypt_cost: Annotated[int, Meta(description="work factor of new password hashes", ge=10, le=15)] = 12
    login_wait_max_s: Annotated[
        int, Meta(description="how long a device waits at most after wrong passwords from one address", ge=1, le=3_600)
    ] = 300
    registration: Annotated[
        Literal["open", "closed", "code"],
        Meta(
            description="who may register a device: open, closed, or code: who has one of `autogrocery enrolment add`"
        ),
    ] = "open"
    trusted_proxies: Annotated[
        str,
        Meta(description="addresses and networks of proxies whose X-Forwarded-For is believed on the public listener"),
    ] = ""
    dispatch_patience_s: Annotated[
        int, Meta(description="how long a promised dispatch is tried before the order fails", ge=1, le=86_400)
    ] = 600
    max_live_previews: Annotated[
        int, Meta(description="idle quotes a device may keep; older ones are let go", ge=1, le=100)
    ] = 3
    max_in_flight: Annotated[int, Meta(description="requests in work at once; beyond it 503", ge=1, le=65_536)] = 512
    max_connections: Annotated[
        int, Meta(description="connections of each listener; beyond it the longest idle is ended", ge=16, le=65_536)
    ] = 1_024
    database_pool_size: Annotated[
        int, Meta(description="connections to PostgreSQL, beside the two that orders share", ge=2, le=100)
    ] = 10
