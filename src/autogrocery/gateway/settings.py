"""The gateway's settings. docs/SETTINGS.md is generated from the descriptions."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from autogrocery.kit.security.transport import PublisherSettings

PREFIX: Final = "ORDERING_"  # an unknown variable with it stops the start


class RateSettings(PublisherSettings, frozen=True, kw_only=True):  # a base of GatewaySettings: a Struct has one base
    """Rate limits of one caller in each gateway process: a sustained rate, and a burst of requests at once."""

    rate_orders_per_s: Annotated[
        float, Meta(description="order and catalog requests a second, each device", gt=0, le=10_000)
    ] = 20.0
    rate_orders_burst: Annotated[int, Meta(description="order and catalog requests at once", ge=1, le=10_000)] = 40
    rate_restocks_per_s: Annotated[
        float, Meta(description="restock requests a second, each truck", gt=0, le=10_000)
    ] = 20.0
    rate_restocks_burst: Annotated[int, Meta(description="restock requests at once", ge=1, le=10_000)] = 40
    rate_logins_per_s: Annotated[
        float,
        Meta(description="logins, refreshes and password changes a second, each source address", gt=0, le=10_000),
    ] = 20.0
    rate_logins_burst: Annotated[
        int,
        Meta(description="of these at once; all devices of a mart may share one address", ge=1, le=10_000),
    ] = 400
    rate_registrations_per_s: Annotated[
        float, Meta(description="registrations a second, each source address", gt=0, le=10_000)
    ] = 20.0
    rate_registrations_burst: Annotated[int, Meta(description="registrations at once", ge=1, le=10_000)] = 400


class GatewaySettings(RateSettings, frozen=True, kw_only=True):
    """The gateway's environment variables; a field's variable is its name in capitals."""

    database_url: Annotated[str, Meta(description="DSN of PostgreSQL, version 15 or later")]
    database_direct_url: Annotated[
        str,
        Meta(
            description="DSN of the same database without a pooler, if DATABASE_URL is one that gives each transaction"
            " any session (PgBouncer): for batched statements, the notifier and commands"
        ),
    ] = ""
    jwt_secret: Annotated[
        str,
        Meta(description="secrets of device, truck and operator tokens; comma list: the first signs, all verify"),
    ]
    robot_jwt_secret: Annotated[
        str, Meta(description="secrets of robot tokens, which inventory verifies; comma list: the first signs")
    ]
    webhook_secret: Annotated[
        str, Meta(description="secrets of inventory's webhooks; comma list: all verify; whsec_… is base64")
    ]
    ordering_http_addr: Annotated[str, Meta(description="listen address of the public REST API")] = "127.0.0.1:5050"
    ordering_internal_addr: Annotated[
        str,
        Meta(description="listen address of internal REST: webhooks, logins of robots and operators, metrics"),
    ] = "127.0.0.1:5051"
    inventory_grpc_addr: Annotated[str, Meta(description="inventory's listen address")] = "127.0.0.1:50051"
    inventory_grpc_target: Annotated[str, Meta(description="gRPC target of inventory; unset: INVENTORY_GRPC_ADDR")] = ""
    pricing_grpc_addr: Annotated[str, Meta(description="pricing's listen address")] = "127.0.0.1:50052"
    pricing_grpc_target: Annotated[str, Meta(description="gRPC target of pricing; unset: PRICING_GRPC_ADDR")] = ""
    peer_transport: Annotated[
        Literal["h2", "grpcio"],
        Meta(description="how calls to peers are made: h2: by our own client; grpcio: by the gRPC library"),
    ] = "h2"
    currency: Annotated[
        str,
        Meta(
            description="ISO 4217 code of this mart's prices, the same as pricing's; a quote in another is refused",
            pattern=r"^[A-Z]{3}\Z",
        ),
    ] = "USD"
    analytics_zmq_addr: Annotated[
        str, Meta(description="endpoints of published metrics; comma list: tcp://… binds, >tcp://… connects")
    ] = "tcp://127.0.0.1:5557"
    notifier: Annotated[
        Literal["child", "off"],
        Meta(
            description="child: start a notifier, which sends receipts and alerts, as a child process;"
            " off: others are running"
        ),
    ] = "child"
    alert_completed: Annotated[
        Literal["on", "off"],
        Meta(description="on: also alert of completed orders, if the device chose `all`; off: of partial and failed"),
    ] = "off"
    store_id: Annotated[
        str, Meta(description="name of this mart in metrics and receipts", min_length=1, max_length=64)
    ] = "mart-1"
    preview_ttl_s: Annotated[int, Meta(description="lifetime of a quote and its hold in seconds", ge=1, le=86_000)] = (
        120
    )
    access_token_ttl_s: Annotated[int, Meta(description="lifetime of an access token in seconds", ge=10, le=86_400)] = (
        900
    )
    refresh_token_ttl_s: Annotated[
        int, Meta(description="lifetime of a refresh token in seconds", ge=60, le=31_536_000)
    ] = 604_800
    bcrypt_cost: Annotated[int, Meta(description="bcrypt cost of new password hashes", ge=10, le=15)] = 12
    login_wait_max_s: Annotated[
        int,
        Meta(description="maximum wait in seconds after failed logins to an account from one address", ge=1, le=3_600),
    ] = 300
    registration: Annotated[
        Literal["open", "closed", "code"],
        Meta(
            description="who may register a device: open: any client; closed: only an operator;"
            " code: clients with a code of `autogrocery enrolment add`"
        ),
    ] = "open"
    trusted_proxies: Annotated[
        str,
        Meta(description="addresses and networks of proxies whose X-Forwarded-For the public listener trusts"),
    ] = ""
    dispatch_patience_s: Annotated[
        int, Meta(description="seconds that a confirmed dispatch is retried before the order fails", ge=1, le=86_400)
    ] = 600
    max_live_previews: Annotated[
        int, Meta(description="maximum number of live quotes of a device; older ones are released", ge=1, le=100)
    ] = 3
    max_in_flight: Annotated[
        int, Meta(description="maximum number of requests in flight; beyond it 503", ge=1, le=65_536)
    ] = 512
    max_connections: Annotated[
        int,
        Meta(
            description="maximum number of connections of each listener; beyond it the longest idle one is closed",
            ge=16,
            le=65_536,
        ),
    ] = 1_024
    stop_delay_s: Annotated[
        float,
        Meta(
            description="seconds between SIGTERM, from which on /readyz answers 503, and the end of the listeners;"
            " behind a load balancer longer than its health check takes to notice",
            ge=0,
            le=300,
        ),
    ] = 0.0
    database_pool_size: Annotated[
        int, Meta(description="connections to PostgreSQL, besides the two of the batched statements", ge=2, le=100)
    ] = 10
